"""High-resolution volumes resident in memory, and batches drawn from them.

A batch holds coarse patches, query points and the true intensities there. Every item draws its own volume, crop,
orientation, contrast, scale and slice profile; the acquisition is simulated for the whole batch at once.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ArSSRLib.errors import InputError
from ArSSRLib.interpolation import apply_matrices, bandlimited_matrix, centered_positions
from ArSSRLib.io import find_volumes, read_volume
from ArSSRLib.normalization import IntensityRange, replace_non_finite
from ArSSRLib.training.config import TrainingConfig
from ArSSRLib.training.degradation import POINT, acquisition, add_rician_noise, degrade
from ArSSRLib.training.synthesis import random_contrast
from ArSSRLib.volume import Volume

logger = logging.getLogger(__name__)

# Stored as 16-bit integers: 1 / 16384 of the intensity range is below the noise of any scanner, up to a value of 2.
STORED_ONE = 16384
FOREGROUND = 0.1
CANDIDATES = 4096
# Fine voxels kept around a patch for the tails of the kernels, beside a multiple of the scale.
KERNEL_MARGIN = 6
KERNEL_SCALES = 2.5


@dataclass(frozen=True)
class TrainingVolume:
    """One volume on one grid.

    Attributes:
        subject: Name of its file.
        stored: Intensities times STORED_ONE, int16, shape (k, j, i).
        foreground: Indices of voxels that show anatomy, shape (M, 3), in (k, j, i) order.
    """

    subject: str
    stored: Tensor
    foreground: Tensor


@dataclass(frozen=True)
class Batch:
    """What one step needs.

    Attributes:
        coarse: Simulated acquisition, shape (N, 1, n, n, n).
        scale: Fine voxels per coarse voxel along k, j, i, shape (N, 3).
        coordinates: Query points in the patch, (k, j, i) order, [-1, 1], shape (N, K, 3).
        truth: Intensities at the points, shape (N, K).
    """

    coarse: Tensor
    scale: Tensor
    coordinates: Tensor
    truth: Tensor

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        moved = (x.to(device, non_blocking=True) for x in (self.coarse, self.scale, self.coordinates, self.truth))
        return Batch(*moved)


def resample_isotropic(volume: Volume, spacing: float) -> Volume:
    """Return a volume at about ``spacing`` mm in the same field of view, without aliasing; 0 changes nothing."""
    if spacing == 0:
        return volume
    geometry = volume.geometry
    size = [max(1, round(extent / spacing)) for extent in geometry.extent]
    matrices = [
        bandlimited_matrix(old, centered_positions(old, new), old / new)
        for old, new in zip(geometry.shape, reversed(size), strict=True)
    ]
    array = apply_matrices(torch.from_numpy(volume.array.astype(np.float32)), matrices).numpy()
    return volume.with_array(array, geometry.resized(size))


def load_normalized(path: Path) -> Volume:
    """Read a volume and return it as float32 in about [0, 1]."""
    volume = read_volume(path)
    array, _ = replace_non_finite(volume.array)
    return volume.with_array(IntensityRange.of(array).normalize(array))


def load_training_volumes(folder: Path, spacings: Sequence[float], patch_size: int) -> list[list[TrainingVolume]]:
    """Read every volume of a folder on every target grid.

    Returns:
        For each spacing, one training volume a file.

    Raises:
        InputError: If the folder holds no volume, or one that is smaller than a patch or shows nothing.
    """
    grids: list[list[TrainingVolume]] = [[] for _ in spacings]
    for path in find_volumes(folder):
        volume = load_normalized(path)
        for spacing, grid in zip(spacings, grids, strict=True):
            resampled = torch.from_numpy(resample_isotropic(volume, spacing).array)
            if min(resampled.shape) < patch_size:
                msg = (
                    f"{path.name} has {' x '.join(map(str, resampled.shape))} voxels, fewer than a patch of "
                    f"{patch_size}; remove it from {folder} or choose a smaller patch_size."
                )
                raise InputError(msg)
            foreground = torch.nonzero(resampled > FOREGROUND)
            if len(foreground) == 0:
                msg = f"{path.name} shows nothing but background; remove it from {folder}."
                raise InputError(msg)
            stored = (resampled.clamp(-1.9, 1.9) * STORED_ONE).round().to(torch.int16)
            chosen = foreground[:: max(1, len(foreground) // CANDIDATES)].clone()
            grid.append(TrainingVolume(path.name, stored, chosen))
    logger.info("%d training volumes on %d grids", len(grids[0]), len(grids))
    return grids


class BatchSampler:
    """Draws batches; the same seed and the same number of draws give the same batch.

    Args:
        grids: From `load_training_volumes`.
        config: What to draw.
    """

    def __init__(self, grids: list[list[TrainingVolume]], config: TrainingConfig) -> None:
        self._grids = grids
        self._config = config
        self.generator = torch.Generator().manual_seed(config.seed)

    def draw(self) -> Batch:
        """Return the next batch, on the CPU."""
        config = self._config
        items = [self._draw_item() for _ in range(config.batch_items)]
        scale = torch.tensor([item.scale for item in items])
        shape = [max(len_) for len_ in zip(*(item.patch.shape for item in items), strict=True)]
        fine = torch.zeros((len(items), *shape))
        for target, item in zip(fine, items, strict=True):
            k, j, i = item.patch.shape
            target[:k, :j, :i] = item.patch
        first_face = torch.tensor([item.margins for item in items], dtype=torch.float32)
        profile, thickness = self._draw_profiles(len(items))
        matrices = [
            acquisition(
                shape[axis],
                config.patch_size,
                scale=scale[:, axis],
                # An axis that keeps its resolution keeps its samples.
                profile=torch.where(scale[:, axis] > 1, profile, POINT),
                thickness=thickness,
                first_face=first_face[:, axis],
            )
            for axis in range(3)
        ]
        coarse = degrade(fine, (matrices[0], matrices[1], matrices[2]))
        coarse = add_rician_noise(coarse, self._draw_noise(len(items)), self.generator)
        coordinates, truth = self._draw_points(fine, scale, first_face)
        return Batch(coarse[:, None], scale, coordinates, truth)

    def _draw_item(self) -> _Item:
        """Draw a volume, an orientation, a scale and the crop that a patch of that scale needs."""
        config = self._config
        grid = self._grids[self._choose(config.target_weights)]
        volume = grid[self._integer(len(grid))]
        order = torch.randperm(3, generator=self.generator).tolist()
        flips = [axis for axis in range(3) if self._uniform() < 0.5]
        stored = volume.stored.permute(order).flip(flips) if flips else volume.stored.permute(order)
        center = volume.foreground[self._integer(len(volume.foreground))][order].tolist()
        center = [stored.shape[a] - 1 - c if a in flips else c for a, c in enumerate(center)]
        limits = [length / config.patch_size for length in stored.shape]
        scale = [min(s, limit) for s, limit in zip(self._draw_scale(), limits, strict=True)]
        margins = [math.ceil(KERNEL_MARGIN + KERNEL_SCALES * s) if s > 1 else 0 for s in scale]
        starts, lengths = [], []
        for middle, s, length in zip(center, scale, stored.shape, strict=True):
            field = config.patch_size * s
            start = math.floor(middle - self._uniform() * field)
            starts.append(min(max(start, 0), max(0, math.floor(length - field))))
            lengths.append(math.ceil(field))
        patch = _replicated_crop(stored, starts, lengths, margins).float() / STORED_ONE
        patch = random_contrast(patch, self.generator, gamma=config.gamma_share, curve=config.curve_share)
        return _Item(patch, scale, margins)

    def _draw_scale(self) -> list[float]:
        config = self._config
        kind = self._uniform()
        if kind < config.isotropic_share:
            scale = [self._between(config.scale_range)] * 3
        elif kind < config.isotropic_share + config.thick_share:
            scale = [1.0, 1.0, 1.0]
            scale[self._integer(3)] = self._between(config.thick_scale_range)
        else:
            scale = [self._between(config.scale_range) for _ in range(3)]
        if self._uniform() < config.whole_scale_share:
            scale = [max(1.0, round(2 * s) / 2 if s < 3 else float(round(s))) for s in scale]
        return scale

    def _draw_profiles(self, count: int) -> tuple[Tensor, Tensor]:
        low, high = self._config.thickness_range
        profile = torch.tensor([self._choose(self._config.profile_weights) for _ in range(count)])
        thickness = low + (high - low) * torch.rand(count, generator=self.generator)
        nominal = torch.rand(count, generator=self.generator) < self._config.nominal_share
        return profile, torch.where(nominal, 1.0, thickness)

    def _draw_noise(self, count: int) -> Tensor:
        noisy = torch.rand(count, generator=self.generator) < self._config.noise_share
        return noisy * torch.rand(count, generator=self.generator) * self._config.noise_maximum

    def _draw_points(self, fine: Tensor, scale: Tensor, first_face: Tensor) -> tuple[Tensor, Tensor]:
        """Draw fine voxels inside the margin; return their coordinates (N, K, 3) and intensities (N, K)."""
        config = self._config
        first = torch.ceil(config.margin * scale - 0.5).clamp_min(0)
        last = torch.floor((config.patch_size - config.margin) * scale - 0.5)
        draw = torch.rand((len(fine), config.points, 3), generator=self.generator)
        index = first[:, None] + torch.floor(draw * (last - first + 1)[:, None])
        index = torch.minimum(index, last[:, None])
        coordinates = 2 * (index + 0.5) / (config.patch_size * scale)[:, None] - 1
        where = (index + first_face[:, None]).long()
        flat = (where[..., 0] * fine.shape[2] + where[..., 1]) * fine.shape[3] + where[..., 2]
        return coordinates, torch.gather(fine.flatten(1), 1, flat)

    def _uniform(self) -> float:
        return float(torch.rand((), generator=self.generator))

    def _between(self, limits: tuple[float, float]) -> float:
        return limits[0] + (limits[1] - limits[0]) * self._uniform()

    def _integer(self, count: int) -> int:
        return int(torch.randint(count, (), generator=self.generator))

    def _choose(self, weights: Iterable[float]) -> int:
        return int(torch.multinomial(torch.tensor(list(weights)), 1, generator=self.generator))


@dataclass(frozen=True)
class _Item:
    patch: Tensor
    scale: list[float]
    margins: list[int]


def _replicated_crop(stored: Tensor, starts: list[int], lengths: list[int], margins: list[int]) -> Tensor:
    """Cut a crop and its margins; beyond the volume the outermost voxel repeats."""
    for axis, (start, length, margin) in enumerate(zip(starts, lengths, margins, strict=True)):
        first, last = start - margin, start + length + margin
        inside = stored.narrow(axis, max(0, first), min(last, stored.shape[axis]) - max(0, first))
        if first < 0 or last > stored.shape[axis]:
            index = torch.arange(first, last).clamp(0, stored.shape[axis] - 1) - max(0, first)
            inside = inside.index_select(axis, index)
        stored = inside
    return stored
