"""The pixels of a lens: a square of a slice view on the grid of the result. Numbers only, no nodes.

If the view is parallel to axes of the volume, the pixels are voxels of the result in the slice nearest to the view, so
that the lens shows the exact result. In an oblique view, their spacing is that of the finest axis of the result.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ArSSRLib.geometry import LPS_TO_RAS, VolumeGeometry, three
from ArSSRPanel.preview_state import Target

# Largest number of pixels along an edge; if the view is zoomed out further, the lens becomes smaller.
MAXIMUM_EDGE = 160
# Largest deviation of an edge of the lens from an axis of the volume for a straight view, in fine voxels.
STRAIGHT = 0.05

# From pixels to LPS mm, and to RAS mm where they are displayed, both before the parent transforms; columns and rows.
Placed = tuple[np.ndarray, np.ndarray, tuple[int, int]]


def targetOf(
    view: str,
    xyToLocal: np.ndarray,
    square: tuple[float, float, float],
    *,
    fine: VolumeGeometry,
    scale: Sequence[float],
    localToWorld: np.ndarray,
) -> Target | None:
    """Return the target for a square of a slice view, or None if it is outside.

    Args:
        view: Name of the view.
        xyToLocal: From pixels of the view to RAS mm of the volume before its parent transforms, shape (4, 4).
        square: Center and edge in pixels of the view: x, y, edge.
        fine: Grid of the result.
        scale: Factors along i, j, k of the result.
        localToWorld: Parent transforms of the volume, in RAS mm, shape (4, 4).
    """
    x, y, edge = square
    toIndex = np.linalg.inv(fine.ras_affine) @ xyToLocal
    center = toIndex @ [x, y, 0, 1]
    across, up = toIndex[:3, 0] * edge, toIndex[:3, 1] * edge
    axes = int(np.abs(across).argmax()), int(np.abs(up).argmax())
    leaving = [np.abs(np.delete(step, axis)).max() for step, axis in zip((across, up), axes, strict=True)]
    if max(leaving) < STRAIGHT and axes[0] != axes[1]:
        found = _straight(center[:3], (across, up), axes, fine)
    else:
        found = _oblique(xyToLocal, square, fine)
    if found is None:
        return None
    pixelToLPS, pixelToLocal, size = found
    return Target(
        view=view,
        origin=three(pixelToLPS[:3, 3]),
        columnStep=three(pixelToLPS[:3, 0]),
        rowStep=three(pixelToLPS[:3, 1]),
        size=size,
        scale=three(scale),
        ijkToRAS=tuple(float(value) for value in (localToWorld @ pixelToLocal).ravel()),
    )


def _straight(
    center: np.ndarray, edges: tuple[np.ndarray, np.ndarray], axes: tuple[int, int], fine: VolumeGeometry
) -> Placed | None:
    """Return voxels of the result along two of its axes, in the slice nearest to the view."""
    third = 3 - sum(axes)
    if not -0.5 <= center[third] <= fine.size[third] - 0.5:
        return None
    first, steps, size = np.zeros(3), [], []
    for axis, edge in zip(axes, edges, strict=True):
        length = min(abs(edge[axis]), MAXIMUM_EDGE)
        low = max(0, int(np.ceil(center[axis] - length / 2)))
        high = min(fine.size[axis] - 1, int(np.floor(center[axis] + length / 2)))
        if low > high:
            return None
        step = np.zeros(3)
        step[axis] = np.sign(edge[axis])
        first[axis] = low if step[axis] > 0 else high
        steps.append(step)
        size.append(high - low + 1)
    nearest, shown = first.copy(), first.copy()
    nearest[third] = np.clip(np.rint(center[third]), 0, fine.size[third] - 1)
    shown[third] = center[third]  # displayed in the plane of the view, because the view shows nothing outside of it
    through = np.zeros(3)
    through[third] = 1
    columns = np.column_stack([*steps, through])
    pixelToLocal = fine.ras_affine @ _matrix(columns, shown)
    return fine.affine @ _matrix(columns, nearest), pixelToLocal, (size[0], size[1])


def _oblique(xyToLocal: np.ndarray, square: tuple[float, float, float], fine: VolumeGeometry) -> Placed | None:
    """Return pixels in the plane of the view, with the spacing of the finest axis of the result."""
    x, y, edge = square
    spacing = min(fine.spacing)
    steps, size = [], []
    for axis in (0, 1):
        length = float(np.linalg.norm(xyToLocal[:3, axis]))
        steps.append(xyToLocal[:3, axis] * (spacing / length))
        size.append(int(np.clip(edge * length / spacing, 1, MAXIMUM_EDGE)))
    center = (xyToLocal @ [x, y, 0, 1])[:3]
    first = center - steps[0] * (size[0] - 1) / 2 - steps[1] * (size[1] - 1) / 2
    through = np.cross(steps[0], steps[1]) / spacing
    pixelToLocal = _matrix(np.column_stack([*steps, through]), first)
    corners = [(a * size[0], b * size[1], 0, 1) for a in (0, 0.5, 1) for b in (0, 0.5, 1)]
    index = (np.linalg.inv(fine.ras_affine) @ pixelToLocal @ np.transpose(corners))[:3]
    limit = np.array(fine.size)[:, None]
    if ((index < -0.5).all(axis=1) | (index > limit - 0.5).all(axis=1)).any():
        return None
    return LPS_TO_RAS @ pixelToLocal, pixelToLocal, (size[0], size[1])


def _matrix(columns: np.ndarray, origin: np.ndarray) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = columns, origin
    return matrix
