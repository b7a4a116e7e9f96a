"""Single planes of a result: the volume is prepared once, and planes are requested repeatedly.

The feature maps around the last planes are cached, so that a nearby plane only needs queries. Only the coarse voxels
that a plane depends on are encoded. Most of the bounding box of an oblique plane is far from it: on a CPU, convolutions
skip it; elsewhere, the plane is encoded in parts. A quick answer encodes with a reduced halo; an exact answer agrees
with `ArSSRLib.upsampling.upsample` to rounding. The first plane is encoded alone, and with the planes beside it once
the user scrolls or, with `Lens.prepare`, rests.
Agreement with the scan and the average over mirror images need the whole volume, and are not included.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ArSSRLib.acquisition.decision import Estimate, EstimatedOnce, decided_profile
from ArSSRLib.acquisition.profile import told_of
from ArSSRLib.coordinates import Box, QueryGrid, coordinate_of, grown, is_inside, voxels_of, within
from ArSSRLib.device import PRECISIONS, free_memory
from ArSSRLib.errors import InputError, MemoryLimitError
from ArSSRLib.geometry import parse_scale
from ArSSRLib.model.interface import Conditioning, SuperResolutionModel
from ArSSRLib.normalization import IntensityRange, result_type
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.planning import DEFAULT_SHARE, must_agree
from ArSSRLib.upsampling.blind import BlindEstimate
from ArSSRLib.upsampling.executor import precision_context
from ArSSRLib.upsampling.feature_maps import FeatureCache, FeatureMap, Mask, encoded
from ArSSRLib.upsampling.plane import AxisVectors, Pixels, Plane, PlanePoints, Vector
from ArSSRLib.upsampling.preparation import prepare
from ArSSRLib.upsampling.storage import as_type
from ArSSRLib.volume import Volume

# Halo of a quick answer in coarse voxels: the distance from the interpolated features at which layers stop. With
# arssr3, halos of 8, 9 and 10 differ from the exact result by at most 0.8, 0.5 and 0.4 % of the range in black and
# white cubes, and by 0.1 % in a head.
QUICK_HALO = 9
# Voxels of the volume around that, for the first convolution, its detail, and the spline.
QUICK_INPUT = 3
# Voxels on each side of a point for interpolation: the taps of the cubic spline.
TAPS = 1
# Coarse voxels on both sides of a plane that are encoded with it once the user scrolls or rests, for the next plane.
BESIDE = 2
# Candidates for the number of parts along each edge of a plane that are encoded one by one.
DIVISIONS = (1, 2, 4, 8)
# Size limit of the cached feature maps in bytes, except for the last one.
KEPT_BYTES = 384 * 2**20
# Scattered points computed at once.
CHUNK_POINTS = 2**13

# Called many times per second during the work; an exception stops it.
Check = Callable[[], object]


@dataclass(frozen=True)
class Answer:
    """A plane of the result.

    Attributes:
        plane: Intensities in scanner units, shape (rows, columns); NaN outside the field of view. Float32, or float64
            if float32 cannot resolve them.
        exact: Whether it was encoded with the full halo of the model.
        uncorrected: Whether the whole result would be corrected to agree with the scan, unlike this plane.
        encoded: Number of coarse voxels encoded for it; 0 if a feature map was cached.
    """

    plane: npt.NDArray[Any]
    exact: bool
    uncorrected: bool
    encoded: int


class Lens:
    """Computes planes of the result of one volume.

    Args:
        volume: The input; it is not changed.
        model: From `load_model`; it is moved to the device.
        options: From `ArSSRLib.upsampling.decided`. The lens computes with PyTorch, regardless of the backend.
        examined: The volume from which the slice profile is estimated, such as an earlier frame on the same grid; None
            for the input.
        most_bytes: Size limit of the cached feature maps in bytes.

    Raises:
        InputError: If no voxel is a finite number, or the model needs the whole volume.
    """

    def __init__(
        self,
        volume: Volume,
        model: SuperResolutionModel,
        options: UpsamplingOptions,
        *,
        examined: Volume | None = None,
        most_bytes: int = KEPT_BYTES,
    ) -> None:
        if not model.answers_locally:
            msg = (
                f"{model.name or model.config.kind} has no preview, because its output at a point depends on more "
                "than the surrounding voxels; choose a model such as arssr2, or compute the whole result."
            )
            raise InputError(msg)
        self._volume, self._options = volume, options
        self._device = torch.device(options.device)
        self._model = model.to(self._device).eval()
        estimate = EstimatedOnce(BlindEstimate(self._model, self._device))  # regardless of the scale
        self._estimate: Estimate = estimate
        if examined is not None:
            self._estimate = lambda _volume, unknown: estimate(examined, unknown)
        prepared = prepare(volume, decided_profile(volume, options, estimate=self._estimate), options)
        self._array, self._padding = prepared.array, prepared.padding
        self._shape = volume.geometry.shape
        self._intensities = IntensityRange.of(self._array)
        # Computed once, not for each plane, because they depend on all voxels.
        self._lowest, self._highest = self._array.min(), self._array.max()
        self._type = result_type(volume.array)
        # Whether convolutions skip voxels that no plane needs.
        self._skips = self._device.type == "cpu" and options.precision != "bf16"
        self._cache = FeatureCache(most_bytes)
        self._conditions: tuple[Vector, Conditioning, bool] | None = None

    def answer(
        self, plane: Plane, scale: float | Sequence[float], *, exact: bool = False, check: Check = lambda: None
    ) -> Answer:
        """Return a plane of the result.

        Args:
            plane: Positions of its pixels. A pixel at the center of a voxel of the result has the value of that voxel;
                other pixels are predicted by the network.
            scale: Factor of at least 1, or one along each of i, j, k; unitless.
            exact: Whether to encode with the full halo of the model.
            check: Called many times per second during the encoding; an exception stops it.

        Raises:
            InputError: If the scale is impossible.
            MemoryLimitError: If the coarse voxels around the plane do not fit into memory.
        """
        factors = parse_scale(scale)
        told, uncorrected = self._told_at(factors)
        points = PlanePoints.of(plane, self._volume.geometry)
        values = np.full(points.inside.shape, np.nan, dtype=np.float32)
        if not points.inside.any() or self._lowest == self._highest:  # no anatomy, so the network has nothing to add
            values[points.inside] = self._lowest
            return Answer(values, exact=True, uncorrected=uncorrected, encoded=0)
        everywhere, count = True, 0
        with torch.inference_mode(), precision_context("torch", PRECISIONS[self._options.precision], self._device):
            for where, part in self._parts(plane, points, exact=exact):
                kept, more = self._feature_map(part, factors, told, exact=exact, check=check)
                if part.axes is not None:
                    predicted = self._along_axes(kept, part.axes, told)
                else:
                    predicted = self._at_points(kept, part, told, check)
                values[where][part.inside] = predicted
                everywhere, count = everywhere and kept.exact, count + more
        restored = self._intensities.restore(values[points.inside])
        # A contrast on a high offset takes double precision.
        values = values.astype(restored.dtype, copy=False)
        values[points.inside] = as_type(restored, self._type, lowest=self._lowest)
        if self._padding is not None:
            self._padding.put_back_at(values, points.index, points.inside)
        return Answer(values, exact=everywhere, uncorrected=uncorrected, encoded=count)

    def prepare(self, plane: Plane, scale: float | Sequence[float], *, check: Check = lambda: None) -> None:
        """Encode the planes beside a plane, so that exact answers for them take only queries.

        Args:
            plane: From a call of `answer` that returned an exact answer.
            scale: The scale of that call.
            check: Called many times per second; an exception stops the encoding, and cached planes remain.

        Raises:
            MemoryLimitError: If the coarse voxels around the plane do not fit into memory.
        """
        factors = parse_scale(scale)
        told, _ = self._told_at(factors)
        points = PlanePoints.of(plane, self._volume.geometry)
        if not points.inside.any() or self._lowest == self._highest:
            return
        with torch.inference_mode(), precision_context("torch", PRECISIONS[self._options.precision], self._device):
            for _, part in self._parts(plane, points, exact=True):
                self._feature_map(part, factors, told, exact=True, check=check, beside=True)

    def _parts(self, plane: Plane, points: PlanePoints, *, exact: bool) -> list[tuple[Pixels, PlanePoints]]:
        """Return the parts of a plane, without those outside, with the least work among those that fit.

        Raises:
            MemoryLimitError: If even the smallest parts do not fit.
        """
        room = self._room()
        needed, best, least = math.inf, None, math.inf
        for counts in sorted(itertools.product(DIVISIONS, DIVISIONS), key=math.prod):
            parts = plane.parts(counts)
            blocks = [block for _, part in parts if (block := part.box(self._volume.geometry))]
            read = max(voxels_of(grown(block, self._margin(exact=exact), self._shape)) for block in blocks)
            needed = read * self._model.bytes_per_coarse_voxel
            work = sum(self._work(block, exact=exact) for block in blocks)
            if needed <= room and work < least:
                best, least = parts, work
                cached = sum(map(voxels_of, blocks)) * self._model.bytes_per_coarse_voxel <= self._cache.most_bytes
                if points.axes is not None or (self._skips and cached):  # only voxels around the plane are computed
                    break
        if best is None:
            msg = (
                f"The preview of this plane needs {needed / 1e9:.3g} GB, but only {room / 1e9:.3g} GB are available; "
                "make the lens smaller, or zoom in."
            )
            raise MemoryLimitError(msg)
        located = ((where, PlanePoints.of(part, self._volume.geometry)) for where, part in best)
        return [(where, part) for where, part in located if part.inside.any()]

    def _room(self) -> float:
        """Return the memory for one part of a plane, in bytes."""
        room = DEFAULT_SHARE * free_memory(self._device)
        limit = self._options.memory_limit
        return room if limit is None else min(room, limit * 1e9)

    def _work(self, block: Box, *, exact: bool) -> float:
        """Return the approximate number of coarse voxels of all layers for the features of a block."""
        whole = self._model.halo
        halo = whole if exact else min(QUICK_HALO, whole)
        last, middle, first = (voxels_of(grown(block, margin, self._shape)) for margin in (0, halo // 2, halo))
        # Each layer computes a smaller box than the previous one; Simpson's rule approximates their sum. Layers beyond
        # the halo all compute the largest box.
        return halo * (last + 4 * middle + first) / 6 + (whole - halo) * first

    def _margin(self, *, exact: bool) -> int:
        """Return the coarse voxels to read around the features that a plane interpolates."""
        return self._model.halo if exact else min(QUICK_HALO + QUICK_INPUT, self._model.halo)

    def _told_at(self, scale: Vector) -> tuple[Conditioning, bool]:
        """Return the conditioning of the network at a scale, and whether a whole result would be made to agree."""
        if self._conditions is None or self._conditions[0] != scale:
            fine = self._volume.geometry.upsampled(scale).shape
            self._model.check_scale(self._shape, fine)
            profile = decided_profile(self._volume, self._options, scale, estimate=self._estimate)
            told = Conditioning.between(self._shape, fine, told_of(profile)).map(lambda t: t.to(self._device))
            self._conditions = scale, told, must_agree(self._options, profile, scale)
        return self._conditions[1:]

    def _feature_map(
        self, points: PlanePoints, scale: Vector, told: Conditioning, *, exact: bool, check: Check, beside: bool = False
    ) -> tuple[FeatureMap, int]:
        """Return a feature map for points, cached or new, and the number of coarse voxels encoded for it.

        With ``beside``, it also covers the planes beside them, as does a new one for a quick answer after scrolling.
        """
        block, encoded_voxels = points.block(self._shape, TAPS), 0
        wanted, needed = self._wanted(block, points, beside=beside)
        found = self._cache.found(wanted, scale, exact=exact, needed=needed)
        if found is None:
            slabs = (self._slab(kept.box, points) for kept in self._cache.kept if kept.scale == scale)
            if not exact and any(is_inside(block, slab) for slab in slabs):
                wanted, needed = self._wanted(block, points, beside=True)
            crop = grown(wanted, self._margin(exact=exact) - TAPS, self._shape)
            check()
            coarse = torch.from_numpy(self._intensities.normalize(self._array[crop])).to(self._device)
            halo = None if exact else QUICK_HALO
            box = within(wanted, crop)
            features = encoded(self._model, coarse[None, None], box, told, lambda _: check(), halo=halo, needed=needed)
            found, encoded_voxels = FeatureMap(wanted, features, scale, exact, needed), coarse.numel()
        self._cache.keep(found)
        return found, encoded_voxels

    def _wanted(self, block: Box, points: PlanePoints, *, beside: bool) -> tuple[Box, Mask | None]:
        """Return the box to encode for a block, and a mask of its voxels near oblique points if others are skipped."""
        wanted = self._slab(block, points) if beside else block
        skips = self._skips and points.axes is None
        return wanted, points.voxels(wanted, BESIDE if beside else 0) if skips else None

    def _slab(self, block: Box, points: PlanePoints) -> Box:
        """Return a block for points and the planes beside it."""
        more = grown(block, BESIDE, self._shape)
        if points.axes is None:
            return more
        # Straight planes are scrolled along one axis; dragging the lens leaves any margin immediately.
        k, j, i = (more[axis] if axis == points.axes.order[2] else block[axis] for axis in range(3))
        return k, j, i

    def _along_axes(self, kept: FeatureMap, axes: AxisVectors, told: Conditioning) -> npt.NDArray[np.float32]:
        """Predict pixels along axes of the volume in the same way as the whole result, shape (pixels inside,)."""
        vectors = [torch.from_numpy(vector) for vector in axes.vectors]
        query = [coordinate_of(vector, n) for vector, n in zip(vectors, self._shape, strict=True)]
        sampling = [vector - block.start for vector, block in zip(vectors, kept.box, strict=True)]
        grid = QueryGrid((query[0], query[1], query[2]), (sampling[0], sampling[1], sampling[2]))
        answer = self._model.query_grid(kept.features, grid, told)
        return answer.permute(axes.order).flatten().cpu().numpy()

    def _at_points(
        self, kept: FeatureMap, points: PlanePoints, told: Conditioning, check: Check
    ) -> npt.NDArray[np.float32]:
        """Predict pixels anywhere in a feature map, shape (pixels inside,)."""
        index = torch.from_numpy(points.index[points.inside])
        number_format = torch.float32 if self._device.type == "mps" else torch.float64  # mps has no double precision
        shape = kept.features.shape[2:]
        coordinates = torch.stack(
            [coordinate_of(index[:, axis] - kept.box[axis].start, shape[axis]) for axis in range(3)], dim=-1
        ).to(self._device, number_format)
        parts = []
        for chunk in torch.split(coordinates, CHUNK_POINTS):
            check()
            parts.append(self._model.query(kept.features, chunk[None], told)[0])
        return torch.cat(parts).cpu().numpy()
