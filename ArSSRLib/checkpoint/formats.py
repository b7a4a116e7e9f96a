"""What a file of weights says, in either format, before its weights are copied.

Nothing in a file is run, and nothing is allocated that it merely claims. A file is read once: what is checked, its
checksum included, is what is used, whatever happens to the file meanwhile.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load as deserialize
from torch import Tensor

from ArSSRLib.checkpoint.bundled import MAXIMUM_FILE_BYTES, RegistryEntry, require_published
from ArSSRLib.checkpoint.pickles import check_pickles
from ArSSRLib.errors import CheckpointError, InputError
from ArSSRLib.model.arssr import published_config
from ArSSRLib.model.config import ModelConfig
from ArSSRLib.model.registry import model_config_from_json

SUFFIX = ".safetensors"
FORMAT_VERSION = "1"
FORMAT_KEY, CONFIG_KEY = "arssr_format", "arssr_config"
# Ours hold less than 100 kB of header; the format itself would allow 100 MB.
MAXIMUM_HEADER_BYTES = 1_000_000


@dataclass(frozen=True)
class Content:
    """What a file says.

    Attributes:
        config: The network it is for.
        shapes: Name and shape of every tensor.
        metadata: Text in its header; empty in a file of the authors.
        tensors: The tensors by name, as they were stored.
        sha256: Checksum of the file, 64 hexadecimal digits.
    """

    config: ModelConfig
    shapes: Mapping[str, tuple[int, ...]]
    metadata: Mapping[str, str]
    tensors: Mapping[str, Tensor]
    sha256: str


def open_checkpoint(path: Path, *, published: RegistryEntry | None = None) -> Content:
    """Look into a file of weights: ours, or a state dict that the authors' code saved.

    Args:
        path: The file.
        published: What it must be, by its checksum; compared before anything in it is interpreted.

    Raises:
        CheckpointError: If it is neither, or damaged, or holds anything but weights, or is not what was published.
    """
    _check_readable(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        msg = f"{path}: cannot be read ({error.strerror}); check its permissions."
        raise CheckpointError(msg) from error
    digest = hashlib.sha256(data).hexdigest()
    if published is not None:
        require_published(published, digest)
    if data[8:9] == b"{":
        return _open_ours(path, data, digest)
    if data[:2] == b"PK" or data[:1] == b"\x80":  # an archive of torch.save, or a pickle as before torch 1.6
        return _open_authors(path, data, digest)
    msg = f"{path}: is not a file of weights, by its first bytes; expected {SUFFIX}, or the authors' .pkl."
    raise CheckpointError(msg)


def check_layout(path: Path, found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]) -> None:
    """Compare the names and shapes in a file with those that its network needs.

    Raises:
        CheckpointError: If a name is missing or unknown, or a shape differs.
    """
    problems = [f"lacks {key}" for key in expected if key not in found]
    problems += [f"has an unknown {key[:80]!r}" for key in found if key not in expected]
    problems += [
        f"has {key} of shape {found[key]} instead of {shape}"
        for key, shape in expected.items()
        if key in found and found[key] != shape
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        msg = f"{path}: {'; '.join(problems[:3])}{more}; it is not what its network needs: check where it comes from."
        raise CheckpointError(msg)


def checked_tensor(path: Path, key: str, tensor: Tensor) -> Tensor:
    """Return a stored tensor as float32.

    Raises:
        CheckpointError: If it holds anything but finite floating-point numbers.
    """
    if tensor.layout != torch.strided or not tensor.dtype.is_floating_point:
        msg = f"{path}: {key} is stored as {tensor.dtype}, {tensor.layout}; expected plain floating-point numbers."
        raise CheckpointError(msg)
    tensor = tensor.detach().to(torch.float32)
    if not torch.isfinite(tensor).all():
        msg = f"{path}: {key} holds NaN or infinity: the training that wrote it had failed; use an earlier checkpoint."
        raise CheckpointError(msg)
    return tensor


def _check_readable(path: Path) -> None:
    problem = ""
    # os.path answers where pathlib would raise: a name too long, a folder that may not be read.
    if os.path.isdir(path):
        problem = "is a folder"
    elif not os.path.exists(path):
        problem = "does not exist"
    elif not os.path.isfile(path):
        problem = "is not a regular file"
    elif path.stat().st_size == 0:
        problem = "is empty"
    elif path.stat().st_size > MAXIMUM_FILE_BYTES:
        problem = f"has {path.stat().st_size / 1e9:.3g} GB, and no network of ArSSR needs {MAXIMUM_FILE_BYTES / 1e9:g}"
    if problem:
        msg = f"{path}: {problem}; expected a file of weights ({SUFFIX}, or the authors' .pkl)."
        raise CheckpointError(msg)


def _open_ours(path: Path, data: bytes, digest: str) -> Content:
    length = int.from_bytes(data[:8], "little")
    if MAXIMUM_HEADER_BYTES < length <= len(data) - 8:
        msg = f"{path}: has a header of {length:,} bytes, {MAXIMUM_HEADER_BYTES:,} at most are read; export it again."
        raise CheckpointError(msg)
    try:
        # It compares every claim of the header with the bytes that are there, and copies no more than these.
        tensors = deserialize(data)
        metadata = json.loads(data[8 : 8 + length]).get("__metadata__") or {}
    except Exception as error:  # SafetensorError, and whatever a number format that PyTorch does not have brings about
        msg = f"{path}: is damaged or cut short ({_one_line(error)}); copy or download it again."
        raise CheckpointError(msg) from error
    version = metadata.get(FORMAT_KEY)
    if version is None or CONFIG_KEY not in metadata:
        msg = (
            f"{path}: is not an ArSSR checkpoint: its header lacks {FORMAT_KEY} or {CONFIG_KEY}; export it with ArSSR."
        )
        raise CheckpointError(msg)
    if version != FORMAT_VERSION:
        msg = f'{path}: has format version "{version[:20]}", this ArSSR reads {FORMAT_VERSION}; update ArSSR.'
        raise CheckpointError(msg)
    try:
        config = model_config_from_json(metadata[CONFIG_KEY])
    except InputError as error:
        msg = f"{path}: does not describe a network of this ArSSR: {error}"
        raise CheckpointError(msg) from error
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    return Content(config, shapes, metadata, tensors, digest)


def _open_authors(path: Path, data: bytes, digest: str) -> Content:
    check_pickles(path, data)
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever hostile or cut bytes bring about; nothing in them was run
        msg = f"{path}: is damaged, or holds more than weights, and nothing in it was run ({_one_line(error)}); "
        raise CheckpointError(msg + "expected a plain state dict.") from error
    if not isinstance(state, Mapping) or not state:
        msg = f"{path}: holds a {type(state).__name__}, not named weights; expected a plain state dict."
        raise CheckpointError(msg)
    for key, tensor in state.items():
        if not isinstance(key, str) or not isinstance(tensor, Tensor) or tensor.is_nested or tensor.is_meta:
            msg = (
                f"{path}: {str(key)[:60]!r} holds a {type(tensor).__name__}, not weights; expected a plain state dict."
            )
            raise CheckpointError(msg)
    if all(key.startswith("module.") for key in state):  # saved from a DataParallel wrapper
        state = {key.removeprefix("module."): tensor for key, tensor in state.items()}
    shapes = {key: tuple(tensor.shape) for key, tensor in state.items()}
    try:
        config = published_config(shapes)
    except InputError as error:
        msg = f"{path}: is not a checkpoint of the authors: {error}; check which program saved it."
        raise CheckpointError(msg) from error
    return Content(config, shapes, {}, state, digest)


def _one_line(error: Exception) -> str:
    """Return the beginning of another library's message, which may run over many lines."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:120].rstrip(". ")
