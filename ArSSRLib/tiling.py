"""Coarse crops and the blocks of fine voxels that they determine, within a memory limit.

A tile owns a block of coarse voxels and all fine voxels whose centers lie in them; its crop is that block with a halo.
With the halo of the model, tiles are exact: they are written side by side, without blending. Nothing here depends on
networks; the memory of a coarse voxel is a number.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ArSSRLib.errors import MemoryLimitError

Shape = tuple[int, int, int]
Slices = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Tile:
    """One step of the work.

    Attributes:
        crop: Coarse voxels to encode, including the halo, along k, j, i.
        block: Fine voxels to write, along k, j, i.
    """

    crop: Slices
    block: Slices

    @property
    def crop_voxels(self) -> int:
        """Number of coarse voxels to encode."""
        return math.prod(s.stop - s.start for s in self.crop)

    @property
    def block_voxels(self) -> int:
        """Number of fine voxels to write."""
        return math.prod(s.stop - s.start for s in self.block)


def plan_tiles(coarse: Shape, fine: Shape, *, halo: int, maximum_crop: int, region: Slices | None = None) -> list[Tile]:
    """Divide a volume, or a region of it, into the tiles that encode the fewest voxels.

    Args:
        coarse: Shape of the input, (k, j, i).
        fine: Shape of the output, (k, j, i), each at least that of the input.
        halo: Coarse voxels of a crop around its block.
        maximum_crop: Largest number of voxels in a crop.
        region: Requested box of fine voxels, along k, j, i, not empty; all if None.

    Returns:
        Tiles in memory order; their blocks cover the region once.

    Raises:
        MemoryLimitError: If even the smallest crop exceeds the limit.
    """
    # The work of a plan is a product over the axes, so each axis is optimized independently.
    wanted = region or (slice(0, fine[0]), slice(0, fine[1]), slice(0, fine[2]))
    spans = [_coarse_span(part, n, m) for part, n, m in zip(wanted, coarse, fine, strict=True)]
    options = [
        [_axis_blocks(span, parts, halo, n) for parts in _part_counts(span[1] - span[0])]
        for span, n in zip(spans, coarse, strict=True)
    ]
    sums = [np.array([sum(stop - start for start, stop in crops) for _, crops in axis]) for axis in options]
    largest = [np.array([max(stop - start for start, stop in crops) for _, crops in axis]) for axis in options]
    work = sums[0][:, None, None] * sums[1][:, None] * sums[2].astype(np.float64)
    peak = largest[0][:, None, None] * largest[1][:, None] * largest[2].astype(np.float64)
    if peak.min() > maximum_crop:
        msg = (
            f"The smallest tile has {int(peak.min())} voxels, but the memory limit leaves room for "
            f"{max(0, maximum_crop)}; raise the limit, choose a smaller scale or restrict the volume to a region."
        )
        raise MemoryLimitError(msg)
    best = np.unravel_index(np.argmin(np.where(peak <= maximum_crop, work, np.inf)), work.shape)
    axes = [
        [
            (slice(*crop), _fine_block(block, n, m, within=wanted[axis]))
            for block, crop in zip(*options[axis][best[axis]], strict=True)
        ]
        for axis, (n, m) in enumerate(zip(coarse, fine, strict=True))
    ]
    return [Tile((k[0], j[0], i[0]), (k[1], j[1], i[1])) for k, j, i in itertools.product(*axes)]


def first_fine(voxel: int, coarse: int, fine: int) -> int:
    """Return the first of ``fine`` voxels whose center lies in coarse voxel ``voxel`` of ``coarse`` or beyond it."""
    # (m + 0.5) / fine >= voxel / coarse, in integers, so that neighbors neither overlap nor leave a gap.
    return -((coarse - 2 * voxel * fine) // (2 * coarse))


def split(length: int, parts: int) -> list[tuple[int, int]]:
    """Divide ``length`` voxels into ``parts`` ranges whose lengths differ by at most one."""
    edges = [length * part // parts for part in range(parts + 1)]
    return list(itertools.pairwise(edges))


def _coarse_span(part: slice, coarse: int, fine: int) -> tuple[int, int]:
    """Return the first coarse voxel with a center of some fine voxels, and the one after the last."""
    first, last = ((2 * index + 1) * coarse // (2 * fine) for index in (part.start, part.stop - 1))
    return first, last + 1


def _axis_blocks(
    span: tuple[int, int], parts: int, halo: int, length: int
) -> tuple[Sequence[tuple[int, int]], Sequence[tuple[int, int]]]:
    """Return the blocks of a span of one axis and their crops, as (start, stop)."""
    blocks = [(span[0] + start, span[0] + stop) for start, stop in split(span[1] - span[0], parts)]
    return blocks, [(max(0, start - halo), min(length, stop + halo)) for start, stop in blocks]


def _fine_block(block: tuple[int, int], coarse: int, fine: int, *, within: slice) -> slice:
    """Return the requested fine voxels of a block of coarse voxels."""
    start, stop = (first_fine(edge, coarse, fine) for edge in block)
    return slice(max(start, within.start), min(stop, within.stop))


def _part_counts(length: int) -> list[int]:
    """Return candidates for the number of parts of an axis: up to 16, then one for every block length down to 1."""
    return sorted({*range(1, min(16, length) + 1), *(math.ceil(length / block) for block in range(1, 17))})
