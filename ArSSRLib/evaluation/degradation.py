"""Simulated acquisition of a truth, and the corresponding spline interpolation: one matrix per axis, by name.

Voxels are cells of one field of view, except for "endpoints", the degradation of the paper: there, the first and the
last voxel centers of both grids coincide, also for cubic interpolation, so that every degradation has a matching
spline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from ArSSRLib.acquisition.matrices import acquisition_matrices, back_project, endpoint_matrices
from ArSSRLib.interpolation import FloatArray, apply_matrices, centered_positions, spline_matrix

Array = npt.NDArray[np.float32]

# Each with its sentence for the report.
DEGRADATIONS = {
    "point": "the cubic spline of the truth, sampled at the centers of the coarse voxels; nothing is averaged",
    "gaussian": "a Gaussian slice profile with a full width at half maximum of one coarse voxel along every coarsened "
    "axis, then sampling at the centers of the coarse voxels",
    "box": "the mean of the truth over each coarse voxel",
    "endpoints": "the paper's: the cubic spline of the truth, sampled so that the first and the last voxel centers of "
    "both grids coincide (`scipy.ndimage.zoom`, order 3); cubic interpolation and back-projection use the same grid, "
    "and the networks treat voxels as cells of one field of view, as the paper's queries do",
}


@dataclass(frozen=True)
class Acquisition:
    """A simulated acquisition and its interpolation: matrices along k, j, i from fine to coarse, and back."""

    down: list[FloatArray]
    up: list[FloatArray]

    def coarsened(self, fine: Array) -> Array:
        """Return the acquisition of a fine array, shape (k', j', i')."""
        return _applied(fine, self.down)

    def interpolated(self, coarse: Array) -> Array:
        """Return the spline interpolation of a coarse array, shape (k, j, i)."""
        return _applied(coarse, self.up)

    def back_projected(self, coarse: Array) -> Array:
        """Return the interpolation, corrected until its acquisition agrees with the coarse array, shape (k, j, i)."""
        fine = torch.from_numpy(self.interpolated(coarse))
        start = torch.from_numpy(np.ascontiguousarray(coarse, dtype=np.float32))
        return np.asarray(back_project(start, fine, self.down, up=self.up).numpy())


def acquisition(fine: Sequence[int], coarse: Sequence[int], name: str) -> Acquisition:
    """Return an acquisition by its name in `DEGRADATIONS`, between shapes (k, j, i)."""
    down = acquisition_matrices(fine, coarse, profile=name)
    if name == "endpoints":
        return Acquisition(down, endpoint_matrices(coarse, fine))
    pairs = zip(fine, coarse, strict=True)
    return Acquisition(down, [spline_matrix(old, centered_positions(old, new)) for new, old in pairs])


def _applied(array: Array, matrices: Sequence[FloatArray]) -> Array:
    return np.asarray(apply_matrices(torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)), matrices).numpy())
