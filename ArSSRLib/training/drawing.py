"""Random choice of one item: a volume, an orientation, a scale, and the crop that its patch needs.

Self-supervised training: a thick-slice volume has no ground truth along its slice direction, but its plane has high
resolution. Thick slices are therefore simulated along an in-plane axis, with the ratio of the spacings as the scale;
the network applies what it learns there along the slice direction.

Nothing here knows about batches, steps or devices; all random numbers come from the given generator.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ArSSRLib.errors import InputError
from ArSSRLib.geometry import times
from ArSSRLib.training.config import TrainingConfig
from ArSSRLib.training.preparation import STORED_ONE, TrainingVolume
from ArSSRLib.training.synthesis import random_bias_field, random_contrast, smoothed

# Fine voxels kept around a patch for the tails of the kernels, in addition to a multiple of the scale.
KERNEL_MARGIN = 6
KERNEL_SCALES = 2.5
# Full widths at half maximum, in fine voxels, of the blur that simulates smooth targets such as templates and EPI.
SMOOTH_WIDTHS = (1.0, 3.0)
# Intensity offsets that normalization may leave.
OFFSETS = (-0.2, 0.3)
# Smallest ratio of the spacings at which slices count as thick.
THICK = 1.5

Grids = Sequence[Sequence[TrainingVolume]]


@dataclass(frozen=True)
class Item:
    """One crop of a volume; axes in (k, j, i) order after permutation and flips.

    Attributes:
        patch: Intensities of the field of view of the patch and its margins, float32.
        scale: Fine voxels per coarse voxel along each axis.
        margins: Fine voxels before and after the field of view of the patch.
        starts: First fine voxel of the field of view in the volume.
        lengths: Number of voxels of the volume.
    """

    patch: Tensor
    scale: list[float]
    margins: list[int]
    starts: list[int]
    lengths: list[int]


def draw_item(grids: Grids, config: TrainingConfig, generator: torch.Generator) -> Item:
    """Draw a crop; ``grids`` holds the volumes of each target spacing."""
    grid = grids[choose(config.target_weights, generator)]
    volume = grid[integer(len(grid), generator)]
    order, flips = [0, 1, 2], [False, False, False]
    if config.augmentation:
        order = torch.randperm(3, generator=generator).tolist()
        flips = [uniform(generator) < 0.5 for _ in range(3)]
    stored = volume.stored.permute(order)
    center = volume.foreground[integer(len(volume.foreground), generator)][order].tolist()
    asked = _thick_slices(volume, generator) if config.self_supervised else draw_scale(config, generator)
    scale, starts, lengths = [], [], []
    # A thick axis belongs to the volume, not to the patch: it is permuted with the volume.
    for axis, s in enumerate(asked[a] for a in order):
        count = stored.shape[axis]
        fitting = _fitting_scale(s, count, config)
        field = config.patch_size * fitting
        middle = count - 1 - center[axis] if flips[axis] else center[axis]
        start = math.ceil(middle - uniform(generator) * field)
        starts.append(min(max(start, 0), max(0, math.floor(count - field + 1e-6))))
        lengths.append(math.ceil(field - 1e-6))
        scale.append(fitting)
    margins = kernel_margins(scale, config)
    patch = _replicated_crop(stored, starts, lengths, margins=margins, flips=flips) / STORED_ONE
    if config.augmentation:
        shares = {"gamma": config.gamma_share, "curve": config.curve_share, "tissue": config.tissue_share}
        patch = random_contrast(patch, generator, **shares)
        if uniform(generator) < config.bias_share:
            patch = random_bias_field(patch, generator)
        if config.gain_range[0] < config.gain_range[1]:
            patch = patch * between(config.gain_range, generator)
        if config.smooth_share and uniform(generator) < config.smooth_share:
            patch = smoothed(patch, between(SMOOTH_WIDTHS, generator))
        if config.offset_share and uniform(generator) < config.offset_share:
            patch = patch + between(OFFSETS, generator)
    return Item(patch, scale, margins, starts, list(stored.shape))


def draw_scale(config: TrainingConfig, generator: torch.Generator) -> list[float]:
    """Draw the scale of each axis according to the recipe."""
    kind = uniform(generator)
    if kind < config.isotropic_share:
        scale = [between(config.scale_range, generator)] * 3
    elif kind < config.isotropic_share + config.thick_share:
        scale = [1.0, 1.0, 1.0]
        scale[integer(3, generator)] = between(config.thick_scale_range, generator)
    else:
        scale = [between(config.scale_range, generator) for _ in range(3)]
    if uniform(generator) < config.whole_scale_share:
        scale = [max(1.0, round(2 * s) / 2 if s < 3 else float(round(s))) for s in scale]
    return scale


def kernel_margins(scale: Sequence[float], config: TrainingConfig) -> list[int]:
    """Return the fine voxels around a patch that its acquisition reads, along each axis."""
    # Point sampling has no kernel whose width grows with the scale.
    scales = KERNEL_SCALES if config.degradation == "mixture" else 0.0
    return [math.ceil(KERNEL_MARGIN + scales * s) if s > 1 else 0 for s in scale]


def slice_axis_of(volume: TrainingVolume) -> tuple[int, float]:
    """Return the axis with the largest spacing, and the ratio of that spacing to the mean of the other two."""
    axis = max(range(3), key=lambda a: volume.spacing[a])
    in_plane = [s for a, s in enumerate(volume.spacing) if a != axis]
    return axis, volume.spacing[axis] / math.sqrt(in_plane[0] * in_plane[1])


def check_thick_slices(volume: TrainingVolume, patch_size: int) -> None:
    """Refuse a volume that is unsuitable for self-supervised training.

    Raises:
        InputError: If its slices are not thick, or the plane is too small to simulate thick slices.
    """
    axis, ratio = slice_axis_of(volume)
    if ratio < THICK:
        shown = times(volume.spacing[::-1])
        msg = (
            f"{volume.subject} has voxels of {shown} mm; self_supervised needs slices at least {THICK} times as thick "
            "as the in-plane voxels; omit it."
        )
        raise InputError(msg)
    plane = min(count for a, count in enumerate(volume.stored.shape) if a != axis)
    if plane < patch_size * ratio:
        needed = math.ceil(patch_size * ratio)
        msg = (
            f"{volume.subject} is {plane} voxels wide, but patches of {patch_size} need {needed}; choose a smaller "
            "patch_size."
        )
        raise InputError(msg)


def cut_fixed_patches(
    volume: TrainingVolume, config: TrainingConfig, generator: torch.Generator
) -> list[TrainingVolume]:
    """Cut the fixed cubes of the recipe from a volume, each centered on a voxel that shows anatomy."""
    edge = config.fixed_patch_size
    cubes = []
    for _ in range(config.fixed_patches):
        center = volume.foreground[integer(len(volume.foreground), generator)].tolist()
        starts = [min(max(c - edge // 2, 0), n - edge) for c, n in zip(center, volume.stored.shape, strict=True)]
        k, j, i = (slice(start, start + edge) for start in starts)
        # Any voxel may be the center of a patch: in a cube of the paper's size, there is only one position for it.
        middle = torch.full((1, 3), edge // 2)
        cubes.append(replace(volume, stored=volume.stored[k, j, i], foreground=middle))
    return cubes


def uniform(generator: torch.Generator) -> float:
    """Draw a number from [0, 1)."""
    return float(torch.rand((), generator=generator))


def _thick_slices(volume: TrainingVolume, generator: torch.Generator) -> list[float]:
    axis, ratio = slice_axis_of(volume)
    in_plane = [a for a in range(3) if a != axis]
    scale = [1.0, 1.0, 1.0]
    scale[in_plane[integer(2, generator)]] = ratio
    return scale


def _fitting_scale(scale: float, count: int, config: TrainingConfig) -> float:
    """Return the scale, or the largest scale at which a patch fits into ``count`` voxels."""
    scale = min(scale, count / config.patch_size)
    if config.alignment == "endpoints":  # patches of whole voxels, as published
        return math.floor(config.patch_size * scale + 0.5) / config.patch_size
    return scale


def between(limits: Sequence[float], generator: torch.Generator) -> float:
    """Draw a number between two limits."""
    return limits[0] + (limits[1] - limits[0]) * uniform(generator)


def integer(count: int, generator: torch.Generator) -> int:
    """Draw a whole number from 0 to below ``count``."""
    return int(torch.randint(count, (), generator=generator))


def choose(weights: Iterable[float], generator: torch.Generator) -> int:
    """Draw an index with a probability proportional to its weight."""
    return int(torch.multinomial(torch.tensor(list(weights)), 1, generator=generator))


def _replicated_crop(
    stored: Tensor, starts: list[int], lengths: list[int], *, margins: list[int], flips: list[bool]
) -> Tensor:
    """Cut a crop and its margins from a volume flipped along some axes; the outermost voxels are repeated beyond it."""
    beyond: list[int] = []
    for axis, (start, length, margin, flip) in enumerate(zip(starts, lengths, margins, flips, strict=True)):
        count = stored.shape[axis]
        first, last = start - margin, start + length + margin
        before, after = max(0, -first), max(0, last - count)
        first, last = first + before, last - after
        if flip:  # the same voxels, counted from the other end
            first, last = count - last, count - first
        stored = stored.narrow(axis, first, last - first)
        beyond = [before, after, *beyond]
    flipped = [axis for axis, flip in enumerate(flips) if flip]
    patch = stored.flip(flipped).float() if flipped else stored.float()
    return F.pad(patch[None, None], beyond, mode="replicate")[0, 0] if any(beyond) else patch
