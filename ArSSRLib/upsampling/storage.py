"""The voxels of a result: their location, and their conversion to the stored type."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ArSSRLib.planning import Plan
from ArSSRLib.scratch import array_on_disk


def empty(plan: Plan, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return an array for the computed box of a plan, in memory or on disk as planned."""
    i, j, k = (stop - first for first, stop in plan.computed)
    if plan.folder is not None:
        return array_on_disk((k, j, i), np.dtype(dtype), plan.folder)
    return np.empty((k, j, i), dtype=dtype)


def within_region(array: npt.NDArray[Any], plan: Plan) -> npt.NDArray[Any]:
    """Return the region of a plan, cut from an array of its computed box."""
    if plan.region is None or plan.region == plan.computed:
        return array
    i, j, k = (
        slice(first - start, stop - start) for (first, stop), (start, _) in zip(plan.region, plan.computed, strict=True)
    )
    # Not a view, which would keep the whole box in memory.
    return np.ascontiguousarray(array[k, j, i]) if plan.folder is None else array[k, j, i]


def within_range(value: Any, dtype: np.dtype[Any]) -> Any:  # noqa: ANN401 - a number of any type
    """Clip a number to the range of a type: numbers in double precision may exceed single precision."""
    if dtype.kind != "f":
        return value
    return np.clip(np.float64(value), -np.finfo(dtype).max, np.finfo(dtype).max)


def as_type(array: npt.NDArray[Any], dtype: np.dtype[Any], *, lowest: Any) -> npt.NDArray[Any]:  # noqa: ANN401 - any number
    """Convert intensities, in place, to the type of the output: rounded, clipped, none below ``lowest``."""
    np.maximum(array, array.dtype.type(lowest), out=array)
    if dtype.kind == "f":
        return array.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    # The largest 32- and 64-bit integers are not floats; the next smaller float is used.
    wide = np.float64 if dtype.itemsize >= 4 else np.float32
    high = np.nextafter(wide(limits.max), wide(0)) if float(wide(limits.max)) > limits.max else wide(limits.max)
    rounded = array.astype(wide, copy=False)
    np.rint(rounded, out=rounded)
    np.clip(rounded, wide(limits.min), high, out=rounded)
    converted: npt.NDArray[Any] = rounded.astype(dtype)
    return converted
