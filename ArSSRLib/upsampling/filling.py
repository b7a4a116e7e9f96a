"""Tile by tile into the result: normalized, encoded once, asked slab by slab, restored to scanner units."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from ArSSRLib.convolution.slabs import listening
from ArSSRLib.coordinates import QueryGrid, cell_centers, index_of
from ArSSRLib.kernels.transfer import to_device, to_host
from ArSSRLib.model.fixed_scale import FixedScale
from ArSSRLib.normalization import IntensityRange
from ArSSRLib.padding import Padding
from ArSSRLib.planning import SLAB_VOXELS, Plan, encoding_cost
from ArSSRLib.scratch import write_block
from ArSSRLib.tiling import Slices, Tile, split

if TYPE_CHECKING:
    from ArSSRLib.kernels.paths import TilePath
    from ArSSRLib.model.config import SuperResolutionModel

Progress = Callable[[float], object]


def fill(
    result: npt.NDArray[Any],
    array: npt.NDArray[Any],
    model: SuperResolutionModel,
    *,
    path: TilePath,
    plan: Plan,
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
    finished = 0.0

    def add(cost: float) -> None:
        """Tell that work of this cost is done."""
        nonlocal finished
        finished += cost
        # The last call belongs to `upsample`, which makes it exactly 1.
        report(min(finished / plan.cost, 1.0))

    for tile in plan.tiles:
        coarse = intensities.normalize(array[tile.crop])
        shapes = {"fine_shape": fine_shape, "coarse_shape": array.shape}
        answers = _answer(model, coarse, tile, path=path, **shapes, device=device, add=add)
        for block, fine in to_host(answers):
            inside = tuple(slice(s.start - c.start, s.stop - c.start) for s, c in zip(block, corner, strict=True))
            # Plane by plane: the conversion of a slab at once would take several times its memory.
            planes = (_as_type(intensities.restore(plane), plan.dtype, lowest=lowest) for plane in fine)
            write_block(result, inside, planes if padding is None else padding.put_back(planes, block, fine_shape))
            add(fine.size)
            del fine, planes  # not kept while the next one is made


def _answer(
    model: SuperResolutionModel,
    coarse: npt.NDArray[np.float32],
    tile: Tile,
    *,
    path: TilePath,
    fine_shape: Sequence[int],
    coarse_shape: Sequence[int],
    device: torch.device,
    add: Callable[[float], None],
) -> Iterator[tuple[Slices, torch.Tensor]]:
    """Encode the crop of a tile and yield its block slab by slab: where, and normalized intensities."""
    scale = to_device(scale_of(fine_shape, coarse_shape), device)
    with _counted_encoding(model, encoding_cost(tile), add):
        answer = path(to_device(torch.from_numpy(coarse), device)[None, None], scale)
        if isinstance(model, FixedScale):  # it convolves on the fine grid: slabs would see each other's margins
            yield tile.block, answer(query_grid_of(tile.block, tile.crop, coarse_shape, fine_shape))
            return
    depth = tile.block[0].stop - tile.block[0].start
    slabs = min(depth, -(-tile.block_voxels // SLAB_VOXELS))
    for start, stop in split(depth, slabs):
        rows = slice(tile.block[0].start + start, tile.block[0].start + stop)
        block = (rows, tile.block[1], tile.block[2])
        yield block, answer(query_grid_of(block, tile.crop, coarse_shape, fine_shape))


def scale_of(fine_shape: Sequence[int], coarse_shape: Sequence[int]) -> torch.Tensor:
    """Return the factors along k, j, i that turn one shape into another, shape (1, 3)."""
    return torch.tensor([[m / n for m, n in zip(fine_shape, coarse_shape, strict=True)]], dtype=torch.float32)


@contextlib.contextmanager
def _counted_encoding(model: SuperResolutionModel, cost: float, add: Callable[[float], None]) -> Iterator[None]:
    """Add the cost of an encoding slab by slab, or convolution by convolution: a large tile is minutes on a CPU."""
    convolutions = [module for module in model.modules() if isinstance(module, torch.nn.Conv3d)]
    weights = sum(module.weight.numel() for module in convolutions)
    left = cost

    def count(done: float) -> None:
        """Tell that so many of the convolutions' weights have done their work."""
        nonlocal left
        share = min(left, cost * done / weights)
        left -= share
        add(share)

    hooks = [module.register_forward_hook(lambda m, *_: count(m.weight.numel())) for module in convolutions]
    try:
        with listening(count):
            yield
    finally:
        for hook in hooks:
            hook.remove()
    add(left)


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
