"""Batches built on the device, with few operations for many patches at once.

`dataset` starts about a hundred small operations per patch, which a GPU finishes faster than the CPU starts them. Here,
the patches of a step are built in groups. Values that determine shapes (scales, boxes, grid) are drawn once per group,
on the host; all others are drawn for all items of a group at once, on the device. The host never waits for the device,
and only sends it a few numbers.

As in `dataset`, a batch depends only on the seed, the step and the process, so that a resumed run draws the same
batches.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor

from ArSSRLib.acquisition.batch import add_rician_noise, degrade
from ArSSRLib.acquisition.profile import NOTHING
from ArSSRLib.errors import InputError
from ArSSRLib.kernels.transfer import to_device
from ArSSRLib.training.blocks import draw_blocks
from ArSSRLib.training.config import TrainingConfig
from ArSSRLib.training.cutting import Stack, draw_crops
from ArSSRLib.training.dataset import Batch, BatchSampler, seed_of
from ArSSRLib.training.drawing import (
    OFFSETS,
    SMOOTH_WIDTHS,
    Grids,
    between,
    choose,
    draw_scale,
    kernel_margins,
    uniform,
)
from ArSSRLib.training.simulation import as_told, draw_certainty, draw_noise, draw_profiles, draw_slice_gains, inputs_of
from ArSSRLib.training.synthesis import BIAS_TERM, KNOTS, bias_fields, smoothed, tissue_curves, tone_curves


class WholeBatchSampler(BatchSampler):
    """Draws batches in ``config.scale_groups`` groups; arguments as for `BatchSampler`.

    Raises:
        InputError: If the recipe uses an option that is only supported item by item.
    """

    def __init__(
        self, grids: Grids, config: TrainingConfig, *, device: torch.device | None = None, rank: int = 0, world: int = 1
    ) -> None:
        super().__init__(grids, config, device=device, rank=rank, world=world)
        supported = {"self_supervised": False, "alignment": "centered", "fixed_patches": 0}
        for name, expected in supported.items():
            if (value := getattr(config, name)) != expected:
                msg = f"The recipe's {name} = {value} is only possible patch by patch; set scale_groups to 0."
                raise InputError(msg)
        self._stacks = [Stack.of(grids, number, self.device) for number in range(len(grids))]

    def draw(self, step: int) -> Batch:
        """Return the batch of a step."""
        seed = seed_of(self._config.seed, step, self._first)
        self._host.manual_seed(seed)
        self._points.manual_seed(seed ^ 1)
        # Drawn once per batch, because it takes many small operations for any number of patches.
        curves = self._curves(self._config.batch_items).chunk(self._config.scale_groups)
        groups = [self._group(own) for own in curves]
        blocks = tuple(block for group in groups for block in group.blocks)
        truths = [group.truth for group in groups]
        fields = ("coarse", "scale", "coordinates", "placed", "acquisition")
        joined = {name: torch.cat([getattr(group, name) for group in groups]) for name in fields}
        truth = tuple(one for truth in truths for one in truth) if blocks else torch.cat(cast("list[Tensor]", truths))
        return Batch(**joined, truth=truth, blocks=blocks)

    def _group(self, curves: Tensor) -> Batch:
        """Return one group of a batch; ``curves`` are from `_curves`."""
        config = self._config
        count = config.batch_items // config.scale_groups
        stack = self._stacks[choose(config.target_weights, self._host)]
        scale = [min(s, stack.smallest / config.patch_size) for s in draw_scale(config, self._host)]
        margins = kernel_margins(scale, config)
        crops, starts, lengths = draw_crops(stack, scale, margins, count=count, config=config, generator=self._points)
        fine = self._changed(crops, curves)
        factors = to_device(torch.tensor([scale]), self.device).expand(count, 3)
        agrees = draw_certainty(config, count, self._host)  # on the host: it determines which blocks are corrected
        certainty = to_device(agrees, self.device)
        kinds, widths = draw_profiles(config, certainty, self._points)
        coarse = self._acquired(fine, scale, margins, (kinds, widths))
        widths = as_told(widths, certainty, self._points)
        told = inputs_of(kinds, widths, certainty)
        if config.block_voxels:
            told_in_full = (agrees.amin(1) > NOTHING).tolist()
            blocks = draw_blocks(scale, margins, (kinds, widths), told_in_full, config, self._host)
            inner = fine[:, *blocks[0].fine][:, *blocks[0].inner].flatten(1).unbind(0)
            nowhere = torch.empty((count, 0, 3), device=self.device)
            return Batch(coarse[:, None], factors, nowhere, nowhere, told, inner, blocks)
        index = self._index(scale, count)
        coordinates = 2 * (index + 0.5) / (config.patch_size * factors)[:, None] - 1
        placed = coordinates
        if config.coordinates == "volume":
            placed = 2 * (index + starts[:, None] + 0.5) / lengths[:, None] - 1
        address = torch.zeros(index.shape[:2], dtype=torch.int64, device=self.device)
        for axis, extent in enumerate(fine.shape[1:]):
            address = address * extent + (index[..., axis].long() + margins[axis])
        truth = fine.flatten(1).gather(1, address)
        return Batch(coarse[:, None], factors, coordinates, placed, told, truth)

    def _curves(self, count: int) -> Tensor:
        """Draw a kind of contrast, from [0, 1), and the values of a tone curve of that kind, shape (N, KNOTS + 2)."""
        kind = self._rand(count, 1)
        free = torch.cat([torch.zeros_like(kind), self._rand(count, KNOTS)], dim=1)
        heights = torch.where(kind < self._config.curve_share, free, tissue_curves(self._rand(count, 8)))
        return torch.cat([kind, heights], dim=1)

    def _changed(self, fine: Tensor, curves: Tensor) -> Tensor:
        """Change the contrast of each crop of a group randomly, as `drawing.draw_item` does for one crop."""
        config, count = self._config, len(fine)
        if not config.augmentation:
            return fine
        draw, kind, tone = self._rand(count, 2), _per_item(curves[:, 0]), config.curve_share + config.tissue_share
        fine = fine * _per_item(0.8 + 0.4 * draw[:, 0])
        powered = fine.sign() * fine.abs().pow(_per_item(0.7 * (1.5 / 0.7) ** draw[:, 1]))
        powered = torch.where(kind < tone + config.gamma_share, powered, fine)
        fine = torch.where(kind < tone, tone_curves(fine, curves[:, 1:]), powered)
        terms = (2 * self._rand(count, 3, 2) - 1) * BIAS_TERM * (self._rand(count, 1, 1) < config.bias_share)
        low, high = config.gain_range
        fine = bias_fields(fine, terms) * _per_item(low + (high - low) * self._rand(count))
        if uniform(self._host) < config.smooth_share:  # one per group: it determines the shape of the kernel
            fine = smoothed(fine, between(SMOOTH_WIDTHS, self._host))
        offset = OFFSETS[0] + (OFFSETS[1] - OFFSETS[0]) * self._rand(count)
        return fine + _per_item(offset * (self._rand(count) < config.offset_share))

    def _acquired(
        self, fine: Tensor, scale: list[float], margins: list[int], profiles: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Simulate the acquisition of a group with the kinds and widths of its profiles; return coarse patches."""
        config, count = self._config, len(fine)
        factors, first_face = (self._sent([along]).expand(count, 3) for along in (scale, margins))
        coarse = degrade(fine, self._acquisitions(fine.shape[1:], factors, profiles, first_face))
        if config.degradation != "mixture":
            return coarse
        gains = draw_slice_gains(config, scale, count, self._points)
        coarse = coarse if gains is None else coarse * gains
        return add_rician_noise(coarse, draw_noise(config, count, self._points), self._points)

    def _index(self, scale: list[float], count: int) -> Tensor:
        """Draw fine voxels of the patch inside the margin, as indices from its first voxel, shape (S, K, 3)."""
        config, parts = self._config, []
        for s in scale:
            first = max(0, math.ceil(config.margin * s - 0.5))
            last = math.floor((config.patch_size - config.margin) * s - 0.5)
            steps = torch.floor(self._rand(count, config.points) * (last - first + 1)).clamp_max(last - first)
            parts.append(first + steps)
        return torch.stack(parts, dim=-1)

    def _rand(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self._points, device=self.device)


def _per_item(values: Tensor) -> Tensor:
    """Reshape one number per item, shape (S,), for broadcasting over its voxels."""
    return values.view(-1, 1, 1, 1)
