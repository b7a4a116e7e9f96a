"""Correct a finished result in place, so that it agrees with the scan; see `acquisition.consistency`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ArSSRLib.acquisition.consistency import Agreement
from ArSSRLib.normalization import BACKGROUND, IntensityRange
from ArSSRLib.planning import SLAB_VOXELS, Plan, slices_of
from ArSSRLib.scratch import release_pages
from ArSSRLib.tiling import Slices
from ArSSRLib.upsampling.storage import as_type


def make_agree(
    result: npt.NDArray[Any],
    scan: npt.NDArray[Any],
    plan: Plan,
    *,
    intensities: IntensityRange,
    fine_shape: Sequence[int],
    strength: float,
) -> float:
    """Correct a result in place until its simulated acquisition agrees with the scan, according to the strength.

    Args:
        result: Computed box of the plan, shape (k, j, i), in scanner units.
        scan: The whole input, shape (k', j', i'), in scanner units.
        plan: The plan, with the slice profile.
        intensities: Intensity range of the input.
        fine_shape: Shape of the whole fine grid.
        strength: Fraction of the difference that each step corrects, 0 to 1.

    Returns:
        The remaining difference: root mean square over the anatomy, in percent of the intensity range.
    """
    box, agreement = Agreement.of(fine_shape, scan.shape, plan.profile).of_box(slices_of(plan.computed))
    measured = torch.from_numpy(intensities.normalize(scan[box]))
    difference = measured.clone()
    for slab in _slabs(result.shape):
        difference -= agreement.simulated(torch.from_numpy(intensities.normalize(result[slab])), slab)
        release_pages(result)
    correction = agreement.correction(difference, strength)
    lowest, difference = scan.min(), measured.clone()
    for slab in _slabs(result.shape):
        change = agreement.interpolated(correction, slab).numpy()
        for plane, added in zip(result[slab], change, strict=True):
            plane[...] = as_type(plane.astype(np.float64) + intensities.width * added, result.dtype, lowest=lowest)
        difference -= agreement.simulated(torch.from_numpy(intensities.normalize(result[slab])), slab)
        release_pages(result)
    anatomy = measured > BACKGROUND
    left = difference[anatomy] if anatomy.any() else difference
    return 100 * float(left.square().mean().sqrt())


def _slabs(shape: Sequence[int]) -> Iterator[Slices]:
    """Yield the positions of slabs of about `SLAB_VOXELS` voxels."""
    depth = max(1, SLAB_VOXELS // (shape[1] * shape[2]))
    for first in range(0, shape[0], depth):
        yield slice(first, min(first + depth, shape[0])), slice(None), slice(None)
