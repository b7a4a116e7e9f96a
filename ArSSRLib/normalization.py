"""Scanner units to the range that networks know, and back.

A volume is divided by a high percentile of its foreground after its floor has been taken off, so that one bright voxel
or an odd unit changes nothing. Not-a-number and infinite voxels are replaced here, and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FLOOR_PERCENTILE = 0.1
CEILING_PERCENTILE = 99.9
# Negative values down to a tenth of the ceiling are the ringing of a filter around a background of 0, not a floor.
RINGING = 0.1
# Voxels up to a twentieth of the ceiling are background: air, its noise, or ringing.
BACKGROUND = 0.05
# A percentile of a million evenly spread voxels is that of all of them, and takes no time.
SAMPLED_VOXELS = 1_000_000
LARGEST = float(np.finfo(np.float64).max) / 2


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

        The floor is 0 for a volume without negative voxels, or with those of ringing, else a low percentile; the
        ceiling is a high percentile of the foreground. How much air surrounds the anatomy therefore changes nothing. A
        constant volume has the width of its value, or 1.
        """
        stride = max(1, array.size // SAMPLED_VOXELS)
        values = array.reshape(-1)[::stride].astype(np.float64)
        # Half of the largest number, so that the width of the range is a number too.
        values = values[np.isfinite(values)].clip(-LARGEST, LARGEST)
        if values.size == 0:
            return cls(0.0, 1.0)
        floor = 0.0 if values.min() >= 0 else float(np.percentile(values, FLOOR_PERCENTILE))
        ceiling = _ceiling_above(values, floor)
        if -RINGING * ceiling < floor < 0:
            floor = 0.0
            ceiling = _ceiling_above(values, floor)
        ceiling = _ceiling_above(values, floor + BACKGROUND * (ceiling - floor))
        width = ceiling - floor
        # Less than the rounding of the values themselves is no contrast.
        if width <= 1e-6 * max(abs(floor), abs(ceiling)):
            width = max(abs(floor), abs(ceiling)) or 1.0
        return cls(floor, width)

    def normalize(self, array: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return the array in about [0, 1], float32, same shape; it must be finite (see `replace_non_finite`)."""
        # In double precision: 1e30 and its square fit, and 16-bit integers keep their last bit.
        return ((array.astype(np.float64) - self.floor) / self.width).astype(np.float32)

    def restore(self, array: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return a normalized array in scanner units, float32, same shape."""
        limit = float(np.finfo(np.float32).max)
        if abs(self.floor) + 4 * abs(self.width) < limit:
            restored = array * np.float32(self.width)
            restored += np.float32(self.floor)
            return restored
        wide = array.astype(np.float64) * self.width + self.floor
        return np.clip(wide, -limit, limit).astype(np.float32)


def _ceiling_above(values: npt.NDArray[np.float64], threshold: float) -> float:
    """Return the high percentile of the values above a threshold; the threshold itself when there is none."""
    above = values[values > threshold]
    return float(np.percentile(above, CEILING_PERCENTILE)) if above.size else threshold


def replace_non_finite(array: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], int]:
    """Replace voxels that are not a number or infinite, so that they never spread.

    Not-a-number becomes the smallest finite value of the volume (its background), infinity the largest, minus infinity
    the smallest; a volume without any finite voxel becomes 0.

    Returns:
        The array, the same object where nothing had to change, and the number of voxels replaced.
    """
    if array.dtype.kind != "f":
        return array, 0
    finite = np.isfinite(array)
    count = int(array.size - np.count_nonzero(finite))
    if count == 0:
        return array, 0
    low, high = (array[finite].min(), array[finite].max()) if count < array.size else (0.0, 0.0)
    return np.nan_to_num(array, nan=low, posinf=high, neginf=low), count
