"""The content of a file of weights, in either format, before its weights are used.

Nothing in a file is executed, and no memory is allocated for mere claims. A file is read only once, so that the checked
bytes, including the checksum, are the bytes in use even if the file changes meanwhile.
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
from ArSSRLib.errors import CheckpointError, InputError, shown
from ArSSRLib.model.arssr import published_config
from ArSSRLib.model.config import ModelConfig
from ArSSRLib.model.registry import model_config_from_json

SUFFIX = ".safetensors"
FORMAT_VERSION = "1"
FORMAT_KEY, CONFIG_KEY = "arssr_format", "arssr_config"
# The headers of ArSSR's files are below 100 kB; the format would allow 100 MB.
MAXIMUM_HEADER_BYTES = 1_000_000


@dataclass(frozen=True)
class Content:
    """The content of a file of weights.

    Attributes:
        config: Configuration of its network.
        metadata: Text of its header; empty for a file of the published code.
        tensors: The tensors by name, as stored.
        sha256: Checksum of the file, 64 hexadecimal digits.
    """

    config: ModelConfig
    metadata: Mapping[str, str]
    tensors: Mapping[str, Tensor]
    sha256: str


def open_checkpoint(path: Path, *, published: RegistryEntry | None = None) -> Content:
    """Open a file of weights: of ArSSR, or a state dict saved by the published code.

    Its checksum is compared with that of ``published`` before anything in the file is interpreted.

    Raises:
        CheckpointError: If it has another format, is damaged, contains anything but weights, or does not match the
            entry.
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
    msg = f"{path}: is not a weights file, according to its first bytes; expected {SUFFIX}, or the authors' .pkl."
    raise CheckpointError(msg)


def check_layout(path: Path, tensors: Mapping[str, Tensor], network: Mapping[str, Tensor]) -> None:
    """Compare the names and shapes of the tensors in a file with those of its network.

    Raises:
        CheckpointError: If a name is missing or unknown, or a shape differs.
    """
    found, expected = _shapes(tensors), _shapes(network)
    problems = [f"lacks {key}" for key in expected if key not in found]
    problems += [f'has an unknown tensor "{key[:80]}"' for key in found if key not in expected]
    problems += [
        f"has {key} of shape {found[key]} instead of {shape}"
        for key, shape in expected.items()
        if key in found and found[key] != shape
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        msg = (
            f"{path}: {'; '.join(problems[:3])}{more}; the file does not match its network, so check where it comes "
            "from."
        )
        raise CheckpointError(msg)


def checked_tensor(path: Path, key: str, tensor: Tensor) -> Tensor:
    """Return a stored tensor as float32.

    Raises:
        CheckpointError: If it contains anything but finite floating-point numbers.
    """
    if tensor.layout != torch.strided or not tensor.dtype.is_floating_point:
        layout = "" if tensor.layout == torch.strided else f", {tensor.layout}"
        stored = f"{tensor.dtype}{layout}".replace("torch.", "")
        msg = f"{path}: {key} is stored as {stored}; expected plain floating-point numbers."
        raise CheckpointError(msg)
    tensor = tensor.detach().to(torch.float32)
    if not torch.isfinite(tensor).all():
        msg = (
            f"{path}: {key} contains NaN or infinity, so the training that saved it failed; use an earlier checkpoint."
        )
        raise CheckpointError(msg)
    return tensor


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(tensor.shape) for key, tensor in tensors.items()}


def _check_readable(path: Path) -> None:
    problem = ""
    # os.path returns False where pathlib raises: for a name that is too long, or a folder without permission.
    if os.path.isdir(path):
        problem = "is a folder"
    elif not os.path.exists(path):
        problem = "does not exist"
    elif not os.path.isfile(path):
        problem = "is not a regular file"
    elif path.stat().st_size == 0:
        problem = "is empty"
    elif path.stat().st_size > MAXIMUM_FILE_BYTES:
        problem = f"has {path.stat().st_size / 1e9:.3g} GB, more than the {MAXIMUM_FILE_BYTES / 1e9:g} GB allowed"
    if problem:
        msg = f"{path}: {problem}; expected a weights file ({SUFFIX}, or the authors' .pkl)."
        raise CheckpointError(msg)


def _open_ours(path: Path, data: bytes, digest: str) -> Content:
    length = int.from_bytes(data[:8], "little")
    if MAXIMUM_HEADER_BYTES < length <= len(data) - 8:
        msg = (
            f"{path}: has a header of {length:,} bytes, but at most {MAXIMUM_HEADER_BYTES:,} are allowed; export it "
            "again."
        )
        raise CheckpointError(msg)
    try:
        # This compares every claim of the header with the actual bytes, and copies only those.
        tensors = deserialize(data)
        metadata = json.loads(data[8 : 8 + length]).get("__metadata__") or {}
    except Exception as error:  # SafetensorError, and any error of a number format that PyTorch lacks
        msg = f"{path}: is damaged or truncated ({_one_line(error)}); copy or download it again."
        raise CheckpointError(msg) from error
    version = metadata.get(FORMAT_KEY)
    if version is None or CONFIG_KEY not in metadata:
        msg = (
            f"{path}: is not an ArSSR checkpoint: its header lacks {FORMAT_KEY} or {CONFIG_KEY}; export it with ArSSR."
        )
        raise CheckpointError(msg)
    if version != FORMAT_VERSION:
        msg = (
            f'{path}: has format version "{version[:20]}", but this version of ArSSR reads only {FORMAT_VERSION}; '
            "update ArSSR."
        )
        raise CheckpointError(msg)
    try:
        config = model_config_from_json(metadata[CONFIG_KEY])
    except InputError as error:
        msg = f"{path}: does not describe a network that this version of ArSSR supports: {error}"
        raise CheckpointError(msg) from error
    return Content(config, metadata, tensors, digest)


def _open_authors(path: Path, data: bytes, digest: str) -> Content:
    check_pickles(path, data)
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # any error that hostile or truncated bytes cause; nothing in them was executed
        msg = f"{path}: is damaged, or contains more than weights ({_one_line(error)}); no code in it was run; "
        raise CheckpointError(msg + "expected a plain state dict.") from error
    if not isinstance(state, Mapping) or not state:
        msg = f"{path}: contains a {type(state).__name__} instead of named weights; expected a plain state dict."
        raise CheckpointError(msg)
    for key, tensor in state.items():
        if not isinstance(key, str) or not isinstance(tensor, Tensor) or tensor.is_nested or tensor.is_meta:
            msg = (
                f"{path}: the entry {shown(key)} is of type {type(tensor).__name__} instead of weights; expected a "
                "plain state dict."
            )
            raise CheckpointError(msg)
    if all(key.startswith("module.") for key in state):  # saved from a DataParallel wrapper
        state = {key.removeprefix("module."): tensor for key, tensor in state.items()}
    try:
        config = published_config(_shapes(state))
    except InputError as error:
        msg = f"{path}: is not a checkpoint of the authors of ArSSR: {error}; check which program saved it."
        raise CheckpointError(msg) from error
    return Content(config, {}, state, digest)


def _one_line(error: Exception) -> str:
    """Return the beginning of a message of another library, which may have many lines."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:120].rstrip(". ")
