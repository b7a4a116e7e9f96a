"""The minimum work of a job: operations and bytes, and the seconds that they take at the measured peak of a machine.

Operations are those of the direct algorithm, a multiplication and an addition for each weight and voxel; interpolation,
activations and padding are not counted. Bytes are the minimum for encoding once and decoding once: input, weights and
feature map, each written and read once, and the output. Everything else may stay in the cache.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from machine import cache_bytes
from procedures import Network
from torch import Tensor, nn

from ArSSRLib.model.arssr2 import ArSSR2

FLOAT_BYTES = 4
MATMULS = ((512, 512, 512), (1024, 1024, 1024), (2048, 2048, 2048), (8192, 256, 256))
# Channels and edge of volumes for 3 x 3 x 3 convolutions, as in the two networks.
CONVOLUTIONS = ((64, 24), (64, 40), (48, 48), (128, 24))
# Size of the arrays of the triad if the cache size is unknown: no processor of 2026 has 256 MB per socket.
TRIAD_BYTES = 2**28


@dataclass(frozen=True)
class Work:
    """A minimum amount of work.

    Attributes:
        operations: Multiplications and additions.
        traffic: Bytes between memory and processor.
    """

    operations: float
    traffic: float

    def __add__(self, other: Work) -> Work:
        return Work(self.operations + other.operations, self.traffic + other.traffic)

    def times(self, count: float) -> Work:
        """Return this work multiplied by a number."""
        return Work(self.operations * count, self.traffic * count)


@dataclass(frozen=True)
class Peaks:
    """The highest measured speeds of a machine.

    Attributes:
        matmul: Operations per second of the best matrix product, fp32.
        convolution: Operations per second of the best convolution, fp32, direct algorithm.
        bandwidth: Bytes per second of a triad, ``a = b + s * c``, on arrays that exceed all caches.
    """

    matmul: float
    convolution: float
    bandwidth: float

    @property
    def operations(self) -> float:
        """Operations per second of the best of both."""
        return max(self.matmul, self.convolution)

    def best(self, other: Peaks) -> Peaks:
        """Return the larger value of each speed, because a peak was too low if it was exceeded."""
        return Peaks(
            max(self.matmul, other.matmul),
            max(self.convolution, other.convolution),
            max(self.bandwidth, other.bandwidth),
        )

    def seconds(self, work: Work) -> tuple[float, float]:
        """Return the floor of the arithmetic and that of the traffic."""
        return work.operations / self.operations, work.traffic / self.bandwidth

    def floor(self, work: Work) -> float:
        """Return the minimum seconds for all of the work: the larger of the two floors."""
        return max(self.seconds(work))


def encoding(model: Network, coarse_voxels: int) -> Work:
    """Return the work of encoding a number of voxels."""
    weights = sum(m.weight.numel() for m in model.modules() if isinstance(m, nn.Conv3d))
    moved = coarse_voxels * (1 + _channels(model)) + weights
    return Work(2.0 * weights * coarse_voxels, float(FLOAT_BYTES * moved))


def answering(model: Network, coarse_voxels: int, fine_voxels: int) -> Work:
    """Return the work of decoding a number of fine voxels from a feature map of coarse voxels."""
    # The modulation of arssr2 is per axis and negligible; its last convolution belongs to the encoder.
    layers = [*model.hidden, model.output] if isinstance(model, ArSSR2) else model.decoder.modules()
    weights = sum(m.weight.numel() for m in layers if isinstance(m, nn.Linear))
    moved = coarse_voxels * _channels(model) + weights + fine_voxels
    return Work(2.0 * weights * fine_voxels, float(FLOAT_BYTES * moved))


def _channels(model: Network) -> int:
    """Return the values per coarse voxel of the feature map; that of arssr2 includes the spline."""
    return model.config.feature_channels + isinstance(model, ArSSR2)


def measure_peaks(*, seconds: float) -> Peaks:
    """Return the best of several shapes on this machine, with the current number of PyTorch threads.

    Args:
        seconds: Time for each shape.
    """
    with torch.inference_mode():
        return Peaks(
            matmul=max(_matmul_rate(*shape, seconds=seconds) for shape in MATMULS),
            convolution=max(_convolution_rate(*shape, seconds=seconds) for shape in CONVOLUTIONS),
            bandwidth=_triad_rate(seconds),
        )


def _matmul_rate(rows: int, inner: int, columns: int, *, seconds: float) -> float:
    left, right, result = torch.randn(rows, inner), torch.randn(inner, columns), torch.empty(rows, columns)
    return 2.0 * rows * inner * columns / _least_seconds(lambda: torch.mm(left, right, out=result), seconds)


def _convolution_rate(channels: int, edge: int, *, seconds: float) -> float:
    order = torch.channels_last_3d
    features = torch.randn(1, channels, edge, edge, edge).contiguous(memory_format=order)
    weight = torch.randn(channels, channels, 3, 3, 3).contiguous(memory_format=order)
    # Without padding, so that every product counts.
    operations = 2.0 * weight.numel() * (edge - 2) ** 3
    return operations / _least_seconds(lambda: F.conv3d(features, weight), seconds)


def _triad_rate(seconds: float) -> float:
    count = max(4 * cache_bytes(3), TRIAD_BYTES) // FLOAT_BYTES
    b, c, a = torch.ones(count), torch.ones(count), torch.ones(count)
    # As in STREAM: two arrays are read, one is written.
    return 3.0 * FLOAT_BYTES * count / _least_seconds(lambda: torch.add(b, c, alpha=3.0, out=a), seconds)


def _least_seconds(action: Callable[[], Tensor], seconds: float) -> float:
    """Return the shortest of the runs that fit into the time, at least three, without the first."""
    action()
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while len(taken) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        action()
        taken.append(time.perf_counter() - start)
    return min(taken)
