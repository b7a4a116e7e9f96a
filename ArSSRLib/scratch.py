"""Arrays on disk, for results that exceed the memory.

The file of such an array has no name, or on Windows, a name that the system releases: it disappears with the array,
however the process ends. Written and read parts are released piece by piece, because the touched pages of a file count
as memory of the process.
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

# Bytes that are read or written before their pages are released.
WINDOW_BYTES = 16 * 2**20


class _Mapping(mmap.mmap):
    """A memory-mapped file of ours. Other mappings may be private, and would lose what was written."""


def array_on_disk(shape: Sequence[int], dtype: npt.DTypeLike, folder: Path) -> npt.NDArray[Any]:
    """Return an array of zeros in a file that disappears with it.

    The disk space is allocated immediately: a mapped file that cannot grow would crash the process.

    Args:
        shape: Any shape.
        dtype: Type of its values.
        folder: Folder of the file; on disk, not in memory as a temporary folder may be.

    Raises:
        OutputError: If there is no space for both the array and the file that will be written from it.
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
            f"({getattr(error, 'strerror', None) or error}); free some space, or choose another folder."
        )
        raise OutputError(msg) from error
    return np.ndarray(shape, dtype, buffer=mapping)


def release_pages(array: npt.NDArray[Any]) -> None:
    """Release the pages of an array from `array_on_disk`, or of a part of one; other arrays are unchanged.

    The values are preserved: they are on disk, or are being written.
    """
    owner: object = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, _Mapping) and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)


def planes_of(array: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """Yield the planes of an array, shape (k, j, i), in the order of k, releasing the pages of earlier planes."""
    touched = 0
    for plane in array:
        yield plane
        touched += plane.nbytes
        if touched >= WINDOW_BYTES:
            release_pages(array)
            touched = 0
    release_pages(array)


def write_block(array: npt.NDArray[Any], place: Sequence[slice], values: Iterable[npt.NDArray[Any]]) -> None:
    """Write planes, shape (j, i) each, into a part of an array, releasing pages if it is on disk.

    A narrow block touches all pages of its rows: seven times its size was measured.
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
            f"{folder}: the result does not fit into memory and needs {needed / 1e9:.3g} GB on the disk, half of them "
            f"only until it is written, but {free / 1e9:.3g} GB are free. Free some space, or choose another folder, "
            "a smaller scale or a region."
        )
        raise OutputError(msg)


def _reserve(file: IO[bytes], count: int) -> None:
    """Allocate the size of a file, with all of its blocks."""
    allocate = getattr(os, "posix_fallocate", None)
    if allocate is not None:
        allocate(file.fileno(), 0, count)
        return
    zeros = bytes(WINDOW_BYTES)
    for start in range(0, count, WINDOW_BYTES):
        file.write(zeros[: count - start])
    file.flush()
