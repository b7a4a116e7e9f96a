"""Voxel types in memory and in files.

In memory, stored integers that are intensities keep their type; everything else is float32, or float64 if necessary.
Files keep the type of the original file. Nothing here depends on a format.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ArSSRLib.normalization import needs_double
from ArSSRLib.scratch import planes_of
from ArSSRLib.volume import FileHeader

Voxels = npt.NDArray[Any]


def in_memory(stored: Voxels, *, slope: float = 1.0, intercept: float = 0.0) -> Voxels:
    """Return stored voxels, shape (k, j, i), as intensities in the type of the engine: times slope, plus intercept.

    The array is new, contiguous, and in the native byte order.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if not is_scaled(slope, intercept):
            return np.array(stored, dtype=_unscaled_type(stored), order="C")
        # Slab by slab in double precision: float32 cannot represent 32-bit integers, and a whole copy may exceed the
        # memory.
        values = np.empty(stored.shape, dtype=_float_for(_limits(stored) * slope + intercept))
        for slab, source in zip(values, stored, strict=True):
            slab[...] = source * np.float64(slope) + intercept
        return values


def is_scaled(slope: float, intercept: float) -> bool:
    """Return whether a slope or an intercept changes the stored values."""
    return (slope, intercept) != (1, 0)


def for_storage(array: Voxels, header: FileHeader) -> Voxels:
    """Return voxels in their storage type, for a format without slope and intercept; ``array`` itself if it has it."""
    return converted(array, storage_type(array, header))


def storage_type(array: Voxels, header: FileHeader) -> np.dtype[Any]:
    """Return the storage type of voxels, for a format without slope and intercept; arguments as for `for_storage`."""
    wanted = np.dtype(np.uint8) if header.dtype == np.bool_ else header.dtype
    if wanted is None or header.scaled or wanted.kind not in "iu":
        return _unscaled_type(array, smaller=True)
    return wanted


def converted(array: Voxels, dtype: np.dtype[Any]) -> Voxels:
    """Return voxels in another type, integers rounded and clipped; ``array`` itself if it already has that type."""
    if array.dtype == dtype:
        return array
    if dtype.kind in "iu":
        return rounded(array, dtype)
    kept: Voxels = array.astype(dtype)
    return kept


def rounded(array: Voxels, dtype: np.dtype[Any]) -> Voxels:
    """Return voxels rounded half to even and clipped to the range of an integer type; NaN becomes 0."""
    info = np.iinfo(dtype)
    if array.dtype.kind in "iu":
        own = np.iinfo(array.dtype)
        clipped: Voxels = np.clip(array, max(info.min, own.min), min(info.max, own.max)).astype(dtype)
        return clipped
    # As floats, the largest 64-bit integers would be rounded up to 2**63 and 2**64, which overflow.
    highest = float(info.max) if int(float(info.max)) <= info.max else np.nextafter(float(info.max), 0)
    values = np.empty(array.shape, dtype=dtype)
    for slab, source in zip(values, array, strict=True):
        slab[...] = np.nan_to_num(np.rint(source, dtype=np.float64), nan=0.0).clip(float(info.min), highest)
    return values


def extremes(array: Voxels) -> Voxels:
    """Return the smallest and the largest finite voxel, and a NaN if there is one, in their type."""
    found: set[Any] = set()
    unknown: list[Any] = []
    for plane in planes_of(array):
        finite = plane[np.isfinite(plane)]
        if finite.size:
            found = {min(found | {finite.min()}), max(found | {finite.max()})}
        if np.isnan(plane).any():
            unknown = [np.nan]
    return np.array([*sorted(found), *unknown] or [0], dtype=array.dtype)


def _unscaled_type(array: Voxels, *, smaller: bool = False) -> np.dtype[Any]:
    dtype = array.dtype.newbyteorder("=")
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype.kind == "f":
        return dtype if dtype == np.float32 else _float_for(_limits(array))
    # Few programs read 64-bit integers, which are the default of numpy.
    if smaller and dtype == np.int64 and np.abs(_limits(array)).max() <= np.iinfo(np.int32).max:
        return np.dtype(np.int32)
    return dtype


def _float_for(limits: npt.NDArray[np.float64]) -> np.dtype[Any]:
    """Return float32 if it represents the limits without overflow or underflow, otherwise float64."""
    largest = np.abs(limits).max()
    single = np.finfo(np.float32)
    fits = largest == 0 or single.tiny <= largest <= single.max
    return np.dtype(np.float32 if fits and not needs_double(*sorted(limits.tolist())) else np.float64)


def _limits(array: Voxels) -> npt.NDArray[np.float64]:
    """Return the smallest and the largest finite voxel, or zeros."""
    if array.dtype.kind != "f":
        planes = [(plane.min(), plane.max()) for plane in planes_of(array)]
        return np.array([min(low for low, _ in planes), max(high for _, high in planes)], dtype=np.float64)
    limits = np.array([np.inf, -np.inf])
    for plane in planes_of(array):
        finite = np.isfinite(plane)
        limits[0] = min(limits[0], plane.min(where=finite, initial=np.inf))
        limits[1] = max(limits[1], plane.max(where=finite, initial=-np.inf))
    return limits if limits[0] <= limits[1] else np.zeros(2)
