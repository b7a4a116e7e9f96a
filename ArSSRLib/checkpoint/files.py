"""Networks and their weights, from a file and to a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

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
from ArSSRLib.model.registry import build_model

if TYPE_CHECKING:
    from ArSSRLib.model.interface import SuperResolutionModel


def load_model(path_or_name: str | Path, *, device: str | torch.device = "cpu") -> SuperResolutionModel:
    """Read a network with its weights, ready for use.

    Args:
        path_or_name: The name of a bundled model, as `registry` lists them, or a file: one of ours, or a state dict
            that the authors' code saved.
        device: Where the weights go.

    Returns:
        The network in evaluation mode; its ``name`` is the model's or the file's, ``sha256`` the file's.

    Raises:
        CheckpointError: If there is no such model or file, or the file cannot be used.
        DeviceError: If the device is not there.
    """
    target = resolve_device(device) if isinstance(device, str) else device
    entry = find_entry(path_or_name)
    path = locate(entry) if entry else Path(path_or_name)
    content = open_checkpoint(path, published=entry)
    # The fresh weights are overwritten; whoever seeded PyTorch shall not notice that they were drawn. On the "meta"
    # device none would be, but its normal distribution imports for two seconds.
    with torch.random.fork_rng(devices=[]):
        model = build_model(content.config)
    expected = model.state_dict()
    check_layout(path, content.shapes, {key: tuple(tensor.shape) for key, tensor in expected.items()})
    state = {key: checked_tensor(path, key, content.tensors[key]) for key in expected}
    model.load_state_dict(state)
    model.name = entry.name if entry else path.stem
    model.sha256 = content.sha256
    return model.to(target).eval()


def save_model(model: SuperResolutionModel, path: str | Path, *, metadata: Mapping[str, str]) -> Path:
    """Write a network and its weights; a file of that name is replaced in one step, or stays as it was.

    Args:
        model: Any network of this engine.
        path: Name of the file, ending in ".safetensors".
        metadata: Free text kept in the header: title, license, training steps.

    Returns:
        The file written.

    Raises:
        InputError: If ``metadata`` uses a key that begins with ``arssr_``.
        OutputError: If the file cannot be written.
    """
    path = Path(path)
    reserved = [key for key in metadata if key.startswith("arssr_")]
    if reserved:
        msg = f'Metadata keys that begin with "arssr_" belong to the format, got {", ".join(reserved)}; rename them.'
        raise InputError(msg)
    if path.suffix != SUFFIX:
        msg = f"{path}: weights are written as {SUFFIX}; choose a name that ends so."
        raise OutputError(msg)
    problem = reserved_name(path.name)
    if problem:
        msg = f"{path}: cannot be the name of weights: {problem}; choose another one."
        raise OutputError(msg)
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in model.state_dict().items()}
    header = {FORMAT_KEY: FORMAT_VERSION, CONFIG_KEY: model.config.to_json()}
    write_whole(path, serialize(tensors, {**metadata, **header}))
    return path


def read_metadata(path: str | Path) -> dict[str, str]:
    """Return the free text that `save_model` was given; empty for a file of the authors.

    Raises:
        CheckpointError: If the file is no checkpoint.
    """
    return {key: text for key, text in open_checkpoint(Path(path)).metadata.items() if not key.startswith("arssr_")}


def convert_checkpoint(source: str | Path, target: str | Path, *, overwrite: bool = False) -> Path:
    """Turn a state dict that the authors' code saved into our format.

    Args:
        source: The authors' file.
        target: Name of the new file, ending in ".safetensors".
        overwrite: Whether a file of that name may be replaced.

    Returns:
        The file written.

    Raises:
        CheckpointError: If the source cannot be used.
        OutputError: If the target exists, is the source, or cannot be written.
    """
    source, target = Path(source), Path(target)
    exists = os.path.exists(target)
    if exists and os.path.exists(source) and os.path.samefile(source, target):
        msg = f"{target}: is the source, which is never replaced; choose another name."
        raise OutputError(msg)
    if exists and not overwrite:
        msg = f"{target}: exists already; choose another name, or allow it to be overwritten."
        raise OutputError(msg)
    if open_checkpoint(source).metadata:
        msg = f"{source}: is in the format of ArSSR already; use it as it is."
        raise CheckpointError(msg)
    model = load_model(source)
    return save_model(model, target, metadata={"source": source.name, "source_sha256": model.sha256})
