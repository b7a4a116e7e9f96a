"""Which slices of a volume a two-dimensional metric looks at, and how their values become one.

The rule, the same for all metrics: slices in the three directions of the array; a slice that is nearly uniform, whose
range is under a tenth of the range of the volume, is air and does not count; a direction whose slices are smaller than
the metric can look at does not count either. The value of a volume is the mean over the directions of the mean over
the slices. Changing the brightness or the contrast of a volume changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ArSSRLib.errors import InputError

FloatArray = npt.NDArray[np.floating]
# Part of the range of the volume that a slice has to span: noise in the air of a head does not reach it.
LEAST_CONTRAST = 0.1


def mean_over_slices(
    metric: str, volume: FloatArray, judge: Callable[[int, npt.NDArray[np.intp]], FloatArray], *, least_side: int
) -> float:
    """Return the mean over the directions of the mean over the slices that count; not a number where none counts.

    Args:
        metric: Its name, for the message.
        volume: What decides which slices count, shape (k, j, i).
        judge: Given an axis of the array and the positions of the slices along it, returns their values; not a number
            for a slice that shows nothing to be judged, which does not count then.
        least_side: Pixels that a slice needs along its shorter side.

    Raises:
        InputError: If the volume is not 3-D, or holds a voxel that is not finite.
    """
    if volume.ndim != 3 or not np.isfinite(volume).all():
        msg = f"{metric} judges a 3-D volume of finite voxels, got shape {volume.shape}; repair or crop it."
        raise InputError(msg)
    means = []
    for axis in range(3):
        counted = counted_slices(volume, axis, least_side)
        values = judge(axis, counted) if counted.size else np.empty(0)
        values = values[~np.isnan(values)]
        if values.size:
            means.append(float(values.mean()))
    return float(np.mean(means)) if means else math.nan


def counted_slices(volume: FloatArray, axis: int, least_side: int) -> npt.NDArray[np.intp]:
    """Return the positions along an axis of the slices that are large enough and not nearly uniform."""
    across = tuple(other for other in range(3) if other != axis)
    if min(volume.shape[other] for other in across) < least_side:
        return np.empty(0, dtype=np.intp)
    span = volume.max(axis=across) - volume.min(axis=across)
    contrast = float(volume.max()) - float(volume.min())
    return np.flatnonzero((span > 0) & (span >= LEAST_CONTRAST * contrast))


def stretched(volume: FloatArray) -> FloatArray:
    """Return a volume as float64 in [0, 255], its minimum and maximum being the ends: the scale of these metrics."""
    lowest, highest = float(volume.min()), float(volume.max())
    scale = 255 / (highest - lowest) if highest > lowest else 0.0
    return (volume.astype(np.float64) - lowest) * scale
