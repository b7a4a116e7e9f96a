"""The measured jobs, the rows of each, and which of them a machine can run."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from importlib.util import find_spec
from math import prod

from machine import has_bf16
from procedures import Box

from ArSSRLib.checkpoint import DEFAULT_MODEL
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.upsampling import upsample

# The published network with RDN encoder; every other network is named as `arssr models` names it.
PUBLISHED = "published"
DEEP = "arssr2-deep"

# The ways of computing a result. The first two are the yardsticks, see `procedures`; the next three use the engine.
EVERY_SLICE = "encode for every slice, grid_sample"
ONCE = "encode once, grid_sample"
UPSAMPLE = "upsample"
BF16 = "upsample in bf16"
OPENVINO = "upsample by OpenVINO"
OPENVINO_INT8 = "upsample by OpenVINO in int8"
# The two halves of a job, by the yardstick and by the engine.
PLAIN_ENCODE, PLAIN_QUERY = "encoder, plain", "decoder, grid_sample"
ENCODE, QUERY = "encoder", "decoder"
# The yardstick for a few boxes of a job that it could not complete; never timed.
BOXES = "reference in boxes"

BOX_EDGE = 16


@dataclass(frozen=True)
class Row:
    """One line of a table: a network and a way."""

    network: str
    way: str


@dataclass(frozen=True)
class Job:
    """One volume to upsample.

    Attributes:
        size: Voxels of the input along i, j, k.
        scale: Factor, unitless.
        networks: Networks to run.
        rounds: Number of measurements of each row.
        warm_up: Whether one additional run precedes the first round, if there are several.
        every_slice: Whether the published procedure is run in full, once; otherwise, its time is computed from its
            parts.
        plain: Whether encoding once is run in full; otherwise, its time is computed, and errors are those in three
            boxes.
        variants: Whether there are rows for bf16 and OpenVINO, if available.
        memory_limit: Memory limit for `upsample`, in GB (1e9 bytes).
        parts: Whether encoder and decoder are measured separately, instead of the whole.
    """

    size: tuple[int, int, int]
    scale: float
    networks: tuple[str, ...]
    rounds: int
    warm_up: bool = True
    every_slice: bool = False
    plain: bool = True
    variants: bool = False
    memory_limit: float | None = None
    parts: bool = False

    @property
    def geometry(self) -> VolumeGeometry:
        """Grid of the input."""
        return VolumeGeometry(size=self.size, spacing=(1.0, 1.0, 1.0))

    @property
    def fine_shape(self) -> tuple[int, int, int]:
        """Voxels of the output along k, j, i."""
        k, j, i = self.geometry.upsampled(self.scale).shape
        return (k, j, i)

    @property
    def voxels(self) -> tuple[int, int]:
        """Number of voxels of the input and of the output."""
        return prod(self.size), prod(self.fine_shape)

    def runs(self, row: Row) -> list[int]:
        """Return the rounds in which a row runs, from 0; -1 is the run before them, which is not counted."""
        if row.way == EVERY_SLICE:  # it takes minutes, and is itself a mean of many encodings
            return [self.rounds // 2]
        return list(range(-1 if self.warm_up and self.rounds > 1 else 0, self.rounds))

    @property
    def title(self) -> str:
        """Size and scale."""
        return f"{' x '.join(map(str, self.size))} voxels at {self.scale:g}x"

    def boxes(self) -> list[Box]:
        """Return the boxes in which results are compared: everything, or both corners and the center."""
        if self.plain:
            return [_box((0, 0, 0), self.fine_shape)]
        edges = [min(BOX_EDGE, n) for n in self.fine_shape]
        places = [[part * (n - edge) // 2 for n, edge in zip(self.fine_shape, edges, strict=True)] for part in range(3)]
        return [_box(place, edges) for place in places]

    def reference(self, network: str) -> Row:
        """Return the row with the reference result."""
        return Row(network, PLAIN_QUERY if self.parts else ONCE if self.plain else BOXES)

    def rows(self) -> list[Row]:
        """Return the rows that this machine can measure."""
        return [Row(network, way) for network in self.networks for way in self._ways(network)]

    def _ways(self, network: str) -> list[str]:
        if self.parts:
            return [PLAIN_ENCODE, PLAIN_QUERY, ENCODE, QUERY]
        ways = [EVERY_SLICE] if self.every_slice and network == PUBLISHED else []
        ways += [ONCE] if self.plain else []
        ways.append(UPSAMPLE)
        if self.variants:
            ways += [BF16] if has_bf16() else []
            ways += [OPENVINO] if has_openvino() else []
            ways += [OPENVINO_INT8] if has_openvino() and network != PUBLISHED else []  # not supported in 8 bits
        return ways


def has_openvino() -> bool:
    """Return whether the engine has this backend and its package is installed."""
    return "backend" in inspect.signature(upsample).parameters and find_spec("openvino") is not None


def _box(first: tuple[int, ...] | list[int], shape: tuple[int, ...] | list[int]) -> Box:
    k, j, i = (slice(start, start + edge) for start, edge in zip(first, shape, strict=True))
    return (k, j, i)


BOTH = (PUBLISHED, DEFAULT_MODEL)
# The promise of the default model is in the daily jobs: 160 x 192 x 144 at 2x in 60 s and 4 GB.
PROMISED = Job((160, 192, 144), 2, (DEFAULT_MODEL,), rounds=1, plain=False, memory_limit=4)
PARTS = Job((40, 40, 40), 2, BOTH, rounds=3, parts=True)
# The only job for which the published procedure is run in full: 25 TFLOP.
SMALL = Job((32, 32, 32), 2, BOTH, rounds=3, every_slice=True, variants=True)
# About ten minutes on two cores. Below 18 voxels, PyTorch uses another convolution, four times slower, which is not
# representative for volumes of usual size.
DEFAULT = (
    PARTS,
    SMALL,
    Job((24, 24, 24), 4, BOTH, rounds=3),
    Job((64, 64, 64), 2, (DEFAULT_MODEL, DEEP), rounds=3, variants=True),
    PROMISED,
)
# Encoding once keeps 7.3 kB per coarse voxel of the published network: 2 GB for this number of voxels, 17 GB for 132^3
# voxels, 85 GB for the largest job.
PLAIN_VOXELS = 66**3
FULL = (
    PARTS,
    SMALL,
    Job((66, 66, 66), 4, BOTH, rounds=3, warm_up=False),
    Job((132, 132, 132), 2, BOTH, rounds=2, plain=False, warm_up=False),
    Job((160, 160, 110), 2, BOTH, rounds=1, plain=False),
    replace(PROMISED, rounds=3),
    Job((256, 256, 176), 2, (DEFAULT_MODEL,), rounds=1, plain=False, memory_limit=6),
    Job((256, 256, 176), 2, (PUBLISHED,), rounds=1, plain=False, memory_limit=12),
)
QUICK = (
    Job((8, 7, 6), 2, (PUBLISHED,), rounds=1, parts=True),
    Job((7, 6, 5), 2, (PUBLISHED,), rounds=1, every_slice=True),
    Job((20, 9, 8), 2, (DEFAULT_MODEL,), rounds=2, plain=False),
)
