"""Planes of grids, as tests of the lens request them."""

from __future__ import annotations

import numpy as np
import phantoms

from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.upsampling.plane import Plane
from ArSSRLib.volume import Volume


def plane_of(geometry: VolumeGeometry, axis: int, number: int) -> Plane:
    """Return the centers of the voxels of one slice of a grid; ``axis`` counts i, j, k."""
    affine = geometry.affine
    index = np.zeros(3)
    index[axis] = number
    across, down = (n for n in range(3) if n != axis)
    origin = affine[:3, :3] @ index + affine[:3, 3]
    steps = [tuple(map(float, affine[:3, n])) for n in (across, down)]
    return Plane(tuple(map(float, origin)), steps[0], steps[1], (geometry.size[across], geometry.size[down]))


def oblique(geometry: VolumeGeometry, pixels: int = 12, step: float = 0.7) -> Plane:
    """Return a small plane around the middle of a grid, rotated against all of its axes."""
    turn = np.reshape(phantoms.rotation(33, 21, -40), (3, 3)) @ np.reshape(geometry.direction, (3, 3))
    column, row = step * turn[:, 0], step * turn[:, 1]
    middle = np.array(phantoms.point_at(geometry, (0.5, 0.5, 0.5)))
    origin = middle - (pixels - 1) / 2 * (column + row)
    return Plane(*(tuple(map(float, x)) for x in (origin, column, row)), (pixels, pixels))


def range_of(volume: Volume) -> float:
    return float(volume.array.max() - volume.array.min())
