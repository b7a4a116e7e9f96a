"""Crops of many volumes at once: the volumes of a grid are concatenated into one vector on the device.

`drawing` cuts a single crop; here, a few operations cut a group of crops of one shape.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ArSSRLib.training.config import TrainingConfig
from ArSSRLib.training.drawing import Grids
from ArSSRLib.training.preparation import STORED_ONE


@dataclass(frozen=True)
class Stack:
    """The volumes of one target grid, concatenated into one vector, so that one index addresses any voxel.

    Attributes:
        voxels: Intensities times STORED_ONE, int16.
        offsets: Index of the first voxel of each volume, shape (V,).
        shapes: Voxels of each volume along k, j, i, shape (V, 3).
        foreground: Voxels that show anatomy, shape (V, M, 3); repeated for volumes with fewer.
        smallest: Smallest number of voxels of any volume along any axis.
    """

    voxels: Tensor
    offsets: Tensor
    shapes: Tensor
    foreground: Tensor
    smallest: int

    @staticmethod
    def of(grids: Grids, number: int, device: torch.device) -> Stack:
        """Return the volumes of one grid on a device."""
        volumes = grids[number]
        sizes = torch.tensor([0, *(volume.stored.numel() for volume in volumes)])
        longest = max(len(volume.foreground) for volume in volumes)
        repeated = [v.foreground[torch.arange(longest) % len(v.foreground)] for v in volumes]
        return Stack(
            torch.cat([volume.stored.reshape(-1) for volume in volumes]).to(device),
            sizes.cumsum(0)[:-1].to(device),
            torch.tensor([list(volume.stored.shape) for volume in volumes]).to(device),
            torch.stack(repeated).to(device),
            min(min(volume.stored.shape) for volume in volumes),
        )


def draw_crops(
    stack: Stack,
    scale: Sequence[float],
    margins: Sequence[int],
    *,
    count: int,
    config: TrainingConfig,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """Cut crops around anatomy from randomly oriented volumes, as `drawing.draw_item` does for one crop.

    Volumes are padded with their outermost voxels. The host does not wait for the device. ``scale`` are the fine voxels
    per coarse voxel along k, j, i of all crops, ``margins`` the fine voxels around each field of view.

    Returns:
        Crops, shape (S, k, j, i); the first fine voxel of each field of view, and the lengths of each volume, both of
        shape (S, 3). All axes are in (k, j, i) order after permutation and flips.
    """
    device = stack.voxels.device

    def rand(*shape: int) -> Tensor:
        """Draw numbers from [0, 1)."""
        return torch.rand(shape, generator=generator, device=device)

    number = torch.randint(len(stack.offsets), (count,), generator=generator, device=device)
    chosen = (rand(count) * stack.foreground.shape[1]).long()
    center, shape = stack.foreground[number, chosen], stack.shapes[number]
    strides = torch.stack([shape[:, 1] * shape[:, 2], shape[:, 2], torch.ones_like(number)], dim=1)
    if config.augmentation:
        order, flips = rand(count, 3).argsort(1), rand(count, 3) < 0.5
        center, shape, strides = (tensor.gather(1, order) for tensor in (center, shape, strides))
        center = torch.where(flips, shape - 1 - center, center)
    else:
        flips = torch.zeros(count, 3, dtype=torch.bool, device=device)
    address, starts = stack.offsets[number].view(-1, 1, 1, 1), []
    for axis, (factor, margin) in enumerate(zip(scale, margins, strict=True)):
        field = config.patch_size * factor
        start = torch.ceil(center[:, axis] - rand(count) * field).clamp_min(0)
        start = torch.minimum(start, torch.floor(shape[:, axis] - field + 1e-6).clamp_min(0)).long()
        starts.append(start)
        offset = torch.arange(-margin, math.ceil(field - 1e-6) + margin, device=device)
        last = shape[:, axis, None] - 1
        index = torch.minimum((start[:, None] + offset).clamp_min(0), last)
        index = torch.where(flips[:, axis, None], last - index, index) * strides[:, axis, None]
        view = [count, 1, 1, 1]
        view[1 + axis] = -1
        address = address + index.view(view)
    voxels = stack.voxels[address.flatten()].view(address.shape).float() / STORED_ONE
    return voxels, torch.stack(starts, dim=1), shape
