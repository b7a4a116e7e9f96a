"""The selection of slices for two-dimensional metrics, and the average of their values.

The rule for all metrics: slices in the three directions of the array are used, except for nearly uniform slices, whose
range is below a tenth of the range of the volume (air), and except for directions whose slices are too small for the
metric. The value of a volume is the mean over the directions of the mean over the slices. Changes in brightness or
contrast have no effect.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ArSSRLib.errors import InputError

FloatArray = npt.NDArray[np.floating]
Indices = npt.NDArray[np.intp]
# Returns the values of slices, given an axis of the array and their positions; NaN excludes a slice.
Judge = Callable[[int, Indices], FloatArray]
# Smallest range of a slice as a fraction of that of the volume; noise in the air around a head stays below it.
LEAST_CONTRAST = 0.1


def mean_over_slices(metric: str, volume: FloatArray, judge: Judge, *, least_side: int) -> float:
    """Return the mean over the directions of the mean over the slices; NaN if no slice counts.

    Args:
        metric: Name of the metric, for the message.
        volume: The volume that determines the slices, shape (k, j, i).
        judge: Returns the values of slices.
        least_side: Smallest number of pixels along the shorter side of a slice.

    Raises:
        InputError: If the volume is not 3-D, or has a voxel that is not finite.
    """
    if volume.ndim != 3 or not np.isfinite(volume).all():
        msg = f"{metric} needs a 3-D volume of finite voxels, got shape {volume.shape}; repair or crop it."
        raise InputError(msg)
    means = []
    for axis in range(3):
        counted = counted_slices(volume, axis, least_side)
        values = judge(axis, counted) if counted.size else np.empty(0)
        values = values[~np.isnan(values)]
        if values.size:
            means.append(float(values.mean()))
    return float(np.mean(means)) if means else math.nan


def one_by_one(volume: FloatArray, measure: Callable[[FloatArray], float]) -> Judge:
    """Return a judge that measures each slice of a volume, shape (k, j, i), by itself."""
    return lambda axis, counted: np.array([measure(np.moveaxis(volume, axis, 0)[n]) for n in counted])


def counted_slices(volume: FloatArray, axis: int, least_side: int) -> Indices:
    """Return the positions along an axis of the slices that are large enough and not nearly uniform."""
    across = tuple(other for other in range(3) if other != axis)
    if min(volume.shape[other] for other in across) < least_side:
        return np.empty(0, dtype=np.intp)
    span = volume.max(axis=across) - volume.min(axis=across)
    contrast = float(volume.max()) - float(volume.min())
    return np.flatnonzero((span > 0) & (span >= LEAST_CONTRAST * contrast))


def stretched(volume: FloatArray) -> FloatArray:
    """Scale a volume linearly to [0, 255], float64: the intensity scale of these metrics."""
    lowest, highest = float(volume.min()), float(volume.max())
    scale = 255 / (highest - lowest) if highest > lowest else 0.0
    return (volume.astype(np.float64) - lowest) * scale
