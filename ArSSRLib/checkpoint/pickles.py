"""Checks of the instructions of a pickled state dict, before PyTorch executes any of them.

PyTorch's ``weights_only`` runs no foreign code, but it decompresses records of any size and creates byte arrays of any
length. A state dict only needs tensors, their storages, and integers no larger than the file.
"""

from __future__ import annotations

import io
import pickletools
import zipfile
from pathlib import Path

from ArSSRLib.errors import CheckpointError, shown

_STORAGES = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
#: The parts of a state dict; the first one preserves the order of its keys.
ALLOWED = frozenset(
    {"collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter"}
    | {f"torch {kind}Storage" for kind in _STORAGES}
)
# Instructions that access classes in other ways; torch.save uses none of them.
_FOREIGN = {"STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4", "PERSID"}
# Start of a file of torch.save before torch 1.6: this number, a version, the machine, the state dict, its storages.
_MAGIC = 0x1950A86A20F9469CFC6C
_PICKLES_BEFORE_STORAGES = 5
# A version number may exceed the size of the smallest files.
_SMALL = 4096


def check_pickles(path: Path, data: bytes) -> None:
    """Refuse a file whose instructions need more than weights.

    Raises:
        CheckpointError: If it refers to anything but tensors, requests more memory than its size, or is damaged.
    """
    try:
        if data[:2] == b"PK":
            _check_instructions(_pickle_of_archive(data), limit=len(data))
            return
        stream = io.BytesIO(data)
        if [argument for _, argument, _ in pickletools.genops(stream) if isinstance(argument, int)][1:] != [_MAGIC]:
            stream.seek(0)
            _check_instructions(stream, limit=len(data))
            _refuse("a pickle of another program instead of weights")
        for _ in range(_PICKLES_BEFORE_STORAGES - 1):
            _check_instructions(stream, limit=len(data))
    except Exception as error:  # errors caused by hostile or truncated bytes are not documented
        reason = str(error).splitlines()[0][:120].rstrip(". ") if str(error) else type(error).__name__
        msg = (
            f"{path}: is damaged, or contains more than weights ({reason}); no code in it was run; expected a plain "
            "state dict."
        )
        raise CheckpointError(msg) from error


def _pickle_of_archive(data: bytes) -> io.BytesIO:
    """Return the instructions in an archive of torch.save, whose records are not compressed."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
        for entry in entries:
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
                _refuse(f'the compressed record "{entry.filename[:60]}"')
        names = [entry.filename for entry in entries]
        pickles = [name for name in names if name.rsplit("/", 1)[-1] == "data.pkl"]
        if len(pickles) != 1 or len(names) != len(set(names)):
            _refuse(f"{len(pickles)} lists of weights, or records of the same name")
        return io.BytesIO(archive.read(pickles[0]))


def _check_instructions(stream: io.BytesIO, *, limit: int) -> None:
    for instruction, argument, _ in pickletools.genops(stream):
        name = instruction.name
        if name in _FOREIGN or (name == "GLOBAL" and argument not in ALLOWED):
            _refuse(f"{shown(argument or name)}, which is not part of weights")
        if isinstance(argument, int) and abs(argument) > max(limit, _SMALL):
            _refuse("a number that is larger than the whole file")


def _refuse(what: str) -> None:
    msg = f"it contains {what}"
    raise ValueError(msg)
