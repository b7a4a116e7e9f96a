"""How much of its slices a volume still shows: a number that needs no truth.

Interpolated detail is weakest between the slices and strongest at them, so the size of the second derivative along
the slice axis goes up and down with the distance of the slices. Its modulation tells how much.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt


def slice_ripple(array: npt.NDArray[np.floating], axis: int, period: float) -> float:
    """Return the modulation of the second derivative at the distance of the slices, unitless.

    Args:
        array: Intensities, shape (k, j, i).
        axis: Axis of the array along which the slices lie, 0 to 2.
        period: Distance of the slices, in voxels of the array along that axis.

    Returns:
        Amplitude over mean of the size of the second derivative: 0 without a trace of the slices, 2 where all of it is
        at them, as in linear interpolation by a whole factor from the voxel centers; not a number for fewer than four
        slices or a volume without a second derivative.

    Source:
        Gallagher 2005, https://doi.org/10.1109/CRV.2005.33, there to detect that an image was interpolated.
    """
    lines = np.moveaxis(array, axis, 0).astype(np.float64)
    if len(lines) < 4 * period or period <= 1:
        return math.nan
    size = np.abs(np.diff(lines, n=2, axis=0)).mean(axis=(1, 2))
    # A window, or the steps at both ends of the anatomy would stand for a period.
    size *= np.hanning(len(size) + 2)[1:-1]
    total = float(size.sum())
    if total == 0:
        return math.nan
    wave = np.exp(-2j * np.pi * np.arange(len(size)) / period)
    return float(2 * abs((size * wave).sum()) / total)
