"""Splitting of a file into parts that a lent machine can return, and joining of the parts.

The parts of one state are in a separate folder, which gets its name when all of them are complete; only then, the
previous one is removed. A run that is killed at any time therefore leaves a complete state.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

PART_BYTES = 15 * 2**20
FOLDER = "state-"


def keep(path: Path, folder: Path, step: int) -> list[Path]:
    """Write a file in parts into a folder, replacing those of earlier steps.

    Args:
        path: The file.
        folder: Folder for the parts, in a subfolder named by the step.
        step: Step of the state.

    Returns:
        The parts.
    """
    data = path.read_bytes()
    target, partial = folder / f"{FOLDER}{step:08d}", folder / f".{FOLDER}{step:08d}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    pieces = [data[start : start + PART_BYTES] for start in range(0, max(1, len(data)), PART_BYTES)]
    digest = hashlib.sha256(data).hexdigest()[:16]
    for number, piece in enumerate(pieces):
        (partial / f"{digest}.{number}-of-{len(pieces)}").write_bytes(piece)
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    for other in folder.glob(f"{FOLDER}*"):
        if other != target:
            shutil.rmtree(other, ignore_errors=True)
    return sorted(target.iterdir())


def joined(folder: Path) -> bytes | None:
    """Return the latest complete file whose parts are in a folder; None if there is none.

    Args:
        folder: Folder of `keep`; the parts are identified by their names, even if they were returned under other
            folders.
    """
    for state in sorted(folder.glob(f"{FOLDER}*"), reverse=True):
        data = _whole(sorted(state.iterdir(), key=_number))
        if data is not None:
            return data
    return None


def _whole(parts: Sequence[Path]) -> bytes | None:
    if not parts:
        return None
    data = b"".join(part.read_bytes() for part in parts)
    complete = len(parts) == int(parts[0].name.rpartition("-")[2])
    return data if complete and hashlib.sha256(data).hexdigest()[:16] == parts[0].name.partition(".")[0] else None


def _number(part: Path) -> int:
    return int(part.name.partition(".")[2].partition("-")[0])
