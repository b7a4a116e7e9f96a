"""Agreement with the measurement: a simulated acquisition of the result reproduces the scan.

With the acquisition D (fine to coarse) and spline interpolation U (coarse to fine), a step adds U(y - D x) to a result
x of the measurement y. Each step multiplies the difference by (1 - D U), and D U is one small matrix per axis. All
steps are therefore computed together on the coarse grid, and the fine volume is read and changed only once. Both passes
are sums over fine voxels, so tiles can be processed in any order.

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
from ArSSRLib.interpolation import FloatArray, apply_matrices, centered_positions, spline_matrix

STEPS = 3


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
    """Matrices along k, j, i from a fine volume to its measurement, (coarse, fine), and back, (fine, coarse)."""

    down: tuple[Tensor, ...]
    up: tuple[Tensor, ...]

    @classmethod
    def of(cls, fine: Sequence[int], coarse: Sequence[int], profile: SliceProfile) -> Agreement:
        """Return the matrices between two shapes (k, j, i), float32; the profile of every coarsened axis must be known.

        Raises:
            ValueError: If the profile of a coarsened axis is unknown.
        """
        up = [spline_matrix(old, centered_positions(old, new)) for new, old in zip(fine, coarse, strict=True)]
        return cls(_tensors(profile_matrices(fine, coarse, profile)), _tensors(up))

    def simulated(self, block: Tensor, place: Sequence[slice]) -> Tensor:
        """Return the contribution of fine voxels at a place to the simulated measurement, shape (k', j', i')."""
        return apply_matrices(block, [d[:, rows] for d, rows in zip(self.down, place, strict=True)])

    def correction(self, difference: Tensor, strength: float, steps: int = STEPS) -> Tensor:
        """Return the correction on the coarse grid, see `corrected`."""
        return corrected(difference, [d @ u for d, u in zip(self.down, self.up, strict=True)], strength, steps)

    def interpolated(self, correction: Tensor, place: Sequence[slice]) -> Tensor:
        """Return the correction at a block of fine voxels, in the shape of the block."""
        return apply_matrices(correction, [u[rows] for u, rows in zip(self.up, place, strict=True)])


def _tensors(matrices: Sequence[FloatArray]) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(matrix.astype(np.float32)) for matrix in matrices)
