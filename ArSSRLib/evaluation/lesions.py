"""Lesions of a truth: the regions that results are judged in, and how much of their contrast a result keeps.

Where a mask of lesions comes from is told by `truth`; lesions that are made up live in `synthetic_lesions`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ArSSRLib.metrics import Mask

Array = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]

GIVEN, SYNTHETIC = "lesions", "synthetic lesions"
# In mm about a lesion: what is judged with it, for its edge is what coarse voxels blur; and what it is compared with.
MARGIN, SURROUND = 2.0, 5.0


@dataclass(frozen=True)
class Lesions:
    """The lesions of a volume.

    Attributes:
        name: Of their region in tables: "lesions", or "synthetic lesions".
        labels: 1 and up inside each lesion, 0 elsewhere, shape (k, j, i).
        region: The lesions and `MARGIN` around them, same shape.
        surround: The label of the lesion that a voxel is the surround of, 0 elsewhere, same shape: the anatomy from
            `MARGIN` to `SURROUND` about it, nearest to it of all lesions.
    """

    name: str
    labels: Labels
    region: Mask
    surround: Labels

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self.labels.max())


def lesions_of(mask: Mask, anatomy: Mask, spacing: tuple[float, float, float], name: str) -> Lesions | None:
    """Return the lesions in a mask, each a connected part of it; None where it is empty.

    Args:
        mask: Voxels of lesions, shape (k, j, i).
        anatomy: Voxels that may surround one, same shape.
        spacing: Along i, j, k, in mm.
        name: Of their region in tables.
    """
    labels, count = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    if count == 0:
        return None
    labels = labels.astype(np.int32)
    distance, nearest = ndimage.distance_transform_edt(~mask, sampling=spacing[::-1], return_indices=True)
    around = anatomy & (distance > MARGIN) & (distance <= SURROUND)
    return Lesions(name, labels, distance <= MARGIN, np.where(around, labels[tuple(nearest)], np.int32(0)))


def contrast_recovery(truth: Array, result: Array, lesions: Lesions) -> float:
    """Return the mean contrast of the lesions in a result, as part of that in the truth, unitless.

    The contrast of a lesion is the mean inside it minus the mean of its surround, taken as positive in the truth: 1
    where a result keeps it, 0 where the lesion is as bright as its surround, below 0 where it is inverted, above 1
    where it is exaggerated.

    Args:
        truth: Intensities, shape (k, j, i).
        result: What is judged, same shape.
        lesions: Of the truth; one without a surround does not count.

    Returns:
        The recovery; not a number where no lesion of the truth has a contrast.
    """
    true, found = _contrasts(truth, lesions), _contrasts(result, lesions)
    total = float(np.abs(true).sum())
    return float((np.sign(true) * found).sum()) / total if total > 0 else math.nan


def _contrasts(array: Array, lesions: Lesions) -> npt.NDArray[np.float64]:
    numbers = np.intersect1d(lesions.labels[lesions.labels > 0], lesions.surround)
    inside, around = (
        np.asarray(ndimage.mean(array.astype(np.float64), labels, numbers))
        for labels in (lesions.labels, lesions.surround)
    )
    return np.asarray(inside - around)
