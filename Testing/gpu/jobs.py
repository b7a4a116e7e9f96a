"""The cost of one job on a GPU: device time, host-to-host time, peak memory, error; and the minimum cost."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from statistics import median
from typing import Any

import numpy as np
import torch

from ArSSRLib.convolution.slabs import unobserved
from ArSSRLib.device import resolve_precision
from ArSSRLib.model.arssr import ArSSR
from ArSSRLib.model.arssr2 import ArSSR2
from ArSSRLib.model.interface import Conditioning, Executor
from ArSSRLib.normalization import IntensityRange
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.planning import SLAB_VOXELS, Plan
from ArSSRLib.tiling import split
from ArSSRLib.upsampling import plan_upsampling, upsample
from ArSSRLib.upsampling.assembly import query_grid_of
from ArSSRLib.volume import Volume
from gpu.networks import FORMATS, device_of, script
from gpu.ways import computing, network_on_device, path_of, reference_path

# Smallest and largest number of rounds of a measurement, and the seconds for them.
ROUNDS, SECONDS = (3, 20), 1.5


def milliseconds(work: Callable[[], object], device: torch.device) -> float:
    """Return the time of work on a device, by the clock of the device."""
    if device.type != "cuda":
        start = time.perf_counter()
        work()
        return 1e3 * (time.perf_counter() - start)
    start_event, end_event = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize(device)
    start_event.record()
    work()
    end_event.record()
    torch.cuda.synchronize(device)
    return float(start_event.elapsed_time(end_event))


def rounds(measure: Callable[[], float], *, tiny: bool) -> list[float]:
    """Repeat a measurement as often as time permits."""
    started, found = time.monotonic(), [measure()]
    least, most = (1, 1) if tiny else ROUNDS
    while len(found) < least or (len(found) < most and time.monotonic() - started < SECONDS):
        found.append(measure())
    return found


def machine(*, number_format: str, tiny: bool) -> dict[str, Any]:
    """Measure the peaks of the device: a large matrix product, and a large copy, read and written."""
    device, edge = device_of(tiny=tiny), 64 if tiny else 8192
    left, right = torch.randn(2, edge, edge, device=device).to(FORMATS[number_format])
    product, copied = torch.empty_like(left), torch.empty_like(left)
    products = [milliseconds(lambda: torch.mm(left, right, out=product), device) for _ in range(12)]
    # Larger than the level-2 cache.
    copies = [milliseconds(lambda: copied.copy_(left), device) for _ in range(12)]
    moved = 2 * left.numel() * left.element_size()
    return {"flops": 2 * edge**3 / (1e-3 * min(products)), "bandwidth": moved / (1e-3 * min(copies))}


def on_device(
    *, model: str, size: Sequence[int], scale: float, way: str, number_format: str, tiny: bool
) -> dict[str, Any]:
    """Measure one way for one job, from the normalized input on the device to the result on it, and its error."""
    device, network = device_of(tiny=tiny), network_on_device(model, tiny=tiny)
    volume = script("phantom").noisy_phantom(tuple(size))
    work = _work(volume, network, scale, device=device)
    expected = _expected(model, tuple(size), scale, tiny=tiny)
    with computing(number_format, device):
        path = path_of(network, way, number_format, device=device)
        started = time.monotonic()
        # Two runs without measurement: the second tile of a shape records the graph that later ones replay.
        result = work(path)
        if not tiny:
            result = work(path)
        difference = (result - expected).abs()
        first = time.monotonic() - started
        times = rounds(lambda: milliseconds(lambda: work(path), device), tiny=tiny)
    flop, traffic = least_cost(network, math.prod(size), expected.numel())
    error = float(difference.max())
    return {
        "device ms": median(times),
        "rounds": len(times),
        "first s": first,
        "flop": flop,
        "traffic": traffic,
        "largest error": error,
        "rms error": math.sqrt(float(difference.double().square().mean())),
        "right": math.isfinite(error),
    }


def host_to_host(*, model: str, size: Sequence[int], scale: float, backend: str, tiny: bool) -> dict[str, Any]:
    """Measure `upsample` as users call it, from an array in main memory to another, and its memory."""
    return _upsampled(model, size, scale, backend=backend, tiny=tiny)


def preview(*, model: str, size: Sequence[int], scale: float, tiny: bool) -> dict[str, Any]:
    """Measure `upsample` for the middle slice alone."""
    i, j, k = (round(count * scale) for count in size)
    return _upsampled(model, size, scale, region=[(0, i), (0, j), (k // 2, k // 2 + 1)], tiny=tiny)


def _upsampled(
    model: str,
    size: Sequence[int],
    scale: float,
    *,
    backend: str = "torch",
    region: Sequence[Sequence[int]] | None = None,
    tiny: bool,
) -> dict[str, Any]:
    device, network = device_of(tiny=tiny), network_on_device(model, tiny=tiny)
    volume = script("phantom").noisy_phantom(tuple(size))

    options = UpsamplingOptions(device=str(device), backend=backend)

    def measure() -> float:
        """Return the milliseconds of one call."""
        start = time.perf_counter()
        upsample(volume, network, scale, options, region=region)
        return 1e3 * (time.perf_counter() - start)

    first = measure() / 1e3
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    times = rounds(measure, tiny=tiny)
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    number_format = str(resolve_precision("auto", device)).removeprefix("torch.")
    return {
        "ms": median(times),
        "rounds": len(times),
        "first s": first,
        "peak GB": peak / 1e9,
        "number format": number_format,
    }


def least_cost(model: ArSSR | ArSSR2, coarse_voxels: int, fine_voxels: int) -> tuple[float, float]:
    """Return the minimum operations and bytes of a network."""
    encoder = sum(layer.weight.numel() for layer in model.modules() if isinstance(layer, torch.nn.Conv3d))
    stages = [model.decoder] if isinstance(model, ArSSR) else [model.hidden, model.output]
    decoder = sum(
        layer.weight.numel() for stage in stages for layer in stage.modules() if isinstance(layer, torch.nn.Linear)
    )
    # A multiplication and an addition each; a feature has two bytes.
    traffic = coarse_voxels * (4 + 2 * 2 * model.config.feature_channels) + 4 * fine_voxels
    return 2.0 * (encoder * coarse_voxels + decoder * fine_voxels), float(traffic)


@lru_cache(maxsize=1)
def _expected(model: str, size: tuple[int, int, int], scale: float, *, tiny: bool) -> torch.Tensor:
    """Return the normalized result of a job in plain fp32 on the device, with which every way is compared."""
    device, network = device_of(tiny=tiny), network_on_device(model, tiny=tiny)
    with computing("fp32", device):
        return _work(script("phantom").noisy_phantom(size), network, scale, device=device)(reference_path(network))


def _work(
    volume: Volume, model: ArSSR | ArSSR2, scale: float, *, device: torch.device
) -> Callable[[Executor], torch.Tensor]:
    """Return a function for a whole job by one path, with the input and the result on the device."""
    plan = plan_upsampling(volume, model, scale, UpsamplingOptions(device=str(device)))
    fine_shape = volume.geometry.upsampled(scale).shape
    coarse = torch.from_numpy(IntensityRange.of(volume.array).normalize(volume.array)).to(device)
    factors = torch.tensor(np.divide([fine_shape], [coarse.shape]), dtype=torch.float32, device=device)
    return lambda path: answer_all(path, coarse, factors, plan=plan, fine_shape=fine_shape)


def answer_all(
    path: Executor, coarse: torch.Tensor, scale: torch.Tensor, *, plan: Plan, fine_shape: tuple[int, int, int]
) -> torch.Tensor:
    """Return the normalized result of a job, tile by tile and slab by slab as `upsample` does, on the device."""
    result = torch.empty(fine_shape, device=coarse.device)
    shape = tuple(coarse.shape)
    for tile in plan.tiles:
        answer = path.encode_tile(coarse[tile.crop].contiguous()[None, None], Conditioning(scale), unobserved)
        rows, *others = tile.block
        depth = rows.stop - rows.start
        for start, stop in split(depth, min(depth, -(-tile.block_voxels // SLAB_VOXELS))):
            block = (slice(rows.start + start, rows.start + stop), others[0], others[1])
            result[block] = answer(query_grid_of(block, tile.crop, shape, fine_shape))
    return result
