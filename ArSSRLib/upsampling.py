"""upsample: the path of a volume through every room of the engine.

Encodes each crop once and queries it as often as needed; nothing else calls the model.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from ArSSRLib.backends.openvino_encoder import openvino_bytes_per_coarse_voxel, openvino_path
from ArSSRLib.convolution.slabs import listening
from ArSSRLib.coordinates import QueryGrid, cell_centers, index_of
from ArSSRLib.device import (
    free_memory,
    is_device_failure,
    is_out_of_memory,
    require_backend,
    resolve_device,
    resolve_precision,
    used_memory,
)
from ArSSRLib.errors import ArSSRError, DeviceError, MemoryLimitError, one_line
from ArSSRLib.kernels import network_path
from ArSSRLib.kernels.transfer import to_device, to_host
from ArSSRLib.model.fixed_scale import FixedScale
from ArSSRLib.normalization import IntensityRange, replace_non_finite
from ArSSRLib.planning import SLAB_VOXELS, Destination, Plan, encoding_cost, plan
from ArSSRLib.scratch import array_on_disk, planes_of, write_block
from ArSSRLib.tiling import Slices, Tile, split
from ArSSRLib.volume import Volume

if TYPE_CHECKING:
    from ArSSRLib.kernels.paths import TilePath
    from ArSSRLib.model.config import SuperResolutionModel

logger = logging.getLogger(__name__)

Progress = Callable[[float], object]


def upsample(
    volume: Volume,
    model: SuperResolutionModel,
    scale: float | Sequence[float],
    *,
    device: str = "auto",
    backend: str = "torch",
    precision: str = "auto",
    memory_limit: float | None = None,
    region: Sequence[Sequence[int]] | None = None,
    destination: Destination | None = None,
    planned: Callable[[Plan], object] | None = None,
    progress: Progress | None = None,
) -> Volume:
    """Return a volume on a finer grid in exactly the same field of view, or a region of it.

    Args:
        volume: The input; it is not changed. Voxels that are not finite are replaced and reported in the log.
        model: From `ArSSRLib.checkpoint.load_model`; it is moved to the device.
        scale: Factor of at least 1, or one along each of i, j, k; unitless. Sizes are rounded.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        backend: "torch", or on the CPU "openvino", which encodes by that optional package.
        precision: "auto", "fp32", "bf16", "fp16", or with OpenVINO "int8".
        memory_limit: Most memory that the process may hold on the device, in GB (1e9 bytes); None takes what is free.
        region: Box of voxels of the finer grid, (first, stop) along i, j, k; only what it needs is computed, and it
            comes out as if cut from the whole result. None for the whole.
        destination: Where the result will be written, from `ArSSRLib.io.destination_of`: what its writer needs is
            planned for, and where its format allows it, a result that does not fit into memory lies on the disk, in a
            file that vanishes with it. When None, the result has to fit, and nothing is planned for a writer.
        planned: Called with what will be done, before anything is computed.
        progress: Called with the finished fraction, rising from 0 to 1; what it raises stops the work.

    Returns:
        The finer volume. Integer types are kept, by rounding and clipping; all others become float32. A volume
        without negative voxels has none afterwards. The description of the input is not repeated: it may name somebody.

    Raises:
        InputError: If the scale or the region is impossible, or the model was trained for another scale.
        DeviceError: If the device, the backend or the precision is not there, or the device fails in the middle.
        DependencyError: If the package of the backend is not installed.
        MemoryLimitError: If the job does not fit.
        OutputError: If the result does not fit into memory, and the disk has no space for it.
    """
    target = resolve_device(device)
    require_backend(backend, target)
    number_format = resolve_precision(precision, target, backend=backend)
    how: dict[str, Any] = {"device": target, "backend": backend, "memory_limit": memory_limit, "region": region}
    job = plan_upsampling(volume, model, scale, **how, destination=destination)
    if planned is not None:
        planned(job)
    report = progress or (lambda _: None)
    report(0.0)
    with _device_errors(target, job):
        array, replaced = replace_non_finite(volume.array)
        if replaced:
            logger.warning("%d voxels are not finite numbers; they were replaced before upsampling.", replaced)
        result = _empty(job, destination)
        lowest, highest = array.min(), array.max()
        if lowest == highest:  # no anatomy, and nothing for a network to add
            for plane in planes_of(result):
                plane[...] = _within_range(lowest, job.dtype)
        else:
            # What OpenVINO leaves to PyTorch stays in single precision, which is faster there.
            full = number_format == torch.float32 or backend == "openvino"
            autocast = nullcontext() if full else torch.autocast(target.type, number_format)
            fine_shape = volume.geometry.upsampled(scale).shape
            with torch.inference_mode(), autocast:
                network = model.to(target).eval()
                if backend == "openvino":
                    path: TilePath = openvino_path(network, number_format, array, _scale_of(fine_shape, array.shape))
                else:
                    path = network_path(network, target, number_format, voxels=result.size)
                _fill(result, array, network, path=path, job=job, fine_shape=fine_shape, device=target, report=report)
    report(1.0)
    # Free text of the input may name the patient, and is not true of the result any more.
    return Volume(result, job.geometry, replace(volume.header, description=""))


def _empty(job: Plan, destination: Destination | None) -> npt.NDArray[Any]:
    """Return an array for the result, in memory or on the disk as planned."""
    if job.on_disk and destination is not None and destination.folder is not None:
        return array_on_disk(job.geometry.shape, job.dtype, destination.folder)
    return np.empty(job.geometry.shape, dtype=job.dtype)


def _within_range(value: Any, dtype: np.dtype[Any]) -> Any:  # noqa: ANN401 - a number of any type
    """Return a number as one that a type can hold: of double precision, it may be beyond single."""
    if dtype.kind != "f":
        return value
    return np.clip(np.float64(value), -np.finfo(dtype).max, np.finfo(dtype).max)


def plan_upsampling(
    volume: Volume,
    model: SuperResolutionModel,
    scale: float | Sequence[float],
    *,
    device: torch.device,
    backend: str = "torch",
    memory_limit: float | None = None,
    region: Sequence[Sequence[int]] | None = None,
    destination: Destination | None = None,
) -> Plan:
    """Return what `upsample` will do with the same arguments; nothing is computed.

    Raises:
        InputError: If the scale or the region is impossible, or the model was trained for another scale.
        MemoryLimitError: If the job does not fit into the limit, in GB, or into the memory that is free.
    """
    if isinstance(model, FixedScale):
        model.require_scale(volume.geometry.shape, volume.geometry.upsampled(scale).shape)
    encoding = openvino_bytes_per_coarse_voxel(model) if backend == "openvino" else model.bytes_per_coarse_voxel
    return plan(
        volume.geometry,
        volume.array.dtype,
        scale,
        halo=model.halo,
        bytes_per_coarse_voxel=encoding,
        base_memory=used_memory(device),
        available_memory=free_memory(device),
        host_memory=None if device.type == "cpu" else free_memory(torch.device("cpu")),
        memory_limit=memory_limit,
        region=region,
        destination=destination,
    )


def _fill(
    result: npt.NDArray[Any],
    array: npt.NDArray[Any],
    model: SuperResolutionModel,
    *,
    path: TilePath,
    job: Plan,
    fine_shape: Sequence[int],
    device: torch.device,
    report: Progress,
) -> None:
    """Write the upsampled ``array``, shape (k, j, i), into ``result`` tile by tile, in scanner units."""
    intensities = IntensityRange.of(array)
    # A magnitude image has no negative voxels; the overshoot of an edge makes none.
    lowest = 0.0 if array.min() >= 0 else None
    # Blocks count from the first voxel of the whole fine grid, the result from that of its region.
    corner = job.tiles[0].block
    finished = 0.0

    def add(cost: float) -> None:
        """Tell that work of this cost is done."""
        nonlocal finished
        finished += cost
        # The last call belongs to `upsample`, which makes it exactly 1.
        report(min(finished / job.cost, 1.0))

    for tile in job.tiles:
        coarse = intensities.normalize(array[tile.crop])
        shapes = {"fine_shape": fine_shape, "coarse_shape": array.shape}
        answers = _answer(model, coarse, tile, path=path, **shapes, device=device, add=add)
        for block, fine in to_host(answers):
            inside = tuple(slice(s.start - c.start, s.stop - c.start) for s, c in zip(block, corner, strict=True))
            # Plane by plane: the conversion of a slab at once would take several times its memory.
            planes = (_as_type(intensities.restore(plane), job.dtype, lowest=lowest) for plane in fine)
            write_block(result, inside, planes)
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
    scale = to_device(_scale_of(fine_shape, coarse_shape), device)
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


def _scale_of(fine_shape: Sequence[int], coarse_shape: Sequence[int]) -> torch.Tensor:
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


@contextlib.contextmanager
def _device_errors(device: torch.device, job: Plan) -> Iterator[None]:
    """Turn whatever says that memory ran out, or that the device failed, into one line with the next step."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            if isinstance(error, ArSSRError) or not is_device_failure(error):
                raise
            reason = one_line(error)[:160].rstrip(". ")
            msg = (
                f"The device {device} failed in the middle of the work ({reason}). Start again; if it happens again, "
                "update its driver, or choose the CPU."
            )
            raise DeviceError(msg) from error
        other = "a smaller region or scale" if device.type == "cpu" else "a smaller region, or the CPU"
        msg = (
            f"The device {device} ran out of memory on a tile of {max(t.crop_voxels for t in job.tiles)} voxels. "
            f"Choose a smaller memory limit, {other}."
        )
        raise MemoryLimitError(msg) from error


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


def _as_type(array: npt.NDArray[np.float32], dtype: np.dtype[Any], *, lowest: float | None) -> npt.NDArray[Any]:
    """Turn intensities, in their own array, into the type of the output: rounded, clipped, none below ``lowest``."""
    if lowest is not None:
        np.maximum(array, np.float32(lowest), out=array)
    if dtype.kind == "f":
        return array
    limits = np.iinfo(dtype)
    # The largest 32- and 64-bit integers are no floats; the float below them is.
    wide = np.float64 if dtype.itemsize >= 4 else np.float32
    high = np.nextafter(wide(limits.max), wide(0)) if float(wide(limits.max)) > limits.max else wide(limits.max)
    rounded = array.astype(wide, copy=False)
    np.rint(rounded, out=rounded)
    np.clip(rounded, wide(limits.min), high, out=rounded)
    converted: npt.NDArray[Any] = rounded.astype(dtype)
    return converted
