"""Single planes of a result: the volume is prepared once, and planes are requested repeatedly.

The feature maps around the last planes are cached, so that a nearby plane only needs queries. Only the coarse voxels
that a plane depends on are encoded; an oblique plane is encoded in parts, because most of its bounding box is far from
it. A quick answer encodes with a reduced halo; an exact answer agrees with `ArSSRLib.upsampling.upsample` to rounding.
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
from torch import Tensor

from ArSSRLib.acquisition.decision import EstimatedOnce, decided_profile
from ArSSRLib.acquisition.profile import told_of
from ArSSRLib.coordinates import Box, QueryGrid, coordinate_of, grown, within
from ArSSRLib.device import PRECISIONS, free_memory
from ArSSRLib.errors import InputError, MemoryLimitError
from ArSSRLib.geometry import parse_scale
from ArSSRLib.model.interface import Conditioning, SuperResolutionModel
from ArSSRLib.normalization import IntensityRange, result_type
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.planning import DEFAULT_SHARE, must_agree
from ArSSRLib.upsampling.executor import precision_context
from ArSSRLib.upsampling.plane import AxisVectors, Plane, PlanePart, PlanePoints, Vector
from ArSSRLib.upsampling.preparation import prepare
from ArSSRLib.upsampling.storage import as_type
from ArSSRLib.volume import Volume

# Halo of a quick answer in coarse voxels: the distance from the interpolated features at which layers stop. With arssr2
# at ten volumes, halos of 5, 6, 7 and 8 differ from the exact result by at most 3.6, 1.7, 1.7 and 1.0 % of the range.
# The largest differences are in a fetal scan and in cubes of random intensities; in adult heads, 8 differs by 0.2 %.
QUICK_HALO = 8
# Voxels of the volume around that, for the first convolution, its detail, and the spline.
QUICK_INPUT = 3
# Voxels on each side of a point for interpolation: the taps of the cubic spline.
TAPS = 1
# Coarse voxels on both sides of a plane that a quick answer also encodes, for the next plane.
QUICK_MARGIN = 2
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


@dataclass(frozen=True)
class _Kept:
    """A feature map of a block of coarse voxels, shape (1, C, d, h, w), its scale, and whether its halo was full."""

    block: Box
    feature_map: Tensor
    scale: Vector
    exact: bool

    @property
    def bytes(self) -> int:
        """Size of the feature map."""
        return self.feature_map.numel() * self.feature_map.element_size()

    def serves(self, block: Box, scale: Vector, *, exact: bool) -> bool:
        """Return whether it covers a block, at a scale, with the requested accuracy."""
        within = all(a.start <= b.start and b.stop <= a.stop for a, b in zip(self.block, block, strict=True))
        return within and self.scale == scale and (self.exact or not exact)


class Lens:
    """Computes planes of the result of one volume.

    Args:
        volume: The input; it is not changed.
        model: From `load_model`; it is moved to the device.
        options: From `ArSSRLib.upsampling.decided`. The lens computes with PyTorch, regardless of the backend.
        most_bytes: Size limit of the cached feature maps in bytes.

    Raises:
        InputError: If no voxel is a finite number, or the model needs the whole volume.
    """

    def __init__(
        self, volume: Volume, model: SuperResolutionModel, options: UpsamplingOptions, *, most_bytes: int = KEPT_BYTES
    ) -> None:
        if not model.answers_locally:
            msg = (
                f"{model.name or model.config.kind} has no preview, because its output at a point depends on more "
                "than the surrounding voxels; choose a model such as arssr2, or compute the whole result."
            )
            raise InputError(msg)
        self._volume, self._options, self._most_bytes = volume, options, most_bytes
        self._device = torch.device(options.device)
        self._model = model.to(self._device).eval()
        self._estimate = EstimatedOnce()  # regardless of the scale
        prepared = prepare(volume, decided_profile(volume, options, estimate=self._estimate), options)
        self._array, self._padding = prepared.array, prepared.padding
        self._shape = volume.geometry.shape
        self._intensities = IntensityRange.of(self._array)
        # Once, not for each plane: they depend on all voxels.
        self._lowest, self._highest = self._array.min(), self._array.max()
        self._type = result_type(volume.array)
        self._kept: list[_Kept] = []  # the most recently used one is the last
        self._conditions: tuple[Vector, Conditioning, bool] | None = None

    @property
    def kept_bytes(self) -> int:
        """Size of the cached feature maps in bytes."""
        return sum(kept.bytes for kept in self._kept)

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
        everywhere, encoded = True, 0
        with torch.inference_mode(), precision_context("torch", PRECISIONS[self._options.precision], self._device):
            for part in self._parts(plane, straight=points.axes is not None, exact=exact):
                here = PlanePoints.of(part.plane, self._volume.geometry)
                if not here.inside.any():
                    continue
                kept, voxels = self._feature_map(here, factors, told, exact=exact, check=check)
                values[part.rows, part.columns][here.inside] = self._normalized(kept, here, told, check)
                everywhere, encoded = everywhere and kept.exact, encoded + voxels
        restored = self._intensities.restore(values[points.inside])
        # A contrast on a high offset takes double precision.
        values = values.astype(restored.dtype, copy=False)
        values[points.inside] = as_type(restored, self._type, lowest=self._lowest)
        if self._padding is not None:
            self._padding.put_back_at(values, points.index, points.inside)
        return Answer(values, exact=everywhere, uncorrected=uncorrected, encoded=encoded)

    def _parts(self, plane: Plane, *, straight: bool, exact: bool) -> list[PlanePart]:
        """Return the parts of a plane for encoding them one by one, with the least work among those that fit.

        Raises:
            MemoryLimitError: If even the smallest parts do not fit.
        """
        room, needed, best, least = self._room(), math.inf, None, math.inf
        for counts in sorted(itertools.product(DIVISIONS, DIVISIONS), key=math.prod):
            parts = plane.parts(counts)
            blocks = [block for part in parts if (block := part.plane.box(self._volume.geometry, 0))]
            read = max(_voxels(grown(block, self._margin(exact=exact), self._shape)) for block in blocks)
            needed = read * self._model.bytes_per_coarse_voxel
            work = sum(self._work(block, exact=exact) for block in blocks)
            if needed <= room and work < least:
                best, least = parts, work
            if best is not None and straight:  # its bounding box contains only the plane
                break
        if best is None:
            msg = (
                f"The preview of this plane needs {needed / 1e9:.3g} GB, but only {room / 1e9:.3g} GB are available; "
                "make the lens smaller, or zoom in."
            )
            raise MemoryLimitError(msg)
        return best

    def _work(self, block: Box, *, exact: bool) -> float:
        """Return the approximate number of coarse voxels of all layers for the features of a block."""
        whole = self._model.halo
        halo = whole if exact else min(QUICK_HALO, whole)
        last, middle, first = (_voxels(grown(block, margin, self._shape)) for margin in (0, halo // 2, halo))
        # Each layer computes less than the previous one, Simpson's rule from the last to the first, except for those
        # at the limit of the halo.
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
        self, points: PlanePoints, scale: Vector, told: Conditioning, *, exact: bool, check: Check
    ) -> tuple[_Kept, int]:
        """Return a feature map for points, cached or new, and the number of coarse voxels encoded for it."""
        block, voxels = points.block(self._shape, TAPS), 0
        serving = [kept for kept in self._kept if kept.serves(block, scale, exact=exact)]
        if serving:
            found = max(serving, key=lambda kept: kept.exact)
            self._kept = [kept for kept in self._kept if kept is not found]
        else:
            wanted, crop = self._boxes(points, exact=exact)
            check()
            coarse = torch.from_numpy(self._intensities.normalize(self._array[crop])).to(self._device)
            halo = None if exact else QUICK_HALO
            box = within(wanted, crop)
            encoded = self._model.encode_box(coarse[None, None], box, told, lambda _: check(), halo=halo)
            # Channels last, as needed for interpolation.
            rows = encoded.permute(0, 2, 3, 4, 1).contiguous()
            found, voxels = _Kept(wanted, rows.permute(0, 4, 1, 2, 3), scale, exact), coarse.numel()
        self._kept.append(found)
        while len(self._kept) > 1 and self.kept_bytes > self._most_bytes:
            del self._kept[0]
        return found, voxels

    def _boxes(self, points: PlanePoints, *, exact: bool) -> tuple[Box, Box]:
        """Return the box of features to keep for points, and the box to encode."""
        block = points.block(self._shape, TAPS)
        wanted = block
        if not exact:
            more = grown(block, QUICK_MARGIN, self._shape)
            # Straight planes are scrolled; dragging the lens leaves any margin immediately.
            scrolled = range(3) if points.axes is None else points.axes.order[2:]
            k, j, i = (more[axis] if axis in scrolled else block[axis] for axis in range(3))
            wanted = (k, j, i)
        return wanted, grown(wanted, self._margin(exact=exact) - TAPS, self._shape)

    def _room(self) -> float:
        """Return the memory for encoding in bytes."""
        room = DEFAULT_SHARE * free_memory(self._device)
        limit = self._options.memory_limit
        return room if limit is None else min(room, limit * 1e9)

    def _normalized(
        self, kept: _Kept, points: PlanePoints, told: Conditioning, check: Check
    ) -> npt.NDArray[np.float32]:
        """Predict the pixels inside, shape (pixels inside,)."""
        if points.axes is not None:
            return self._along_axes(kept, points.axes, told)
        return self._at_points(kept, points, told, check)

    def _along_axes(self, kept: _Kept, axes: AxisVectors, told: Conditioning) -> npt.NDArray[np.float32]:
        """Predict pixels along axes of the volume in the same way as the whole result, shape (pixels inside,)."""
        vectors = [torch.from_numpy(vector) for vector in axes.vectors]
        query = [coordinate_of(vector, n) for vector, n in zip(vectors, self._shape, strict=True)]
        sampling = [vector - block.start for vector, block in zip(vectors, kept.block, strict=True)]
        grid = QueryGrid((query[0], query[1], query[2]), (sampling[0], sampling[1], sampling[2]))
        answer = self._model.query_grid(kept.feature_map, grid, told)
        return answer.permute(axes.order).flatten().cpu().numpy()

    def _at_points(self, kept: _Kept, points: PlanePoints, told: Conditioning, check: Check) -> npt.NDArray[np.float32]:
        """Predict pixels anywhere in a feature map, shape (pixels inside,)."""
        index = torch.from_numpy(points.index[points.inside])
        number_format = torch.float32 if self._device.type == "mps" else torch.float64  # mps has no double precision
        shape = kept.feature_map.shape[2:]
        coordinates = torch.stack(
            [coordinate_of(index[:, axis] - kept.block[axis].start, shape[axis]) for axis in range(3)], dim=-1
        ).to(self._device, number_format)
        parts = []
        for chunk in torch.split(coordinates, CHUNK_POINTS):
            check()
            parts.append(self._model.query(kept.feature_map, chunk[None], told)[0])
        return torch.cat(parts).cpu().numpy()


def _voxels(box: Box) -> int:
    return math.prod(s.stop - s.start for s in box)
