"""Lesions of a truth: the regions for evaluating results, and the contrast that a result preserves.

`ground_truth` reads lesion masks; `synthetic_lesions` creates lesions.
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
# In mm around a lesion: the margin that belongs to it, because coarse voxels blur its edge; and the surround.
MARGIN, SURROUND = 2.0, 5.0


@dataclass(frozen=True)
class Lesions:
    """The lesions of a volume.

    Attributes:
        name: Name of their region in tables: "lesions" or "synthetic lesions".
        labels: 1 and up inside each lesion, 0 elsewhere, shape (k, j, i).
        region: The lesions and `MARGIN` around them, same shape.
        surround: Label of the lesion that a voxel surrounds, 0 elsewhere, same shape: anatomy from `MARGIN` to
            `SURROUND` around a lesion is assigned to the nearest lesion.
    """

    name: str
    labels: Labels
    region: Mask
    surround: Labels

    @property
    def count(self) -> int:
        """Number of lesions."""
        return int(self.labels.max())


def lesions_of(mask: Mask, anatomy: Mask, spacing: tuple[float, float, float], name: str) -> Lesions | None:
    """Return the lesions of a mask, each a connected component; None if the mask is empty.

    ``anatomy`` are the voxels that may be part of a surround; the spacing is along i, j, k, in mm; ``name`` is that of
    their region in tables.
    """
    labels, count = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    if count == 0:
        return None
    labels = labels.astype(np.int32)
    distance, nearest = ndimage.distance_transform_edt(~mask, sampling=spacing[::-1], return_indices=True)
    around = anatomy & (distance > MARGIN) & (distance <= SURROUND)
    return Lesions(name, labels, distance <= MARGIN, np.where(around, labels[tuple(nearest)], np.int32(0)))


def contrast_recovery(truth: Array, result: Array, lesions: Lesions) -> float:
    """Return the mean contrast of the lesions in a result, relative to that in the truth, unitless.

    The contrast of a lesion is its mean minus the mean of its surround, with the sign that is positive in the truth: 1
    if a result preserves it, 0 if the lesion is as bright as its surround, below 0 if it is inverted, above 1 if it is
    exaggerated.

    Args:
        truth: Intensities, shape (k, j, i).
        result: The result, same shape.
        lesions: Lesions of the truth; a lesion without a surround is ignored.

    Returns:
        The recovery; NaN if no lesion of the truth has a contrast.
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
