"""Detection of label maps, for which smooth interpolation is the wrong tool."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

# A mask has 2 values, a tissue map 4 to 10, a parcellation hundreds, and an 8-bit MR volume 256.
FEW_VALUES = 32
MANY_VALUES = 4096
# With fewer voxels per value, the number of values says little: any 3 x 3 x 3 volume has few values.
VOXELS_A_VALUE = 8
# Neighbors inside a region of a parcellation are equal; in MR volumes, noise keeps the fraction far below this.
EQUAL_NEIGHBORS = 0.6


def label_count(array: npt.NDArray[Any]) -> int:
    """Return the number of labels in a volume, including background, or 0 if it does not look like a label map.

    A label map has only whole numbers, and either few different values, or at most a few thousand in regions of equal
    voxels. A constant volume is not a label map.

    Args:
        array: Intensities, shape (k, j, i), of a real type; masks are often stored as floating point.
    """
    if array.dtype.kind == "f":
        sample = array.reshape(-1)[:: max(1, array.size // 100_000)]
        if not np.isfinite(sample).all() or (sample != np.round(sample)).any() or (array != np.round(array)).any():
            return 0
    count = len(np.unique(array))
    if count < 2 or count > MANY_VALUES or array.size < VOXELS_A_VALUE * count:
        return 0
    return count if count <= FEW_VALUES or _equal_neighbors(array) > EQUAL_NEIGHBORS else 0


def _equal_neighbors(array: npt.NDArray[Any]) -> float:
    """Return the fraction of voxels equal to their next neighbor along i, unless both are background (0)."""
    first, second = array[..., :-1], array[..., 1:]
    inside = (first != 0) | (second != 0)
    equal, all_inside = int(np.count_nonzero((first == second) & inside)), int(np.count_nonzero(inside))
    return equal / max(1, all_inside)
