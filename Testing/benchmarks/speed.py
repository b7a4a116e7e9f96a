"""How long each procedure takes for one small job, measured in turns, so that a busy machine slows them all."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
import torch
from procedures import default_network, encode_every_slice, encode_once, published_network

from ArSSRLib.model.arssr import ArSSR
from ArSSRLib.model.arssr2 import ArSSR2
from ArSSRLib.normalization import IntensityRange
from ArSSRLib.upsampling import upsample
from ArSSRLib.volume import Volume

PUBLISHED = "published: encode for every slice, grid_sample"
ONCE = "encode once, grid_sample"
OURS = "ours: upsample"


@dataclass(frozen=True)
class Timing:
    """One procedure.

    Attributes:
        name: What was done.
        seconds: One measurement a round, by the clock on the wall.
        cpu_seconds: The same rounds, by the time that the processor spent on them, summed over the cores.
        result: The last answer, normalized to the intensity range of the input, shape (k, j, i).
        difference: Largest absolute difference of the result from that of `ONCE`; None for another network.
    """

    name: str
    seconds: tuple[float, ...]
    cpu_seconds: tuple[float, ...]
    result: np.ndarray
    difference: float | None = None

    def times_faster_than(self, other: Timing) -> float:
        """Return how often this fits into ``other``: the median over the rounds of the ratio within a round."""
        return median(theirs / ours for theirs, ours in zip(other.seconds, self.seconds, strict=True))


def measure_speed(volume: Volume, scale: float, *, rounds: int) -> list[Timing]:
    """Time the published procedure, encode once, ours with the same weights, and the default model.

    Args:
        volume: The job's input.
        scale: The job's factor, unitless.
        rounds: How often each is measured, one after the other in each round.

    Returns:
        One timing a procedure, in that order.
    """
    network = published_network()
    default, weights = default_network()
    intensities = IntensityRange.of(volume.array)
    fine_shape = volume.geometry.upsampled(scale).shape

    def plainly(procedure: Callable[..., torch.Tensor]) -> np.ndarray:
        coarse = torch.from_numpy(intensities.normalize(volume.array))[None, None]
        return procedure(network, coarse, fine_shape).numpy()

    def with_upsample(model: ArSSR | ArSSR2) -> np.ndarray:
        return intensities.normalize(upsample(volume, model, scale, device="cpu", precision="fp32").array)

    timings = _in_turns(
        {
            PUBLISHED: lambda: plainly(encode_every_slice),
            ONCE: lambda: plainly(encode_once),
            OURS: lambda: with_upsample(network),
            f"default model ({weights}): upsample": lambda: with_upsample(default),
        },
        rounds,
    )
    expected = timings[1].result
    compared = [replace(t, difference=float(np.abs(t.result - expected).max())) for t in timings[:3]]
    return [*compared, *timings[3:]]


def _in_turns(procedures: Mapping[str, Callable[[], np.ndarray]], rounds: int) -> list[Timing]:
    seconds: dict[str, list[float]] = {name: [] for name in procedures}
    cpu_seconds: dict[str, list[float]] = {name: [] for name in procedures}
    results = {}
    for number in range(rounds):
        for name, procedure in procedures.items():
            start, cpu_start = time.perf_counter(), time.process_time()
            results[name] = procedure()
            seconds[name].append(time.perf_counter() - start)
            cpu_seconds[name].append(time.process_time() - cpu_start)
            print(f"round {number + 1} of {rounds}: {seconds[name][-1]:8.3f} s  {name}", file=sys.stderr)
    return [Timing(name, tuple(seconds[name]), tuple(cpu_seconds[name]), results[name]) for name in procedures]
