"""Tile by tile into the result: normalized, encoded once, asked slab by slab, restored to scanner units."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ArSSRLib.coordinates import QueryGrid, cell_centers, index_of
from ArSSRLib.kernels.transfer import to_device, to_host
from ArSSRLib.model.interface import Conditioning, Executor
from ArSSRLib.normalization import IntensityRange
from ArSSRLib.padding import Padding
from ArSSRLib.planning import SLAB_VOXELS, Plan
from ArSSRLib.scratch import write_block
from ArSSRLib.tiling import Slices, Tile, split

Progress = Callable[[float], object]


def assemble(
    result: npt.NDArray[Any],
    array: npt.NDArray[Any],
    plan: Plan,
    *,
    executor: Executor,
    told: Conditioning,
    slabs_independent: bool,
    fine_shape: Sequence[int],
    device: torch.device,
    report: Progress,
    padding: Padding | None = None,
) -> None:
    """Write the upsampled ``array``, shape (k, j, i), into ``result`` tile by tile, in scanner units.

    What `array` holds in place of its ``padding`` only feeds the network; the result holds the padding again.
    """
    intensities = IntensityRange.of(array)
    # The overshoot of an edge is not darker than the background: a magnitude image has no negative voxels.
    lowest = array.min()
    # Blocks count from the first voxel of the whole fine grid, the result from that of its region.
    corner = plan.tiles[0].block
    on_device = told.map(lambda tensor: to_device(tensor, device))
    finished = 0.0

    def add(cost: float) -> None:
        """Tell that work of this cost is done."""
        nonlocal finished
        finished += cost
        # The last call belongs to `upsample`, which makes it exactly 1.
        report(min(finished / plan.cost, 1.0))

    for tile in plan.tiles:
        coarse = intensities.normalize(array[tile.crop])
        volume = to_device(torch.from_numpy(coarse), device)[None, None]
        answers = _answers(
            executor,
            volume,
            on_device,
            tile=tile,
            coarse_shape=array.shape,
            fine_shape=fine_shape,
            slabs_independent=slabs_independent,
            cost=plan.encoding_cost * tile.crop_voxels,
            add=add,
        )
        for block, fine in to_host(answers):
            inside = tuple(slice(s.start - c.start, s.stop - c.start) for s, c in zip(block, corner, strict=True))
            # Plane by plane: the conversion of a slab at once would take several times its memory.
            planes = (_as_type(intensities.restore(plane), plan.dtype, lowest=lowest) for plane in fine)
            write_block(result, inside, planes if padding is None else padding.put_back(planes, block, fine_shape))
            add(fine.size)
            del fine, planes  # not kept while the next one is made


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


def _as_type(array: npt.NDArray[Any], dtype: np.dtype[Any], *, lowest: Any) -> npt.NDArray[Any]:  # noqa: ANN401 - any number
    """Turn intensities, in their own array, into the type of the output: rounded, clipped, none below ``lowest``."""
    np.maximum(array, array.dtype.type(lowest), out=array)
    if dtype.kind == "f":
        return array.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    # The largest 32- and 64-bit integers are no floats; the float below them is.
    wide = np.float64 if dtype.itemsize >= 4 else np.float32
    high = np.nextafter(wide(limits.max), wide(0)) if float(wide(limits.max)) > limits.max else wide(limits.max)
    rounded = array.astype(wide, copy=False)
    np.rint(rounded, out=rounded)
    np.clip(rounded, wide(limits.min), high, out=rounded)
    converted: npt.NDArray[Any] = rounded.astype(dtype)
    return converted
