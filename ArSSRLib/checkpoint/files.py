"""Reading and writing networks with their weights."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save as serialize

from ArSSRLib.checkpoint.bundled import find_entry, locate
from ArSSRLib.checkpoint.formats import (
    CONFIG_KEY,
    FORMAT_KEY,
    FORMAT_VERSION,
    SUFFIX,
    check_layout,
    checked_tensor,
    open_checkpoint,
)
from ArSSRLib.device import resolve_device
from ArSSRLib.errors import CheckpointError, InputError, OutputError
from ArSSRLib.filenames import reserved_name
from ArSSRLib.leftovers import write_whole
from ArSSRLib.model.interface import SuperResolutionModel
from ArSSRLib.model.registry import build_model


def load_model(path_or_name: str | Path, *, device: str | torch.device = "cpu") -> SuperResolutionModel:
    """Read a network with its weights, ready for use.

    Args:
        path_or_name: The name of a model from `registry` or of an imported one, or a file: of ArSSR, or a state dict
            saved by the published code.
        device: Device for the weights.

    Returns:
        The network in evaluation mode; its ``name`` is that of the model or the file, its ``sha256`` that of the file.

    Raises:
        CheckpointError: If there is no such model or file, or the file cannot be used.
        DeviceError: If the device is not available.
    """
    target = resolve_device(device) if isinstance(device, str) else device
    entry = find_entry(path_or_name)
    path = locate(entry) if entry else Path(path_or_name)
    content = open_checkpoint(path, published=entry)
    # The initial weights are overwritten; the random state of the caller must not change by drawing them. The "meta"
    # device would draw none, but its normal distribution needs two seconds for imports.
    with torch.random.fork_rng(devices=[]):
        model = build_model(content.config)
    expected = model.state_dict()
    check_layout(path, content.tensors, expected)
    state = {key: checked_tensor(path, key, content.tensors[key]) for key in expected}
    model.load_state_dict(state)
    model.name = entry.name if entry else path.stem
    model.sha256 = content.sha256
    return model.to(target).eval()


def save_model(model: SuperResolutionModel, path: str | Path, *, metadata: Mapping[str, str]) -> Path:
    """Write a network and its weights; an existing file is replaced in one step, or remains unchanged.

    Args:
        model: The network.
        path: Name of the file, ending in ".safetensors".
        metadata: Free text for the header: title, license, training steps.

    Returns:
        The file written.

    Raises:
        InputError: If ``metadata`` uses a key that begins with ``arssr_``.
        OutputError: If the file cannot be written.
    """
    path = Path(path)
    reserved = [key for key in metadata if key.startswith("arssr_")]
    if reserved:
        msg = (
            f'Metadata keys that begin with "arssr_" are reserved for the format, got {", ".join(reserved)}; rename '
            "them."
        )
        raise InputError(msg)
    if path.suffix != SUFFIX:
        msg = f"{path}: weights are saved as {SUFFIX}; choose a name with this extension."
        raise OutputError(msg)
    problem = reserved_name(path.name)
    if problem:
        msg = f"{path}: is not a valid name for weights: {problem}; choose another name."
        raise OutputError(msg)
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in model.state_dict().items()}
    header = {FORMAT_KEY: FORMAT_VERSION, CONFIG_KEY: model.config.to_json()}
    write_whole(path, serialize(tensors, {**metadata, **header}))
    return path


def read_metadata(path: str | Path) -> dict[str, str]:
    """Return the free text stored by `save_model`; empty for a file of the published code.

    Raises:
        CheckpointError: If the file is not a checkpoint.
    """
    return {key: text for key, text in open_checkpoint(Path(path)).metadata.items() if not key.startswith("arssr_")}


def convert_checkpoint(source: str | Path, target: str | Path, *, overwrite: bool = False) -> Path:
    """Convert a state dict saved by the published code into a .safetensors file of ArSSR, and return its path.

    Raises:
        CheckpointError: If the source is not usable.
        OutputError: If the target exists, is the source, or cannot be written.
    """
    source, target = Path(source), Path(target)
    exists = os.path.exists(target)
    if exists and os.path.exists(source) and os.path.samefile(source, target):
        msg = f"{target}: is the source file, which is never replaced; choose another name."
        raise OutputError(msg)
    if exists and not overwrite:
        msg = f"{target}: already exists; choose another name, or allow it to be overwritten."
        raise OutputError(msg)
    if open_checkpoint(source).metadata:
        msg = f"{source}: is already in the ArSSR format; use it as it is."
        raise CheckpointError(msg)
    model = load_model(source)
    return save_model(model, target, metadata={"source": source.name, "source_sha256": model.sha256})
