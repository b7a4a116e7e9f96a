"""Arrays that lie on the disk: results that are larger than the memory.

The file of such an array has no name, and on Windows a name that the system takes back: it is gone with the array, in
whatever way the process ends. What was written or read is let go of piece by piece, since the pages of a file that a
process has touched count as its memory.
"""

from __future__ import annotations

import math
import mmap
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ArSSRLib.errors import ArSSRError, OutputError
from ArSSRLib.leftovers import hidden_name

# Pages that are read or written before they are let go of.
WINDOW_BYTES = 16 * 2**20


class _Mapping(mmap.mmap):
    """A file in memory that is ours. That of somebody else may be private, and would lose what was written to it."""


def array_on_disk(shape: Sequence[int], dtype: npt.DTypeLike, folder: Path) -> npt.NDArray[Any]:
    """Return an array of zeros whose values lie in a file that vanishes with it.

    The disk is asked for all of the space at once: a mapped file that cannot grow ends the process.

    Args:
        shape: Any.
        dtype: Type of its values.
        folder: Where the file lies; on the disk, not in memory as a temporary folder may be.

    Raises:
        OutputError: If there is no space for the array and, beside it, for the file that will be written from it.
    """
    count = math.prod(shape) * np.dtype(dtype).itemsize
    try:
        _require_space(folder, 2 * count)
        with tempfile.TemporaryFile(dir=folder, prefix=hidden_name(".")) as file:
            _reserve(file, count)
            mapping = _Mapping(file.fileno(), count)
    except ArSSRError:
        raise
    except (OSError, ValueError) as error:
        msg = (
            f"{folder}: cannot hold the {count / 1e9:.3g} GB of a result that does not fit into memory "
            f"({getattr(error, 'strerror', None) or error}); free some space or choose another folder."
        )
        raise OutputError(msg) from error
    return np.ndarray(shape, dtype, buffer=mapping)


def release_pages(array: npt.NDArray[Any]) -> None:
    """Give the pages of an array of `array_on_disk`, or of a part of one, back to the system; others stay as they are.

    The values stay too: they are on the disk, or on their way to it.
    """
    owner: object = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, _Mapping) and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)


def planes_of(array: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """Yield the planes of an array, shape (k, j, i), in the order of k, each without holding many that went before."""
    touched = 0
    for plane in array:
        yield plane
        touched += plane.nbytes
        if touched >= WINDOW_BYTES:
            release_pages(array)
            touched = 0
    release_pages(array)


def write_block(array: npt.NDArray[Any], place: Sequence[slice], values: Iterable[npt.NDArray[Any]]) -> None:
    """Write values to their place in an array, without holding many of the pages of one on the disk.

    A narrow block touches all the pages of its rows: seven times its size was measured.

    Args:
        array: Shape (k, j, i).
        place: Part of the array, along k, j, i.
        values: One plane after the other, each of shape (j, i).
    """
    planes, rows, columns = place
    touched = 0
    for target, plane in zip(array[planes], values, strict=True):
        target[rows, columns] = plane
        touched += target[rows].nbytes
        if touched >= WINDOW_BYTES:
            release_pages(array)
            touched = 0
    release_pages(array)


def _require_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        msg = (
            f"{folder}: the result does not fit into memory, and needs {needed / 1e9:.3g} GB on the disk, half of it "
            f"only until it is written; {free / 1e9:.3g} GB are free. Free some space, or choose another folder, a "
            "smaller scale or a region."
        )
        raise OutputError(msg)


def _reserve(file: IO[bytes], count: int) -> None:
    """Give a file its size, and all of its blocks."""
    allocate = getattr(os, "posix_fallocate", None)
    if allocate is not None:
        allocate(file.fileno(), 0, count)
        return
    zeros = bytes(WINDOW_BYTES)
    for start in range(0, count, WINDOW_BYTES):
        file.write(zeros[: count - start])
    file.flush()
