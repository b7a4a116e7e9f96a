"""Cell-centered positions of a grid, unitless.

Coordinates -1 and +1 are the outer faces of the first and the last voxel (``align_corners=False``). The order is
always (k, j, i), as in arrays. `geometry` handles millimeters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

AxisTriple = tuple[Tensor, Tensor, Tensor]
# A box of voxels along k, j, i.
Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class QueryGrid:
    """The fine voxels of one block, axis by axis in (k, j, i) order.

    Attributes:
        query: Coordinates in the whole volume, three float64 vectors in [-1, 1], as inputs of the decoder.
        sampling: Continuous voxel indices in the coarse crop, three float64 vectors; 0 is the center of its first
            voxel. They are only used to sample the feature map.
    """

    query: AxisTriple
    sampling: AxisTriple

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of fine voxels along k, j, i."""
        k, j, i = (len(axis) for axis in self.sampling)
        return (k, j, i)


def cell_centers(count: int) -> Tensor:
    """Return the coordinates of ``count`` voxel centers along one axis, shape (count,), float64."""
    return (2 * torch.arange(count, dtype=torch.float64) + 1) / count - 1


def index_of(coordinate: Tensor, count: int) -> Tensor:
    """Convert coordinates in [-1, 1] to continuous indices along an axis of ``count`` voxels."""
    return ((coordinate + 1) * count - 1) / 2


def coordinate_of(index: Tensor, count: int) -> Tensor:
    """Convert continuous indices along an axis of ``count`` voxels to coordinates in [-1, 1]."""
    return (2 * index + 1) / count - 1


def whole_grid(coarse_shape: tuple[int, int, int], fine_shape: tuple[int, int, int]) -> QueryGrid:
    """Return the query grid of a whole volume of ``fine_shape`` for one of ``coarse_shape``, both (k, j, i)."""
    k, j, i = (cell_centers(fine) for fine in fine_shape)
    sampling = tuple(index_of(axis, n) for axis, n in zip((k, j, i), coarse_shape, strict=True))
    return QueryGrid(query=(k, j, i), sampling=(sampling[0], sampling[1], sampling[2]))


def linear_taps(position: Tensor, count: int, *, padding: str = "border") -> tuple[Tensor, Tensor]:
    """Return the two voxels for linear interpolation, and their weights.

    Args:
        position: Continuous voxel indices along one axis, any shape (*S).
        count: Number of voxels along the axis.
        padding: "border" repeats the outermost voxel; "zeros" uses zeros outside.

    Returns:
        Indices inside the axis, int64, and weights in the type of ``position``, both with shape (*S, 2).
    """
    lower = torch.floor(position)
    fraction = position - lower
    index = torch.stack([lower, lower + 1], dim=-1).long()
    weight = torch.stack([1 - fraction, fraction], dim=-1)
    if padding == "zeros":
        weight = weight * ((index >= 0) & (index < count))
    return index.clamp(0, count - 1), weight


def whole_box(shape: Sequence[int]) -> Box:
    """Return the box of all voxels of a grid with ``shape``, (k, j, i)."""
    k, j, i = (slice(0, n) for n in shape)
    return (k, j, i)


def grown(box: Box, margin: int, shape: Sequence[int]) -> Box:
    """Return a box enlarged by ``margin`` voxels per side, clipped to a grid whose ``shape`` begins with k, j, i."""
    k, j, i = (slice(max(0, s.start - margin), min(n, s.stop + margin)) for s, n in zip(box, shape[:3], strict=True))
    return (k, j, i)


def shrunk(box: Box, margin: int, shape: Sequence[int]) -> Box:
    """Return a box without its outermost ``margin`` voxels, except at the edge of a grid with ``shape``."""
    k, j, i = (
        slice(s.start and s.start + margin, s.stop if s.stop == n else s.stop - margin)
        for s, n in zip(box, shape[:3], strict=True)
    )
    return (k, j, i)


def within(inner: Box, outer: Box) -> Box:
    """Return a box relative to the first voxel of another box that contains it."""
    k, j, i = (slice(a.start - b.start, a.stop - b.start) for a, b in zip(inner, outer, strict=True))
    return (k, j, i)


def is_inside(inner: Box, outer: Box) -> bool:
    """Return whether a box is inside another one."""
    return all(a.start >= b.start and a.stop <= b.stop for a, b in zip(inner, outer, strict=True))


def voxels_of(box: Box) -> int:
    """Return the number of voxels of a box."""
    return math.prod(s.stop - s.start for s in box)
