"""Conversion between scanner units and the intensity range of the networks.

The floor of a volume is subtracted, and the volume is divided by a high percentile of its foreground, so that outliers,
units and offsets have no effect: no number is special, not even 0. NaN and infinite voxels are replaced here, and
nowhere else; `padding` replaces padding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ArSSRLib.errors import InputError

FLOOR_PERCENTILE = 0.1
CEILING_PERCENTILE = 99.9
# Voxels up to a twentieth of the range are background: air, noise in air, or ringing.
BACKGROUND = 0.05
# The percentile of a million evenly distributed voxels is accurate and fast to compute.
SAMPLED_VOXELS = 1_000_000
LARGEST = float(np.finfo(np.float64).max) / 2
# Smallest fraction of the intensity range that single precision must resolve; otherwise, double precision is used.
RESOLUTION = 1e-4


@dataclass(frozen=True)
class IntensityRange:
    """The linear map between scanner units and about [0, 1].

    Attributes:
        floor: Intensity in scanner units that is mapped to 0.
        width: Difference in scanner units that is mapped to 1; positive.
    """

    floor: float
    width: float

    @classmethod
    def of(cls, array: npt.NDArray[Any]) -> IntensityRange:
        """Measure the range of an array of any shape; non-finite voxels are ignored.

        The floor is a low percentile, which is 0 if the background is; the ceiling is a high percentile of the
        foreground. The amount of air around the anatomy therefore has no effect, nor has an offset or a gain. The width
        for a constant volume is its value, or 1.
        """
        stride = max(1, array.size // SAMPLED_VOXELS)
        values = array.reshape(-1)[::stride].astype(np.float64)
        # Half of the largest number, so that the width of the range is also finite.
        values = values[np.isfinite(values)].clip(-LARGEST, LARGEST)
        if values.size == 0:
            return cls(0.0, 1.0)
        floor = float(np.percentile(values, FLOOR_PERCENTILE))
        ceiling = _ceiling_above(values, floor)
        ceiling = _ceiling_above(values, floor + BACKGROUND * (ceiling - floor))
        width = ceiling - floor
        # Differences below the rounding of the values are not contrast.
        rounding = np.finfo(array.dtype).eps if array.dtype.kind == "f" else 0.0
        if width <= 4 * rounding * max(abs(floor), abs(ceiling)):
            width = max(abs(floor), abs(ceiling)) or 1.0
        return cls(floor, width)

    def normalize(self, array: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return the array in about [0, 1], float32, same shape; it must be finite, see `replace_non_finite`."""
        # Computed in double precision: 1e30 and its square are finite, and 16-bit integers keep their last bit.
        return ((array.astype(np.float64) - self.floor) / self.width).astype(np.float32)

    def restore(self, array: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        """Return a normalized array in scanner units, same shape: float32, or float64 if float32 is too imprecise."""
        limit = float(np.finfo(np.float32).max)
        if needs_double(self.floor, self.floor + self.width):
            return array.astype(np.float64) * self.width + self.floor
        if abs(self.floor) + 4 * abs(self.width) < limit:
            restored = array * np.float32(self.width)
            restored += np.float32(self.floor)
            return restored
        wide = array.astype(np.float64) * self.width + self.floor
        return np.clip(wide, -limit, limit).astype(np.float32)


def needs_double(low: float, high: float) -> bool:
    """Return whether a contrast is too small, relative to its offset, for single precision.

    Beyond the range of single precision, double precision has no benefit, because results are clipped to that range.
    """
    largest = max(abs(low), abs(high))
    single = np.finfo(np.float32)
    return bool(low < high and largest < single.max and single.eps * largest > RESOLUTION * (high - low))


def result_type(array: npt.NDArray[Any]) -> np.dtype[Any]:
    """Return the type of an upsampled volume: integers are kept, masks become small integers, all others float32.

    Real numbers remain float64 if their offset is so large that float32 would lose contrast.
    """
    if array.dtype.kind == "b":
        return np.dtype(np.uint8)
    if array.dtype.kind in "iu":
        return array.dtype
    if array.dtype.itemsize <= 4:
        return np.dtype(np.float32)
    finite = np.isfinite(array)
    low, high = (array.min(where=finite, initial=np.inf), array.max(where=finite, initial=-np.inf))
    return np.dtype(np.float64 if needs_double(float(low), float(high)) else np.float32)


def _ceiling_above(values: npt.NDArray[np.float64], threshold: float) -> float:
    """Return the high percentile of the values above a threshold, or the threshold if there are none."""
    above = values[values > threshold]
    return float(np.percentile(above, CEILING_PERCENTILE)) if above.size else threshold


def replace_non_finite(array: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], int]:
    """Replace NaN and infinite voxels, so that they do not spread.

    NaN is replaced by the smallest finite value of the volume (its background), infinity by the largest, minus infinity
    by the smallest.

    Returns:
        The array, which is the same object if nothing was replaced, and the number of replaced voxels.

    Raises:
        InputError: If no voxel is a finite number.
    """
    if array.dtype.kind != "f":
        return array, 0
    finite = np.isfinite(array)
    count = int(array.size - np.count_nonzero(finite))
    if count == 0:
        return array, 0
    if count == array.size:
        msg = "The volume has no finite values: every voxel is NaN or infinite; export it again."
        raise InputError(msg)
    low, high = array[finite].min(), array[finite].max()
    return np.nan_to_num(array, nan=low, posinf=high, neginf=low), count
