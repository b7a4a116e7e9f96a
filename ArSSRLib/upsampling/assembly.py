"""Tile by tile into the result: normalized, encoded once, asked slab by slab, restored to scanner units."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ArSSRLib.coordinates import QueryGrid, cell_centers, index_of
from ArSSRLib.kernels.transfer import to_device, to_host
from ArSSRLib.model.interface import Conditioning, Executor
from ArSSRLib.normalization import IntensityRange
from ArSSRLib.planning import SLAB_VOXELS, Plan, slices_of
from ArSSRLib.scratch import write_block
from ArSSRLib.tiling import Slices, Tile, split
from ArSSRLib.upsampling.mirrors import MIRROR_IMAGES, Average, Mirrored
from ArSSRLib.upsampling.storage import as_type

Progress = Callable[[float], object]


def assemble(
    result: npt.NDArray[Any],
    array: npt.NDArray[Any],
    plan: Plan,
    *,
    executor: Executor,
    told: Conditioning,
    intensities: IntensityRange,
    slabs_independent: bool,
    fine_shape: Sequence[int],
    device: torch.device,
    report: Progress,
    uncertainty: npt.NDArray[np.float32] | None = None,
) -> None:
    """Write the upsampled ``array``, shape (k, j, i), into ``result`` tile by tile, in scanner units.

    The standard deviation of the answers to the mirror images goes into ``uncertainty``, also in scanner units.
    """
    # The overshoot of an edge is not darker than the background: a magnitude image has no negative voxels.
    lowest = array.min()
    # Blocks count from the first voxel of the whole fine grid, the result from that of its computed box.
    corner = [s.start for s in slices_of(plan.computed)]
    on_device = told.map(lambda tensor: to_device(tensor, device))
    finished = 0.0

    def add(cost: float) -> None:
        """Tell that work of this cost is done."""
        nonlocal finished
        finished += cost
        # The last call belongs to `upsample`, which makes it exactly 1.
        report(min(finished / plan.cost, 1.0))

    def answers(tile: Tile, volume: torch.Tensor, axes: tuple[int, ...] = ()) -> Iterator[tuple[Slices, torch.Tensor]]:
        """Yield the block of a tile as the network sees it in one mirror image."""
        return _answers(
            Mirrored(executor, axes) if axes else executor,
            volume,
            on_device,
            tile=tile,
            coarse_shape=array.shape,
            fine_shape=fine_shape,
            slabs_independent=slabs_independent,
            cost=plan.encoding_cost * tile.crop_voxels,
            add=add,
        )

    def write(target: npt.NDArray[Any], block: Slices, planes: Iterable[npt.NDArray[Any]]) -> None:
        """Write the planes of a block to their place."""
        write_block(target, tuple(slice(s.start - c, s.stop - c) for s, c in zip(block, corner, strict=True)), planes)

    def restored(fine: npt.NDArray[np.float32]) -> Iterator[npt.NDArray[Any]]:
        """Yield planes in scanner units: the conversion of a slab at once would take several times its memory."""
        return (as_type(intensities.restore(plane), plan.dtype, lowest=lowest) for plane in fine)

    for tile in plan.tiles:
        coarse = intensities.normalize(array[tile.crop])
        volume = to_device(torch.from_numpy(coarse), device)[None, None]
        if plan.options.mirrored:
            average = Average(tile, spread=uncertainty is not None)
            for axes in MIRROR_IMAGES:
                average.add(answers(tile, volume, axes))
                add(tile.block_voxels)
            write(result, tile.block, restored(average.mean))
            if uncertainty is not None:
                write(uncertainty, tile.block, (plane * intensities.width for plane in average.deviation()))
            continue
        for block, fine in to_host(answers(tile, volume)):
            write(result, block, restored(fine))
            add(fine.size)
            del fine  # not kept while the next one is made


def _answers(
    executor: Executor,
    volume: torch.Tensor,
    told: Conditioning,
    *,
    tile: Tile,
    coarse_shape: Sequence[int],
    fine_shape: Sequence[int],
    slabs_independent: bool,
    cost: float,
    add: Callable[[float], None],
) -> Iterator[tuple[Slices, torch.Tensor]]:
    """Encode the crop of a tile and yield its block slab by slab: where, and normalized intensities."""
    left = cost

    def advance(part: float) -> None:
        """Add the cost of a part of the encoding: that of a large tile takes minutes on a CPU."""
        nonlocal left
        share = min(left, cost * part)
        left -= share
        add(share)

    answer = executor.encode_tile(volume, told, advance)
    if not slabs_independent:  # what it has to compute, it computes now
        yield tile.block, answer(query_grid_of(tile.block, tile.crop, coarse_shape, fine_shape))
        add(left)
        return
    add(left)
    depth = tile.block[0].stop - tile.block[0].start
    slabs = min(depth, -(-tile.block_voxels // SLAB_VOXELS))
    for start, stop in split(depth, slabs):
        rows = slice(tile.block[0].start + start, tile.block[0].start + stop)
        block = (rows, tile.block[1], tile.block[2])
        yield block, answer(query_grid_of(block, tile.crop, coarse_shape, fine_shape))


def query_grid_of(
    block: tuple[slice, slice, slice],
    crop: tuple[slice, slice, slice],
    coarse_shape: Sequence[int],
    fine_shape: Sequence[int],
) -> QueryGrid:
    """Return where the fine voxels of a block lie, in the whole volume and in a crop of it."""
    query = [cell_centers(m)[rows] for rows, m in zip(block, fine_shape, strict=True)]
    sampling = [index_of(q, n) - c.start for q, n, c in zip(query, coarse_shape, crop, strict=True)]
    return QueryGrid((query[0], query[1], query[2]), (sampling[0], sampling[1], sampling[2]))
