"""What one job costs on a GPU: device time, host-to-host time, peak memory, error; and what it must cost at least."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from phantom import noisy_phantom

from ArSSRLib.kernels import network_path
from ArSSRLib.kernels.paths import TilePath
from ArSSRLib.model.arssr import ArSSR
from ArSSRLib.model.arssr2 import ArSSR2
from ArSSRLib.normalization import IntensityRange
from ArSSRLib.planning import SLAB_VOXELS, Plan
from ArSSRLib.tiling import split
from ArSSRLib.upsampling import plan_upsampling, upsample
from ArSSRLib.upsampling.filling import query_grid_of
from ArSSRLib.volume import Volume


@dataclass(frozen=True)
class Job:
    """One row.

    Attributes:
        model: A word on the network.
        size: Voxels of the input along i, j, k.
        scale: Factor, unitless.
        target: Milliseconds on an H100 that the project aims at; None where it names none.
    """

    model: str
    size: tuple[int, int, int]
    scale: float
    target: float | None = None


@dataclass(frozen=True)
class Machine:
    """What a device reaches at best, measured.

    Attributes:
        name: As its maker calls it.
        flops: Operations a second in a large matrix product in the number format of the jobs.
        bandwidth: Bytes a second, read and written, of a large copy.
    """

    name: str
    flops: float
    bandwidth: float


@dataclass(frozen=True)
class Cost:
    """What one job took.

    Attributes:
        job: Which.
        device_ms: One measurement a round: from the normalized input on the device to the result on it.
        host_ms: The same with `upsample`, from an array in the main memory to another.
        flop: Operations of encoder and decoder without halos, and without interpolation.
        traffic: Bytes that must be moved: input, feature map written and read once, output.
        peak_memory: Most bytes on the device during `upsample`.
        max_error: Largest difference from plain float32, in parts of the input's intensity range.
        rms_error: Root of the mean square of that difference.
    """

    job: Job
    device_ms: tuple[float, ...]
    host_ms: tuple[float, ...]
    flop: float
    traffic: float
    peak_memory: int
    max_error: float
    rms_error: float

    def floor_ms(self, machine: Machine) -> float:
        """Return the least milliseconds that the job can take: the arithmetic or the traffic, whichever is longer."""
        return 1e3 * max(self.flop / machine.flops, self.traffic / machine.bandwidth)


def milliseconds(work: Callable[[], object], device: torch.device) -> float:
    """Return how long a device takes for some work, by its own clock."""
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


def measure_machine(name: str, device: torch.device, number_format: torch.dtype, *, edge: int, rounds: int) -> Machine:
    """Measure a matrix product of ``edge`` rows and columns, and a copy of as many numbers."""
    left = torch.randn(edge, edge, device=device).to(number_format)
    right, product = torch.randn(edge, edge, device=device).to(number_format), torch.empty_like(left)
    copied = torch.empty_like(left)
    products = [milliseconds(lambda: torch.mm(left, right, out=product), device) for _ in range(rounds + 2)]
    copies = [milliseconds(lambda: copied.copy_(left), device) for _ in range(rounds + 2)]
    return Machine(
        name, 2 * edge**3 / (1e-3 * min(products)), 2 * left.numel() * left.element_size() / (1e-3 * min(copies))
    )


def measure_job(job: Job, model: ArSSR | ArSSR2, *, device: torch.device, precision: str, rounds: int) -> Cost:
    """Measure one job, after one round that compiles, checks and warms up."""
    volume = noisy_phantom(job.size)
    number_format = {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]

    def run() -> np.ndarray:
        return upsample(volume, model, job.scale, device=str(device), precision=precision).array

    found = run()
    device_ms = _device_times(job, volume, model.to(device), device=device, number_format=number_format, rounds=rounds)
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    host_ms = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        host_ms.append(1e3 * (time.perf_counter() - start))
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    with torch.backends.cudnn.flags(allow_tf32=False):
        expected = upsample(volume, model, job.scale, device=str(device), precision="fp32").array
    intensities = IntensityRange.of(volume.array)
    difference = intensities.normalize(found) - intensities.normalize(expected)
    flop, traffic = least_cost(model, math.prod(job.size), found.size)
    return Cost(
        job=job,
        device_ms=tuple(device_ms),
        host_ms=tuple(host_ms),
        flop=flop,
        traffic=traffic,
        peak_memory=peak,
        max_error=float(np.abs(difference).max()),
        rms_error=float(np.sqrt(np.square(difference, dtype=np.float64).mean())),
    )


def least_cost(model: ArSSR | ArSSR2, coarse_voxels: int, fine_voxels: int) -> tuple[float, float]:
    """Return the operations and the bytes that no implementation of a network can do without."""
    encoder = sum(layer.weight.numel() for layer in model.modules() if isinstance(layer, torch.nn.Conv3d))
    stages = [model.decoder] if isinstance(model, ArSSR) else [model.hidden, model.output]
    decoder = sum(
        layer.weight.numel() for stage in stages for layer in stage.modules() if isinstance(layer, torch.nn.Linear)
    )
    # A multiplication and an addition each; a feature has two bytes.
    traffic = coarse_voxels * (4 + 2 * 2 * model.config.feature_channels) + 4 * fine_voxels
    return 2.0 * (encoder * coarse_voxels + decoder * fine_voxels), float(traffic)


def _device_times(
    job: Job,
    volume: Volume,
    model: ArSSR | ArSSR2,
    *,
    device: torch.device,
    number_format: torch.dtype,
    rounds: int,
) -> list[float]:
    """Time the tiles that `upsample` works on, with the input and the result on the device."""
    plan = plan_upsampling(volume, model, job.scale, device=device)
    fine_shape = volume.geometry.upsampled(job.scale).shape
    coarse = torch.from_numpy(IntensityRange.of(volume.array).normalize(volume.array)).to(device)
    factors = [m / n for m, n in zip(fine_shape, coarse.shape, strict=True)]
    scale = torch.tensor([factors], dtype=torch.float32, device=device)
    with torch.inference_mode(), torch.autocast(device.type, number_format):
        path = network_path(model, device, number_format, voxels=math.prod(fine_shape))
        work = [lambda: answer_all(path, coarse, scale, plan=plan, fine_shape=fine_shape)] * (rounds + 2)
        # Twice unmeasured: the second tile of a shape records the graph that all later ones replay.
        return [milliseconds(once, device) for once in work][2:]


def answer_all(
    path: TilePath, coarse: torch.Tensor, scale: torch.Tensor, *, plan: Plan, fine_shape: tuple[int, int, int]
) -> torch.Tensor:
    """Return the normalized result of a job, tile by tile and slab by slab as `upsample` does, on the device."""
    result = torch.empty(fine_shape, device=coarse.device)
    shape = tuple(coarse.shape)
    for tile in plan.tiles:
        answer = path(coarse[tile.crop].contiguous()[None, None], scale)
        rows, *others = tile.block
        depth = rows.stop - rows.start
        for start, stop in split(depth, min(depth, -(-tile.block_voxels // SLAB_VOXELS))):
            block = (slice(rows.start + start, rows.start + stop), others[0], others[1])
            result[block] = answer(query_grid_of(block, tile.crop, shape, fine_shape))
    return result
