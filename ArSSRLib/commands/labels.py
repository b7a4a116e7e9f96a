"""Whether a volume holds labels, for which smooth interpolation is the wrong tool."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

# A mask has 2 values, a tissue map 4 to 10, a parcellation some hundreds, an MR volume of 8 bits 256.
FEW_VALUES = 32
MANY_VALUES = 4096
# Fewer voxels a value than this say nothing: any 3 x 3 x 3 volume has few values.
VOXELS_A_VALUE = 8
# Neighbors inside a region of a parcellation are equal; in MR volumes, noise keeps this part far below.
EQUAL_NEIGHBORS = 0.6


def label_count(array: npt.NDArray[Any]) -> int:
    """Return how many labels a volume holds, background included, or 0 if it does not look like a label map.

    A label map has whole numbers only, and either a few of them, or at most some thousand in patches of equal voxels.
    A constant volume is none.

    Args:
        array: Intensities, shape (k, j, i), of a real type; floating point too, since masks are often stored so.
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
    """Return the part of voxels equal to their next neighbor along i, where not both are background (0)."""
    first, second = array[..., :-1], array[..., 1:]
    inside = (first != 0) | (second != 0)
    equal, all_inside = int(np.count_nonzero((first == second) & inside)), int(np.count_nonzero(inside))
    return equal / max(1, all_inside)
