"""Agreement with the measurement: a simulated acquisition of the result reproduces the scan.

Let y be the measurement, x the result, D the acquisition (fine to coarse) and U spline interpolation (coarse to fine).
A step adds U(y - D x) to x, which multiplies the difference y - D x by (1 - D U). As D U is one small matrix per axis,
all steps are computed together on the coarse grid, and the fine volume is read and changed only once. Both passes are
sums over fine voxels, so tiles can be processed in any order.

Source:
    Iterative back-projection: Irani and Peleg 1991, https://doi.org/10.1016/1049-9652(91)90045-L
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ArSSRLib.acquisition.matrices import profile_matrices
from ArSSRLib.acquisition.profile import SliceProfile
from ArSSRLib.coordinates import Box
from ArSSRLib.interpolation import FloatArray, apply_matrices, centered_positions, spline_matrix

STEPS = 3
# A coarse voxel is compared if at most this fraction of its slice profile is outside the computed fine voxels.
BEYOND = 1e-6


def corrected(difference: Tensor, round_trip: Sequence[Tensor], strength: Tensor | float, steps: int = STEPS) -> Tensor:
    """Return the correction by all steps together, on the coarse grid; differentiable.

    Args:
        difference: Measurement minus simulated measurement, shape (k', j', i').
        round_trip: D U along k, j, i, each square.
        strength: Fraction of the difference that each step corrects, 0 to 1; values below 1 follow noise less.
        steps: Number of steps.

    Returns:
        The correction, shape (k', j', i'); add its spline interpolation to the result.
    """
    total = strength * difference
    for _ in range(steps - 1):
        difference = difference - strength * apply_matrices(difference, round_trip)
        total = total + strength * difference
    return total


@dataclass(frozen=True)
class Agreement:
    """Matrices along k, j, i between fine voxels and the coarse voxels that they determine.

    Attributes:
        down: Acquisition, each of shape (coarse, fine).
        up: Interpolation, each of shape (fine, coarse).
        round_trip: ``down`` after ``up`` on the whole grids, each square.
    """

    down: tuple[Tensor, ...]
    up: tuple[Tensor, ...]
    round_trip: tuple[Tensor, ...]

    @classmethod
    def of(cls, fine: Sequence[int], coarse: Sequence[int], profile: SliceProfile) -> Agreement:
        """Return the matrices between two shapes (k, j, i), float32; the profile of every coarsened axis must be known.

        Raises:
            ValueError: If the profile of a coarsened axis is unknown.
        """
        matrices = [spline_matrix(old, centered_positions(old, new)) for new, old in zip(fine, coarse, strict=True)]
        down, up = _tensors(profile_matrices(fine, coarse, profile.followed())), _tensors(matrices)
        return cls(down, up, tuple(d @ u for d, u in zip(down, up, strict=True)))

    def of_box(self, computed: Box) -> tuple[Box, Agreement]:
        """Return the coarse voxels that a box of fine voxels determines, and the matrices between these two."""
        k, j, i = (_seen(down, rows) for down, rows in zip(self.down, computed, strict=True))
        box = (k, j, i)
        down = tuple(d[seen, rows] for d, seen, rows in zip(self.down, box, computed, strict=True))
        up = tuple(u[rows, seen] for u, seen, rows in zip(self.up, box, computed, strict=True))
        return box, Agreement(down, up, tuple(m[seen, seen] for m, seen in zip(self.round_trip, box, strict=True)))

    def simulated(self, block: Tensor, place: Sequence[slice]) -> Tensor:
        """Return the contribution of fine voxels at a place to the simulated measurement, shape (k', j', i')."""
        # The planes are reduced first: along k, they may contribute to every coarse voxel.
        k, *in_plane = (d[:, rows] for d, rows in zip(self.down, place, strict=True))
        share: Tensor = torch.tensordot(k, apply_matrices(block, [torch.eye(len(block)), *in_plane]), dims=1)
        return share

    def correction(self, difference: Tensor, strength: float, steps: int = STEPS) -> Tensor:
        """Return the correction on the coarse grid, see `corrected`."""
        return corrected(difference, self.round_trip, strength, steps)

    def interpolated(self, correction: Tensor, place: Sequence[slice]) -> Tensor:
        """Return the correction at a block of fine voxels, in the shape of the block."""
        k, *in_plane = (u[rows] for u, rows in zip(self.up, place, strict=True))
        return apply_matrices(torch.tensordot(k, correction, dims=1), [torch.eye(len(k)), *in_plane])


def _seen(down: Tensor, computed: slice) -> slice:
    """Return the coarse voxels of an axis whose slice profile is inside the computed fine voxels."""
    beyond = down.abs().sum(1) - down[:, computed].abs().sum(1)
    seen = torch.nonzero(beyond <= BEYOND).flatten().tolist()
    return slice(seen[0], seen[-1] + 1) if seen else slice(0, 0)


def _tensors(matrices: Sequence[FloatArray]) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(matrix.astype(np.float32)) for matrix in matrices)
