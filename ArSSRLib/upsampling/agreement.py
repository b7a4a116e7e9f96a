"""Correction of a finished result to agree with the scan, in little memory; see `acquisition.consistency`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ArSSRLib.acquisition.consistency import Agreement, corrected
from ArSSRLib.interpolation import apply_matrices
from ArSSRLib.normalization import BACKGROUND, IntensityRange
from ArSSRLib.planning import SLAB_VOXELS, Plan, slices_of
from ArSSRLib.scratch import release_pages
from ArSSRLib.tiling import Slices
from ArSSRLib.upsampling.storage import as_type

# A coarse voxel is compared if at most this fraction of its slice profile is outside the available voxels.
BEYOND = 1e-6


@dataclass(frozen=True)
class _Matrices:
    """Acquisition and interpolation between the computed fine voxels and the coarse voxels that they determine.

    Attributes:
        box: These coarse voxels, along k, j, i.
        down: Acquisition along k, j, i, each of shape (coarse, fine).
        up: Interpolation along k, j, i, each of shape (fine, coarse).
        round_trip: ``down`` after ``up`` on the whole grids, each square.
    """

    box: Slices
    down: tuple[Tensor, ...]
    up: tuple[Tensor, ...]
    round_trip: tuple[Tensor, ...]

    @classmethod
    def of(cls, plan: Plan, fine_shape: Sequence[int], coarse_shape: Sequence[int]) -> _Matrices:
        """Return the matrices of a plan; the shapes are those of the whole grids, (k, j, i)."""
        whole = Agreement.of(fine_shape, coarse_shape, plan.profile)
        computed = slices_of(plan.computed)
        k, j, i = (_seen(down, rows) for down, rows in zip(whole.down, computed, strict=True))
        box = (k, j, i)
        return cls(
            box,
            tuple(d[seen, rows] for d, seen, rows in zip(whole.down, box, computed, strict=True)),
            tuple(u[rows, seen] for u, seen, rows in zip(whole.up, box, computed, strict=True)),
            tuple((d @ u)[seen, seen] for d, u, seen in zip(whole.down, whole.up, box, strict=True)),
        )

    def acquired(self, slab: Tensor, rows: slice) -> Tensor:
        """Return the contribution of fine planes to the simulated scan, in the shape of ``box``."""
        # The planes are reduced first: along k, they may contribute to every coarse voxel.
        in_plane = apply_matrices(slab, _in_plane(self.down, rows))
        share: Tensor = torch.tensordot(self.down[0][:, rows], in_plane, dims=1)
        return share

    def interpolated(self, correction: Tensor, rows: slice) -> Tensor:
        """Return a correction in the shape of ``box``, interpolated at some fine planes."""
        return apply_matrices(torch.tensordot(self.up[0][rows], correction, dims=1), _in_plane(self.up, rows))


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
    matrices = _Matrices.of(plan, fine_shape, scan.shape)
    measured = torch.from_numpy(intensities.normalize(scan[matrices.box]))
    difference = measured.clone()
    for rows in _slabs(result.shape):
        difference -= matrices.acquired(torch.from_numpy(intensities.normalize(result[rows])), rows)
        release_pages(result)
    correction = corrected(difference, matrices.round_trip, strength)
    lowest, difference = scan.min(), measured.clone()
    for rows in _slabs(result.shape):
        change = matrices.interpolated(correction, rows).numpy()
        for plane, added in zip(result[rows], change, strict=True):
            plane[...] = as_type(plane.astype(np.float64) + intensities.width * added, result.dtype, lowest=lowest)
        difference -= matrices.acquired(torch.from_numpy(intensities.normalize(result[rows])), rows)
        release_pages(result)
    anatomy = measured > BACKGROUND
    left = difference[anatomy] if anatomy.any() else difference
    return 100 * float(left.square().mean().sqrt())


def _slabs(shape: Sequence[int]) -> Iterator[slice]:
    """Yield ranges of planes of about `SLAB_VOXELS` voxels."""
    depth = max(1, SLAB_VOXELS // (shape[1] * shape[2]))
    for first in range(0, shape[0], depth):
        yield slice(first, min(first + depth, shape[0]))


def _in_plane(matrices: Sequence[Tensor], rows: slice) -> list[Tensor]:
    """Return the matrices along j and i, with the identity along k."""
    return [torch.eye(rows.stop - rows.start), *matrices[1:]]


def _seen(down: Tensor, computed: slice) -> slice:
    """Return the coarse voxels of an axis whose slice profile is inside the computed fine voxels."""
    beyond = down.abs().sum(1) - down[:, computed].abs().sum(1)
    seen = torch.nonzero(beyond <= BEYOND).flatten().tolist()
    return slice(seen[0], seen[-1] + 1) if seen else slice(0, 0)
