"""How visible the slices of a volume are after upsampling: a number that needs no truth.

Interpolated detail is strongest at the slices and weakest between them, so the magnitude of the second derivative along
the slice axis oscillates with the slice distance. Its modulation is the result.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt


def slice_ripple(array: npt.NDArray[np.floating], axis: int, period: float) -> float:
    """Return the modulation of the second derivative at the slice distance, unitless.

    Args:
        array: Intensities, shape (k, j, i).
        axis: Slice axis of the array, 0 to 2.
        period: Slice distance, in voxels of the array along that axis.

    Returns:
        Amplitude of the oscillation, relative to the mean magnitude: 0 if the slices leave no trace, 2 if the second
        derivative is 0 between the slices, as after linear interpolation by an integer factor from the voxel centers;
        NaN for fewer than four slices or a volume without a second derivative.

    Source:
        Gallagher 2005, https://doi.org/10.1109/CRV.2005.33, where it detects interpolated images.
    """
    lines = np.moveaxis(array, axis, 0).astype(np.float64)
    if len(lines) < 4 * period or period <= 1:
        return math.nan
    size = np.abs(np.diff(lines, n=2, axis=0)).mean(axis=(1, 2))
    # Windowed, because steps at both ends of the anatomy would count as a period.
    size *= np.hanning(len(size) + 2)[1:-1]
    total = float(size.sum())
    if total == 0:
        return math.nan
    wave = np.exp(-2j * np.pi * np.arange(len(size)) / period)
    return float(2 * abs((size * wave).sum()) / total)
