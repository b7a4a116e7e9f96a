"""From volumes to batches: coarse patches, query points and the true intensities there.

A batch depends only on the seed, the step and the numbers of its items. A resumed run therefore draws the same batches
as an uninterrupted one, and two processes with half the items each draw the same items as one process. The acquisition
is simulated for the whole batch at once, on the device.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ArSSRLib.acquisition.batch import POINT, add_rician_noise, batch_matrices, degrade
from ArSSRLib.acquisition.profile import NOTHING
from ArSSRLib.device import free_memory
from ArSSRLib.errors import InputError
from ArSSRLib.geometry import times
from ArSSRLib.io.sources import Source, read_checked
from ArSSRLib.kernels.transfer import to_device
from ArSSRLib.training.blocks import Block, draw_blocks
from ArSSRLib.training.cache import default_folder, prepared_volume
from ArSSRLib.training.config import TrainingConfig
from ArSSRLib.training.drawing import Grids, Item, check_thick_slices, cut_fixed_patches, draw_item
from ArSSRLib.training.preparation import Preparation, TrainingVolume, prepare
from ArSSRLib.training.simulation import as_told, draw_certainty, draw_noise, draw_profiles, draw_slice_gains, inputs_of
from ArSSRLib.volume import Volume

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Batch:
    """Data of one training step.

    Attributes:
        coarse: Simulated acquisition, shape (N, 1, n, n, n).
        scale: Fine voxels per coarse voxel along k, j, i, shape (N, 3).
        coordinates: Query points in the patch, (k, j, i) order, [-1, 1], shape (N, K, 3).
        placed: The same points in the volume, for a network that uses absolute positions; else ``coordinates``.
        acquisition: Slice profiles along k, j, i as inputs of the network, shape (N, 3, 5): the contrast preserved at
            each of `profile.FREQUENCIES`, and the certainty; all 0 if the profile is unknown.
        truth: Intensities at the points, shape (N, K); for blocks, at their inner voxels, N tensors of shape (K,).
        blocks: Dense blocks, one per patch, instead of points; empty for points.
    """

    coarse: Tensor
    scale: Tensor
    coordinates: Tensor
    placed: Tensor
    acquisition: Tensor
    truth: Tensor | tuple[Tensor, ...]
    blocks: tuple[Block, ...] = ()


def load_normalized(path: Path) -> Volume:
    """Read a volume and return it as float32 in about [0, 1]."""
    return prepare(read_checked(path), Preparation())


def load_training_volumes(sources: Sequence[Source], config: TrainingConfig) -> list[list[TrainingVolume]]:
    """Prepare every volume on every target grid, or read it from the cache.

    Returns:
        For each target spacing, one training volume per source, or the fixed cubes cut from it.

    Raises:
        InputError: If a volume cannot be read, is too small, shows nothing, or, where patches are not reoriented, has
            another orientation than the other volumes.
    """
    folder = config.cache or default_folder()
    grids: list[list[TrainingVolume]] = []
    for spacing in config.target_spacings:
        preparation = Preparation(config.crop_and_pad, config.normalization, spacing)
        volumes = [prepared_volume(source.path, preparation, folder) for source in sources]
        for volume in volumes:
            _check_size(volume, config)
        if not config.augmentation:
            _refuse_mixed_orientations(volumes)
        if config.fixed_patches:
            generator = torch.Generator().manual_seed(config.seed)
            volumes = [cube for volume in volumes for cube in cut_fixed_patches(volume, config, generator)]
        grids.append(volumes)
    logger.info("%d training volumes on %d grids, kept in %s", len(sources), len(grids), folder)
    return grids


def _check_size(volume: TrainingVolume, config: TrainingConfig) -> None:
    edge, what, at_scale = config.patch_size, "patch_size", ""
    scale = config.model.only_scale
    if scale is not None:  # a smaller field of view would mean a smaller scale
        edge = math.ceil(config.patch_size * scale - 1e-6)
        at_scale = f" at scale {scale:g}, which is {edge}"
    if config.fixed_patches:
        edge, what, at_scale = config.fixed_patch_size, "fixed_patch_size", ""
    if min(volume.stored.shape) < edge:
        size = times(volume.stored.shape[::-1])
        msg = (
            f"{volume.subject} has {size} voxels, fewer than a {what} of {getattr(config, what)}{at_scale}; omit it, "
            f"or choose a smaller {what}."
        )
        raise InputError(msg)
    if config.self_supervised:
        check_thick_slices(volume, config.patch_size)


def _refuse_mixed_orientations(volumes: Sequence[TrainingVolume]) -> None:
    first = volumes[0]
    for volume in volumes[1:]:
        if volume.orientation != first.orientation:
            msg = (
                f"{volume.subject} is stored along {volume.orientation}, {first.subject} along {first.orientation}; "
                "store all volumes in the same orientation, or set augmentation = true, which rotates patches at "
                "random."
            )
            raise InputError(msg)


class _Drawn(NamedTuple):
    """The random choices for one item, on the CPU."""

    seed: int
    item: Item
    profiles: tuple[Tensor, Tensor, Tensor, Tensor]  # kinds, widths, stated widths and certainty, each (1, 3)
    noise: float
    gains: Tensor | None
    blocks: tuple[Block, ...]  # one, or none for points


class BatchSampler:
    """Draws batches; the same seed and step give the same batch.

    Args:
        grids: From `load_training_volumes`.
        config: Training settings.
        device: Device on which batches are built. Volumes are moved there if they fit into half of its free memory.
        rank: Rank of this process, which draws only its own share of the items.
        world: Number of processes.
    """

    def __init__(
        self, grids: Grids, config: TrainingConfig, *, device: torch.device | None = None, rank: int = 0, world: int = 1
    ) -> None:
        self.device = device or torch.device("cpu")
        self._grids = _resident(grids, self.device)
        self._config = config
        self._first = rank * config.batch_items
        self._total = world * config.batch_items
        self._host = torch.Generator()
        self._points = torch.Generator(self.device)

    def draw(self, step: int) -> Batch:
        """Return the batch of a step."""
        config = self._config
        numbers = range(self._first, self._first + config.batch_items)
        drawn = [self._drawn(seed_of(config.seed, step, number)) for number in numbers]
        items = [one.item for one in drawn]
        patches = [to_device(item.patch, self.device) for item in items]
        scale = self._sent([item.scale for item in items])
        first_face = self._sent([item.margins for item in items])
        coarse, acquisition = self._simulated(drawn, patches, scale, first_face)
        blocks = tuple(block.to(self.device) for one in drawn for block in one.blocks)
        if blocks:
            pairs = zip(patches, blocks, strict=True)
            inner = tuple(patch[block.fine][block.inner].flatten() for patch, block in pairs)
            nowhere = torch.empty((len(items), 0, 3), device=self.device)
            return Batch(coarse[:, None], scale, nowhere, nowhere, acquisition, inner, blocks)
        index = self._draw_index(scale, [one.seed for one in drawn])
        coordinates = 2 * (index + 0.5) / (config.patch_size * scale)[:, None] - 1
        placed = coordinates
        if config.coordinates == "volume":
            starts, lengths = (self._sent([getattr(i, name) for i in items]) for name in ("starts", "lengths"))
            placed = 2 * (index + starts[:, None] + 0.5) / lengths[:, None] - 1
        where = (index + first_face[:, None]).long().unbind(-1)
        truth = [patch[where[0][n], where[1][n], where[2][n]] for n, patch in enumerate(patches)]
        return Batch(coarse[:, None], scale, coordinates, placed, acquisition, torch.stack(truth))

    def _drawn(self, seed: int) -> _Drawn:
        """Draw one item; the order of the draws determines their values."""
        config, host = self._config, self._host
        host.manual_seed(seed)
        item, certainty = draw_item(self._grids, config, host), draw_certainty(config, 1, host)
        kinds, widths = draw_profiles(config, certainty, host)
        told = as_told(widths, certainty, host)
        noise = float(draw_noise(config, 1, host)) if config.degradation == "mixture" else 0.0
        gains = draw_slice_gains(config, item.scale, 1, host)
        blocks: tuple[Block, ...] = ()
        if config.block_voxels:
            agrees = [bool(certainty.amin() > NOTHING)]
            blocks = draw_blocks(item.scale, item.margins, (kinds, told), agrees, config, host)
        return _Drawn(seed, item, (kinds, widths, told, certainty), noise, gains, blocks)

    def _simulated(
        self, drawn: Sequence[_Drawn], patches: Sequence[Tensor], scale: Tensor, first_face: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the coarse patches, shape (N, n, n, n), and their slice profiles as inputs of the network."""
        parts = (torch.cat(part) for part in zip(*(one.profiles for one in drawn), strict=True))
        kinds, widths, told, certainty = (to_device(part, self.device) for part in parts)
        longest = [max(lengths) for lengths in zip(*(patch.shape for patch in patches), strict=True)]
        matrices = self._acquisitions(longest, scale, (kinds, widths), first_face)
        coarse = torch.cat([_degraded(patch, matrices, number) for number, patch in enumerate(patches)])
        for one, patch in zip(drawn, torch.split(coarse, 1), strict=True):
            if one.gains is not None:
                patch.mul_(to_device(one.gains, self.device))
            if one.noise > 0:
                self._points.manual_seed(one.seed ^ 2)
                sigma = torch.full((1,), one.noise, device=self.device)
                patch.copy_(add_rician_noise(patch, sigma, self._points))
        return coarse, inputs_of(kinds, told, certainty)

    def of_rank(self, rank: int) -> BatchSampler:
        """Return the sampler of another process."""
        world = self._total // self._config.batch_items
        return type(self)(self._grids, self._config, device=self.device, rank=rank, world=world)

    def _acquisitions(
        self, shape: Sequence[int], scale: Tensor, slices: tuple[Tensor, Tensor], first_face: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        profile, thickness = slices
        k, j, i = (
            batch_matrices(
                shape[axis],
                self._config.patch_size,
                scale=scale[:, axis],
                # An axis that is not coarsened keeps its samples.
                profile=torch.where(scale[:, axis] > 1, profile[:, axis], POINT),
                thickness=thickness[:, axis],
                first_face=first_face[:, axis],
                endpoints=self._config.alignment == "endpoints",
            )
            for axis in range(3)
        )
        return k, j, i

    def _draw_index(self, scale: Tensor, seeds: list[int]) -> Tensor:
        """Draw fine voxels of the patch inside the margin, as indices from its first voxel, shape (N, K, 3)."""
        config = self._config
        first = torch.ceil(config.margin * scale - 0.5).clamp_min(0)
        last = torch.floor((config.patch_size - config.margin) * scale - 0.5)
        draw = torch.empty((len(seeds), config.points, 3), device=self.device)
        for target, seed in zip(draw, seeds, strict=True):
            self._points.manual_seed(seed ^ 1)
            target.uniform_(generator=self._points)
        index = first[:, None] + torch.floor(draw * (last - first + 1)[:, None])
        return torch.minimum(index, last[:, None])

    def _sent(self, values: Sequence[Sequence[float]]) -> Tensor:
        return to_device(torch.tensor(values, dtype=torch.float32), self.device)


def seed_of(seed: int, step: int, number: int) -> int:
    """Return the seed of one item of one step; the seeds of different items and steps are independent."""
    digest = hashlib.blake2b(f"{seed}/{step}/{number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def _degraded(patch: Tensor, matrices: tuple[Tensor, Tensor, Tensor], number: int) -> Tensor:
    """Apply one item's matrices to its crop, shape (k, j, i); returns shape (1, n, n, n).

    Crop lengths differ by a factor of up to eight per axis: stacked into one tensor, most of it would be padding.
    """
    k, j, i = (matrix[number : number + 1, :, :count] for matrix, count in zip(matrices, patch.shape, strict=True))
    return degrade(patch[None], (k, j, i))


def _resident(grids: Grids, device: torch.device) -> Grids:
    """Return the volumes, moved to the device unless it is the CPU or they exceed half of its free memory."""
    size = sum(volume.stored.numel() * volume.stored.element_size() for grid in grids for volume in grid)
    if device.type == "cpu" or size > free_memory(device) / 2:
        return grids
    return [[replace(volume, stored=volume.stored.to(device)) for volume in grid] for grid in grids]
