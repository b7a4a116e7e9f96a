"""Minimal replacements of three small packages, for a machine with PyTorch but without them and without a network.

Linux only, and only for the needs of the engine. Installed packages are never replaced.
"""

from __future__ import annotations

import json
import os
import sys
import types
from collections.abc import Callable, Mapping
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

FORMATS = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64", "I64": "int64", "I32": "int32"}


missing: list[str] = []


def install() -> None:
    """Replace missing packages; `missing` lists them afterwards."""
    for name, stand_in in STAND_INS.items():
        if name not in sys.modules and not _is_there(name):
            stand_in()
            missing.append(name)


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _module(name: str, **content: object) -> types.ModuleType:
    module = types.ModuleType(name)
    module.__spec__ = ModuleSpec(name, None)  # by which others detect the package
    vars(module).update(content)
    sys.modules[name] = module
    return module


def _psutil() -> None:
    _module(
        "psutil",
        Error=type("Error", (Exception,), {}),
        Process=_Process,
        pid_exists=lambda number: Path(f"/proc/{number}").exists(),
        virtual_memory=_virtual_memory,
    )


class _Process:
    def memory_info(self) -> SimpleNamespace:
        """Return the bytes in memory, as ``rss``."""
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return SimpleNamespace(rss=pages * os.sysconf("SC_PAGE_SIZE"))


def _virtual_memory() -> SimpleNamespace:
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    kilobytes = {name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in lines)}
    return SimpleNamespace(available=1024 * kilobytes["MemAvailable"], total=1024 * kilobytes["MemTotal"])


def _tqdm() -> None:
    _module("tqdm", tqdm=_Bar)


class _Bar:
    """A progress bar that shows nothing."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def update(self, count: int = 1) -> None:
        """Do nothing."""

    def set_postfix_str(self, text: str) -> None:
        """Show nothing."""

    def write(self, text: str) -> None:
        """Print a line."""
        print(text, flush=True)

    def close(self) -> None:
        """Do nothing."""


def _safetensors() -> None:
    package = _module("safetensors", __path__=[])
    package.torch = _module("safetensors.torch", load=load, save=save)  # type: ignore[attr-defined]


def load(data: bytes) -> dict[str, object]:
    """Return the tensors of a safetensors file.

    Source:
        https://github.com/huggingface/safetensors, "Format"
    """
    import torch  # noqa: PLC0415 - the supervising process does without

    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    tensors: dict[str, object] = {}
    for name, entry in header.items():
        if name != "__metadata__":
            first, stop = (8 + length + offset for offset in entry["data_offsets"])
            kind = getattr(torch, FORMATS[entry["dtype"]])
            flat = torch.frombuffer(bytearray(data[first:stop]), dtype=kind) if stop > first else torch.empty(0)
            tensors[name] = flat.to(kind).reshape(entry["shape"])
    return tensors


def save(tensors: Mapping[str, object], metadata: Mapping[str, str] | None = None) -> bytes:
    """Return tensors as a safetensors file."""
    import torch  # noqa: PLC0415 - as above

    words = {f"torch.{name}": word for word, name in FORMATS.items()}
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    parts, offset = [], 0
    for name, tensor in tensors.items():
        assert isinstance(tensor, torch.Tensor)
        part = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        place = [offset, offset + len(part)]
        header[name] = {"dtype": words[str(tensor.dtype)], "shape": list(tensor.shape), "data_offsets": place}
        parts.append(part)
        offset += len(part)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(parts)


STAND_INS: dict[str, Callable[[], None]] = {"psutil": _psutil, "tqdm": _tqdm, "safetensors": _safetensors}
