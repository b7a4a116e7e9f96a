"""Choice of the fastest correct implementation of a network, measured on the first tile of the work.

cuDNN 9.10 returned wrong bf16 convolutions for large tiles but not for small ones (PyTorch issue 163539), and 16 bits
are slower than 32 on some GPUs. Every implementation is therefore compared with plain float32 on the first tile, and
again on any larger tile; the fastest correct one is used. Two small blocks of the result are compared, which is cheap
in float32: the far corner, which is last in memory, and the center, where the anatomy is. A part of the tile is timed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ArSSRLib.convolution.slabs import unobserved
from ArSSRLib.coordinates import QueryGrid, coordinate_of
from ArSSRLib.device import is_out_of_memory
from ArSSRLib.model.interface import Answer, Conditioning, Executor, Progress

logger = logging.getLogger(__name__)

# Coarse voxels of a compared block along each axis, and fine voxels per coarse voxel.
EDGE, FACTOR = 8, 2
# Coarse voxels along each axis of the part of a tile used for timing.
TIMED = 64
# Runs before the timing, which compile, select algorithms and record; and timed runs, of which the fastest counts.
WARM_UPS, RUNS = 2, 2
# A more complex implementation must be faster by this fraction.
LEAST_GAIN = 0.03
# The name of plain float32, which is correct by definition.
FULL = "plain fp32"


@dataclass(frozen=True)
class Choice:
    """The implementation chosen for a network on a device.

    Attributes:
        way: Name of the chosen implementation.
        voxels: Coarse voxels of the largest tile on which it was correct.
        milliseconds: Time of each correct implementation for the timed part.
        wrong: Reason for rejecting each other implementation.
    """

    way: str
    voxels: int
    milliseconds: Mapping[str, float]
    wrong: Mapping[str, str]


# The choices of this process for all networks, devices and number formats.
choices: dict[Hashable, Choice] = {}


class MeasuredExecutor:
    """The fastest correct one of several implementations of a network.

    Args:
        ways: Implementations by name, the simplest first; each uses the precision of autocast, or its own.
        reference: The same network in float32; used if no implementation is correct, or none is faster.
        halo: Coarse margin that makes a crop exact, in voxels.
        tolerance: Largest difference, relative to the intensity range, or to the predictions if these are larger.
        key: Device, number format and network; the choice applies to all executors with the same key and ways.
        name: The same as text, for the log.
    """

    def __init__(
        self,
        ways: Mapping[str, Executor],
        reference: Executor,
        *,
        halo: int,
        tolerance: float,
        key: Hashable,
        name: str,
    ) -> None:
        self._ways = {FULL: reference, **ways}
        self._halo = halo
        self._tolerance = tolerance
        self._key = (key, *ways)
        self._name = name

    def encode_tile(self, volume: Tensor, told: Conditioning, progress: Progress) -> Answer:
        """Encode a tile by the best implementation; all are measured first if this tile is larger than any before."""
        choice = choices.get(self._key)
        if choice is None or volume.numel() > choice.voxels:
            choice = choices[self._key] = self._measured(volume, told)
            self._report(choice, volume)
        return self._ways[choice.way].encode_tile(volume, told, progress)

    def _measured(self, volume: Tensor, told: Conditioning) -> Choice:
        took, wrong = {}, {}
        for name, way in self._ways.items():
            try:
                if name != FULL:
                    wrong[name] = self._wrong(way.encode_tile(volume, told, unobserved), volume, told)
                if not wrong.get(name):
                    took[name] = self._milliseconds(way, volume, told)
            except Exception as error:
                # Compilers and drivers raise arbitrary exceptions; but memory would run out for every implementation.
                if name == FULL or is_out_of_memory(error):
                    raise
                wrong[name] = f"failed ({' '.join(str(error).split())[:160] or type(error).__name__})"
        best = FULL
        for name, milliseconds in took.items():
            if milliseconds < (1 - LEAST_GAIN) * took[best]:
                best = name
        return Choice(best, volume.numel(), took, {name: reason for name, reason in wrong.items() if reason})

    def _report(self, choice: Choice, volume: Tensor) -> None:
        """Log which implementation is used, which are not, and why."""
        shape = " x ".join(map(str, volume.shape[2:][::-1]))
        for name, reason in choice.wrong.items():
            logger.warning("%s: %s %s, on a tile of %s voxels; it is not used.", self._name, name, reason, shape)
        listed = ", ".join(f"{name} {took:.1f} ms" for name, took in choice.milliseconds.items())
        slower = [name for name in choice.milliseconds if name not in (FULL, choice.way)]
        unused = f"; not faster and not used: {', '.join(slower)}" if slower else ""
        logger.info("%s: %s is used%s (%s).", self._name, choice.way, unused, listed)

    def _wrong(self, answer: Answer, volume: Tensor, told: Conditioning) -> str:
        """Return how two blocks of an encoded tile differ from plain float32; empty if they do not."""
        shape = volume.shape[2:]
        edges = [min(EDGE, length) for length in shape]
        for part in (1, 2):  # the far corner, and the center
            starts = [(length - edge) // part for length, edge in zip(shape, edges, strict=True)]
            axes = [_axis(*numbers, self._halo) for numbers in zip(starts, edges, shape, strict=True)]
            (k, j, i), query, whole, cropped = (tuple(parts) for parts in zip(*axes, strict=True))
            found = answer(QueryGrid(query, whole))
            plain = self._ways[FULL].encode_tile(volume[:, :, k, j, i].contiguous(), told, unobserved)
            expected = plain(QueryGrid(query, cropped))
            difference = float((found - expected).abs().max())
            # Written so that NaN counts as wrong.
            if not difference <= self._tolerance * max(1.0, float(expected.abs().max())):
                return f"differs from plain fp32 by up to {difference:.3g} of the intensity range"
        return ""

    def _milliseconds(self, way: Executor, volume: Tensor, told: Conditioning) -> float:
        """Return the time in ms for encoding a part of a tile and predicting it at `FACTOR` times its resolution."""
        part = volume[:, :, :TIMED, :TIMED, :TIMED].contiguous()
        axes = [_axis(0, length, length, 0) for length in part.shape[2:]]
        _, query, position, _ = (tuple(parts) for parts in zip(*axes, strict=True))
        grid = QueryGrid(query, position)
        times = []
        for _ in range(WARM_UPS + RUNS):
            started = clock(volume.device)
            way.encode_tile(part, told, unobserved)(grid)
            times.append(clock(volume.device) - started)
        return 1e3 * min(times[WARM_UPS:])


def clock(device: torch.device) -> float:
    """Return the time in seconds, after a device has finished its queued work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _axis(start: int, edge: int, length: int, halo: int) -> tuple[slice, Tensor, Tensor, Tensor]:
    """Return the crop that is exact for some coarse voxels of an axis of a tile, and their fine voxels.

    Returns:
        The crop; query coordinates; continuous voxel indices in the tile; and continuous voxel indices in the crop.
    """
    crop = slice(max(0, start - halo), min(length, start + edge + halo))
    position = start + (torch.arange(edge * FACTOR, dtype=torch.float64) + 0.5) / FACTOR - 0.5
    return crop, coordinate_of(position, length), position, position - crop.start
