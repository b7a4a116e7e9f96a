"""upsample: the path of a volume through every room of the engine.

Encodes each crop once and queries it as often as needed; nothing else calls the model.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from ArSSRLib.coordinates import QueryGrid, cell_centers, index_of
from ArSSRLib.device import free_memory, resolve_device, resolve_precision, used_memory
from ArSSRLib.errors import InputError, MemoryLimitError
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.normalization import IntensityRange, replace_non_finite
from ArSSRLib.tiling import Tile, plan_tiles, split
from ArSSRLib.volume import Volume

if TYPE_CHECKING:
    from ArSSRLib.model.config import SuperResolutionModel

logger = logging.getLogger(__name__)

Progress = Callable[[float], object]

# Part of the free memory that is taken when no limit is given.
DEFAULT_SHARE = 0.6
# Fine voxels answered between two calls of the callback.
SLAB_VOXELS = 2_000_000
# Bytes a fine voxel of a slab needs while it is answered and converted.
SLAB_BYTES = 24
# Encoding a coarse voxel takes about as long as answering this many fine ones.
ENCODING_COST = 20.0


@dataclass(frozen=True)
class Plan:
    """What an upsampling will do, known before it starts.

    Attributes:
        geometry: Grid of the output.
        dtype: Type of the output's voxels.
        tiles: Steps of the work.
        memory: Bytes that the process is expected to hold on the device at most.
    """

    geometry: VolumeGeometry
    dtype: np.dtype[Any]
    tiles: list[Tile]
    memory: int


def upsample(
    volume: Volume,
    model: SuperResolutionModel,
    scale: float | Sequence[float],
    *,
    device: str = "auto",
    precision: str = "auto",
    memory_limit: float | None = None,
    progress: Progress | None = None,
) -> Volume:
    """Return a volume on a finer grid in exactly the same field of view.

    Args:
        volume: The input; it is not changed. Voxels that are not finite are replaced and reported in the log.
        model: From `ArSSRLib.checkpoint.load_model`; it is moved to the device.
        scale: Factor of at least 1, or one along each of i, j, k; unitless. Sizes are rounded.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        precision: "auto", "fp32", "bf16" or "fp16".
        memory_limit: Most memory that the process may hold on the device, in GB (1e9 bytes); None takes what is free.
        progress: Called with the finished fraction, rising from 0 to 1; what it raises stops the work.

    Returns:
        The finer volume. Integer types are kept, by rounding and clipping; all others become float32. A volume
        without negative voxels has none afterwards.

    Raises:
        InputError: If the scale is impossible.
        DeviceError: If the device or the precision is not there.
        MemoryLimitError: If the job does not fit.
    """
    target = resolve_device(device)
    number_format = resolve_precision(precision, target)
    plan = plan_upsampling(volume, model, scale, device=target, memory_limit=memory_limit)
    report = progress or (lambda _: None)
    report(0.0)
    array, replaced = replace_non_finite(volume.array)
    if replaced:
        logger.warning("%d voxels are not finite numbers; they were replaced before upsampling.", replaced)
    result = np.empty(plan.geometry.shape, dtype=plan.dtype)
    lowest, highest = array.min(), array.max()
    if lowest == highest:  # no anatomy, and nothing for a network to add
        if plan.dtype.kind == "f":  # of double precision, it may be beyond single
            lowest = np.clip(np.float64(lowest), -np.finfo(plan.dtype).max, np.finfo(plan.dtype).max)
        result[...] = lowest
        report(1.0)
        return volume.with_array(result, plan.geometry)
    full = number_format == torch.float32
    autocast = nullcontext() if full else torch.autocast(target.type, number_format)
    try:
        with torch.inference_mode(), autocast:
            _fill(result, array, model.to(target).eval(), plan=plan, device=target, report=report)
    except torch.OutOfMemoryError as error:
        msg = (
            f"The device {target} ran out of memory on a tile of {max(t.crop_voxels for t in plan.tiles)} voxels. "
            "Choose a smaller memory limit, or the CPU."
        )
        raise MemoryLimitError(msg) from error
    report(1.0)
    return volume.with_array(result, plan.geometry)


def plan_upsampling(
    volume: Volume,
    model: SuperResolutionModel,
    scale: float | Sequence[float],
    *,
    device: torch.device,
    memory_limit: float | None = None,
) -> Plan:
    """Return what `upsample` will do with the same arguments; nothing is computed.

    Raises:
        InputError: If the scale is impossible.
        MemoryLimitError: If the job does not fit into the limit, in GB, or into the memory that is free.
    """
    geometry = volume.geometry.upsampled(scale)
    dtype = _output_type(volume.array.dtype)
    fine_voxels = int(np.prod(geometry.shape, dtype=np.float64))
    on_host = fine_voxels * dtype.itemsize + volume.array.size * 4
    available = free_memory(torch.device("cpu"))
    if on_host > available:
        msg = (
            f"The result of {' x '.join(map(str, geometry.size))} voxels takes {on_host / 1e9:.3g} GB, and "
            f"{available / 1e9:.3g} GB of memory are free; choose a smaller scale."
        )
        raise MemoryLimitError(msg)
    base = used_memory(device) + (on_host if device.type == "cpu" else 0)
    if memory_limit is None:
        limit = base + int(DEFAULT_SHARE * (free_memory(device) - (on_host if device.type == "cpu" else 0)))
    elif memory_limit > 0:
        limit = int(min(memory_limit, 1e9) * 1e9)
    else:
        msg = f"The memory limit must be a positive number of GB, got {memory_limit:g}."
        raise InputError(msg)
    slab = SLAB_VOXELS * SLAB_BYTES
    per_voxel = model.bytes_per_coarse_voxel
    room = limit - base - slab
    try:
        tiles = plan_tiles(
            volume.geometry.shape,
            geometry.shape,
            halo=model.halo,
            maximum_crop=room // per_voxel,
        )
    except MemoryLimitError as error:
        msg = (
            f"The memory limit of {limit / 1e9:.3g} GB is too small: {(base + slab) / 1e9:.3g} GB are needed for the "
            f"program, its input and its output, and the rest holds no tile. {error}"
        )
        raise MemoryLimitError(msg) from error
    peak = base + slab + max(tile.crop_voxels for tile in tiles) * per_voxel
    return Plan(geometry, dtype, tiles, peak)


def _fill(
    result: npt.NDArray[Any],
    array: npt.NDArray[Any],
    model: SuperResolutionModel,
    *,
    plan: Plan,
    device: torch.device,
    report: Progress,
) -> None:
    """Write the upsampled ``array``, shape (k, j, i), into ``result`` tile by tile, in scanner units."""
    intensities = IntensityRange.of(array)
    # A magnitude image has no negative voxels; the overshoot of an edge makes none.
    lowest = 0.0 if array.min() >= 0 else None
    finished, total = 0.0, sum(map(_cost, plan.tiles))
    for tile in plan.tiles:
        coarse = intensities.normalize(array[tile.crop])
        answers = _answer(model, coarse, tile, coarse_shape=array.shape, fine_shape=result.shape, device=device)
        for block, fine, cost in answers:
            result[block] = _as_type(intensities.restore(fine), plan.dtype, lowest=lowest)
            finished += cost
            # The last call belongs to `upsample`, which makes it exactly 1.
            report(min(finished / total, 1.0))


def _answer(
    model: SuperResolutionModel,
    coarse: npt.NDArray[np.float32],
    tile: Tile,
    *,
    coarse_shape: Sequence[int],
    fine_shape: Sequence[int],
    device: torch.device,
) -> Iterator[tuple[tuple[slice, slice, slice], npt.NDArray[np.float32], float]]:
    """Encode the crop of a tile and yield its block slab by slab: where, normalized intensities, and their cost."""
    scale = torch.tensor([[m / n for m, n in zip(fine_shape, coarse_shape, strict=True)]], dtype=torch.float32)
    scale = scale.to(device)
    feature_map = model.encode(torch.from_numpy(coarse)[None, None].to(device), scale)
    depth = tile.block[0].stop - tile.block[0].start
    slabs = min(depth, -(-tile.block_voxels // SLAB_VOXELS))
    for start, stop in split(depth, slabs):
        rows = slice(tile.block[0].start + start, tile.block[0].start + stop)
        block = (rows, tile.block[1], tile.block[2])
        grid = query_grid_of(block, tile.crop, coarse_shape, fine_shape)
        fine = model.query_grid(feature_map, grid, scale)
        yield block, fine.cpu().numpy(), _cost(tile) / slabs


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


def _cost(tile: Tile) -> float:
    return ENCODING_COST * tile.crop_voxels + tile.block_voxels


def _output_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    return dtype if dtype.kind in "iu" else np.dtype(np.float32)


def _as_type(array: npt.NDArray[np.float32], dtype: np.dtype[Any], *, lowest: float | None) -> npt.NDArray[Any]:
    """Return intensities in the type of the output, integers rounded and clipped, none below ``lowest``."""
    if lowest is not None:
        array = np.maximum(array, np.float32(lowest))
    if dtype.kind == "f":
        return array
    limits = np.iinfo(dtype)
    # The largest 32- and 64-bit integers are no floats; the float below them is.
    wide = np.float64 if dtype.itemsize >= 4 else np.float32
    high = np.nextafter(wide(limits.max), wide(0)) if float(wide(limits.max)) > limits.max else wide(limits.max)
    rounded: npt.NDArray[Any] = np.clip(np.rint(array.astype(wide)), wide(limits.min), high)
    return rounded.astype(dtype)
