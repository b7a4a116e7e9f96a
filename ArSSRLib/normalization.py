"""Scanner units to the range that networks know, and back.

A volume is divided by a high percentile of its foreground after its floor has been taken off, so that one odd voxel, an
odd unit or an offset changes nothing: no number is special, 0 neither. Not-a-number and infinite voxels are replaced
here, and nowhere else; padding is replaced in `padding`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ArSSRLib.errors import InputError

FLOOR_PERCENTILE = 0.1
CEILING_PERCENTILE = 99.9
# Voxels up to a twentieth of the range are background: air, its noise, or ringing.
BACKGROUND = 0.05
# A percentile of a million evenly spread voxels is that of all of them, and takes no time.
SAMPLED_VOXELS = 1_000_000
LARGEST = float(np.finfo(np.float64).max) / 2
# Least part of the intensity range that single precision must resolve, or double precision is taken.
RESOLUTION = 1e-4


@dataclass(frozen=True)
class IntensityRange:
    """The linear map between scanner units and about [0, 1].

    Attributes:
        floor: Scanner units that become 0.
        width: Scanner units that become 1 above the floor; positive.
    """

    floor: float
    width: float

    @classmethod
    def of(cls, array: npt.NDArray[Any]) -> IntensityRange:
        """Measure the range of an array of any shape; non-finite voxels are left out.

        The floor is a low percentile, which is 0 where the background is; the ceiling is a high percentile of the
        foreground. How much air surrounds the anatomy therefore changes nothing, and neither does an offset or a
        gain. A constant volume has the width of its value, or 1.
        """
        stride = max(1, array.size // SAMPLED_VOXELS)
        values = array.reshape(-1)[::stride].astype(np.float64)
        # Half of the largest number, so that the width of the range is a number too.
        values = values[np.isfinite(values)].clip(-LARGEST, LARGEST)
        if values.size == 0:
            return cls(0.0, 1.0)
        floor = float(np.percentile(values, FLOOR_PERCENTILE))
        ceiling = _ceiling_above(values, floor)
        ceiling = _ceiling_above(values, floor + BACKGROUND * (ceiling - floor))
        width = ceiling - floor
        # Less than the rounding of the values themselves is no contrast.
        rounding = np.finfo(array.dtype).eps if array.dtype.kind == "f" else 0.0
        if width <= 4 * rounding * max(abs(floor), abs(ceiling)):
            width = max(abs(floor), abs(ceiling)) or 1.0
        return cls(floor, width)

    def normalize(self, array: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return the array in about [0, 1], float32, same shape; it must be finite (see `replace_non_finite`)."""
        # In double precision: 1e30 and its square fit, and 16-bit integers keep their last bit.
        return ((array.astype(np.float64) - self.floor) / self.width).astype(np.float32)

    def restore(self, array: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        """Return a normalized array in scanner units, same shape: float32, or float64 if that cannot resolve them."""
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
    """Tell whether the contrast between two intensities is too small beside their offset for single precision.

    Beyond the range of single precision nothing is gained: a result is clipped to it.
    """
    largest = max(abs(low), abs(high))
    single = np.finfo(np.float32)
    return bool(low < high and largest < single.max and single.eps * largest > RESOLUTION * (high - low))


def result_type(array: npt.NDArray[Any]) -> np.dtype[Any]:
    """Return the type of an upsampled volume: integers keep theirs, masks become small integers, all others float32.

    Real numbers on an offset so large that float32 would lose their contrast stay float64.
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
    """Return the high percentile of the values above a threshold; the threshold itself when there is none."""
    above = values[values > threshold]
    return float(np.percentile(above, CEILING_PERCENTILE)) if above.size else threshold


def replace_non_finite(array: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], int]:
    """Replace voxels that are not a number or infinite, so that they never spread.

    Not-a-number becomes the smallest finite value of the volume (its background), infinity the largest, minus infinity
    the smallest.

    Returns:
        The array, the same object where nothing had to change, and the number of voxels replaced.

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
        msg = "The volume holds no finite number at all, every voxel is NaN or infinite; export it again."
        raise InputError(msg)
    low, high = array[finite].min(), array[finite].max()
    return np.nan_to_num(array, nan=low, posinf=high, neginf=low), count
