"""Batches of many patches, made on the device by a few operations for many patches at once.

Item by item, `dataset` starts about a hundred small operations a patch, which a GPU finishes sooner than a processor
starts them. Here the patches of a step come in groups. What decides shapes (scales, boxes, which grid) is drawn once a
group, on the host; everything else is drawn for all items of a group at once, on the device. Nothing waits for the
device, and nothing but a few numbers is sent to it.

As in `dataset`, a batch follows from the seed, the step and the process alone, so that a resumed run draws the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from ArSSRLib.acquisition.batch import KSPACE, POINT, batch_matrices, batch_transfer
from ArSSRLib.acquisition.profile import ESTIMATED, NOTHING, STATED
from ArSSRLib.errors import InputError
from ArSSRLib.kernels.transfer import to_device
from ArSSRLib.training.blocks import draw_blocks
from ArSSRLib.training.config import TrainingConfig
from ArSSRLib.training.cutting import Stack, draw_crops
from ArSSRLib.training.dataset import Batch, BatchSampler, seed_of
from ArSSRLib.training.degradation import add_rician_noise, degrade
from ArSSRLib.training.drawing import (
    KERNEL_MARGIN,
    KERNEL_SCALES,
    OFFSETS,
    SMOOTH_WIDTHS,
    Grids,
    between,
    choose,
    draw_scale,
    uniform,
)
from ArSSRLib.training.simulation import ESTIMATE_ERROR, MIXED_CERTAINTY
from ArSSRLib.training.synthesis import BIAS_TERM, KNOTS, smoothed, tissue_curves, tone_curves


class WholeBatchSampler(BatchSampler):
    """Draws batches in ``config.scale_groups`` groups; arguments as of `BatchSampler`.

    Raises:
        InputError: If the recipe asks for what is drawn item by item only.
    """

    def __init__(
        self, grids: Grids, config: TrainingConfig, *, device: torch.device | None = None, rank: int = 0, world: int = 1
    ) -> None:
        super().__init__(grids, config, device=device, rank=rank, world=world)
        refused = {
            "self_supervised": config.self_supervised,
            "alignment": config.alignment == "endpoints",
            "fixed_patches": config.fixed_patches > 0,
        }
        for name, asked in refused.items():
            if asked:
                value = getattr(config, name)
                msg = f"The recipe's {name} = {value} is drawn patch by patch only; set scale_groups to 0."
                raise InputError(msg)
        self._stacks = [Stack.of(grids, number, self.device) for number in range(len(grids))]

    def draw(self, step: int) -> Batch:
        """Return the batch of a step."""
        seed = seed_of(self._config.seed, step, self._first)
        self._host.manual_seed(seed)
        self._points.manual_seed(seed ^ 1)
        # What takes many small operations whatever the number of patches is drawn once a batch.
        curves = self._curves(self._config.batch_items).chunk(self._config.scale_groups)
        groups = [self._group(own) for own in curves]
        blocks = tuple(block for group in groups for block in group.blocks)
        truths = [group.truth for group in groups]
        return Batch(
            torch.cat([group.coarse for group in groups]),
            torch.cat([group.scale for group in groups]),
            torch.cat([group.coordinates for group in groups]),
            torch.cat([group.placed for group in groups]),
            torch.cat([group.acquisition for group in groups]),
            tuple(one for truth in truths for one in truth) if blocks else torch.cat(cast("list[Tensor]", truths)),
            blocks,
        )

    def of_rank(self, rank: int) -> WholeBatchSampler:
        """Return a sampler that draws what another process draws."""
        world = self._total // self._config.batch_items
        return WholeBatchSampler(self._grids, self._config, device=self.device, rank=rank, world=world)

    def _group(self, curves: Tensor) -> Batch:
        """Return the part of a batch that one group is; ``curves`` are from `_curves`."""
        config = self._config
        count = config.batch_items // config.scale_groups
        stack = self._stacks[choose(config.target_weights, self._host)]
        scale = [min(s, stack.smallest / config.patch_size) for s in draw_scale(config, self._host)]
        scales = KERNEL_SCALES if config.degradation == "mixture" else 0.0
        margins = [math.ceil(KERNEL_MARGIN + scales * s) if s > 1 else 0 for s in scale]
        crops = draw_crops(stack, scale, margins, count=count, config=config, generator=self._points)
        fine = self._changed(crops.voxels, curves)
        factors = to_device(torch.tensor([scale]), self.device).expand(count, 3)
        certainty = self._certainty(count)
        profiles = self._profiles(to_device(certainty, self.device))
        coarse = self._acquired(fine, scale, margins, profiles)
        profiles = self._as_told(profiles, to_device(certainty, self.device))
        told = torch.cat([batch_transfer(*profiles), to_device(certainty, self.device)[..., None]], dim=-1)
        told = told * (told[..., -1:] > 0)
        if config.block_voxels:
            agrees = (certainty.amin(1) > NOTHING).tolist()
            blocks = draw_blocks(scale, margins, profiles, agrees, config, self._host)
            inner = fine[:, *blocks[0].fine][:, *blocks[0].inner].flatten(1).unbind(0)
            nowhere = torch.empty((count, 0, 3), device=self.device)
            return Batch(coarse[:, None], factors, nowhere, nowhere, told, inner, blocks)
        index = self._index(scale, count)
        coordinates = 2 * (index + 0.5) / (config.patch_size * factors)[:, None] - 1
        placed = coordinates
        if config.coordinates == "volume":
            placed = 2 * (index + crops.starts[:, None] + 0.5) / crops.lengths[:, None] - 1
        address = torch.zeros(index.shape[:2], dtype=torch.int64, device=self.device)
        for axis, extent in enumerate(fine.shape[1:]):
            address = address * extent + (index[..., axis].long() + margins[axis])
        truth = fine.flatten(1).gather(1, address)
        return Batch(coarse[:, None], factors, coordinates, placed, told, truth)

    def _curves(self, count: int) -> Tensor:
        """Draw a kind of contrast, from [0, 1), and the heights of a tone curve of that kind, shape (N, KNOTS + 2)."""
        kind = self._rand(count, 1)
        free = torch.cat([torch.zeros_like(kind), self._rand(count, KNOTS)], dim=1)
        heights = torch.where(kind < self._config.curve_share, free, tissue_curves(self._rand(count, 8)))
        return torch.cat([kind, heights], dim=1)

    def _changed(self, fine: Tensor, curves: Tensor) -> Tensor:
        """Change the contrast of each crop of a group at random, as `drawing.draw_item` does for one."""
        config, count = self._config, len(fine)
        if not config.augmentation:
            return fine
        draw, kind, tone = self._rand(count, 2), _per_item(curves[:, 0]), config.curve_share + config.tissue_share
        fine = fine * _per_item(0.8 + 0.4 * draw[:, 0])
        powered = fine.sign() * fine.abs().pow(_per_item(0.7 * (1.5 / 0.7) ** draw[:, 1]))
        powered = torch.where(kind < tone + config.gamma_share, powered, fine)
        fine = torch.where(kind < tone, tone_curves(fine, curves[:, 1:]), powered)
        terms = (2 * self._rand(count, 3, 2) - 1) * BIAS_TERM * (self._rand(count, 1, 1) < config.bias_share)
        for axis in range(3):
            shape = [1, 1, 1, 1]
            shape[1 + axis] = -1
            x = torch.linspace(-1, 1, fine.shape[1 + axis], device=self.device).view(shape)
            fine = fine * torch.exp(_per_item(terms[:, axis, 0]) * x + _per_item(terms[:, axis, 1]) * x**2)
        low, high = config.gain_range
        fine = fine * _per_item(low + (high - low) * self._rand(count))
        if uniform(self._host) < config.smooth_share:  # one width for a group: it decides the shape of the kernel
            fine = smoothed(fine, between(SMOOTH_WIDTHS, self._host))
        offset = OFFSETS[0] + (OFFSETS[1] - OFFSETS[0]) * self._rand(count)
        return fine + _per_item(offset * (self._rand(count) < config.offset_share))

    def _acquired(
        self, fine: Tensor, scale: list[float], margins: list[int], profiles: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Simulate the acquisition of a group with the kinds and widths of its profiles; returns coarse patches."""
        config, count = self._config, len(fine)
        kinds, widths = profiles
        matrices = [
            batch_matrices(
                fine.shape[1 + axis],
                config.patch_size,
                scale=torch.full((count,), scale[axis], device=self.device),
                profile=kinds[:, axis] if scale[axis] > 1 else torch.full_like(kinds[:, axis], POINT),
                thickness=widths[:, axis],
                first_face=torch.full((count,), float(margins[axis]), device=self.device),
            )
            for axis in range(3)
        ]
        coarse = degrade(fine, (matrices[0], matrices[1], matrices[2]))
        if config.degradation != "mixture":
            return coarse
        thick = [axis for axis, s in enumerate(scale) if s > 1]
        if len(thick) == 1 and config.jitter_share:
            coarse = coarse * self._slice_gains(count, thick[0])
        sigma = self._rand(count) * config.noise_maximum * (self._rand(count) < config.noise_share)
        return add_rician_noise(coarse, sigma, self._points)

    def _profiles(self, certainty: Tensor) -> tuple[Tensor, Tensor]:
        """Draw the kinds and the widths of slice profiles along k, j, i, each of shape (S, 3), as is ``certainty``."""
        config, count = self._config, len(certainty)
        if config.degradation != "mixture":
            return (torch.full((count, 3), value, device=self.device) for value in (float(POINT), 1.0))  # type: ignore[return-value]
        chosen = self._rand(count, 3)
        kinds = _drawn(config.profile_weights, chosen)
        (low, high), (sharp, blurred) = config.thickness_range, config.kspace_range
        height = self._rand(count, 3)
        nominal = self._rand(count, 3) < config.nominal_share
        widths = torch.where(nominal, torch.ones_like(height), low + (high - low) * height)
        widths = torch.where(kinds == KSPACE, sharp + (blurred - sharp) * height, widths)
        own = self._rand(count, 1) < config.own_profile_share
        kinds, widths = torch.where(own, kinds, kinds[:, :1]), torch.where(own, widths, widths[:, :1])
        if not config.unknown_profile_weights:
            return kinds, widths
        unknown, likely = certainty == NOTHING, _drawn(config.unknown_profile_weights, chosen[:, :1])
        return torch.where(unknown, likely, kinds), torch.where(unknown, torch.ones_like(widths), widths)

    def _certainty(self, count: int) -> Tensor:
        """Draw how certain the profiles are, shape (S, 3), on the host: it decides which blocks are corrected."""
        config = self._config
        height = torch.rand(count, 3, generator=self._host)
        height = torch.where(torch.rand(count, 1, generator=self._host) < MIXED_CERTAINTY, height, height[:, :1])
        estimated = torch.where(height < config.stated_share + config.estimated_share, ESTIMATED, NOTHING)
        certainty = torch.where(height < config.stated_share, STATED, estimated)
        # Those that are told in full come first: their blocks are corrected, and computed at once.
        return certainty[certainty.amin(1).argsort(descending=True)]

    def _as_told(self, profiles: tuple[Tensor, Tensor], certainty: Tensor) -> tuple[Tensor, Tensor]:
        """Return kinds and widths of profiles as the network is told them: an estimated width is a little wrong."""
        kinds, widths = profiles
        errors = torch.randn(widths.shape, generator=self._points, device=self.device)
        return kinds, torch.where(certainty == ESTIMATED, widths * torch.exp(ESTIMATE_ERROR * errors), widths)

    def _slice_gains(self, count: int, axis: int) -> Tensor:
        """Draw the brightness of the slices along an axis, as `simulation.draw_slice_gains` does for one item."""
        config = self._config
        height = self._rand(count, 1) * config.jitter_maximum * (self._rand(count, 1) < config.jitter_share)
        alternating = (1.0 - 2.0 * (torch.arange(config.patch_size, device=self.device) % 2)).expand(count, -1)
        order = torch.randn(count, config.patch_size, generator=self._points, device=self.device)
        shape = [count, 1, 1, 1]
        shape[1 + axis] = -1
        return (1 + height * torch.lerp(order, alternating, self._rand(count, 1))).view(shape)

    def _index(self, scale: list[float], count: int) -> Tensor:
        """Draw fine voxels of the patch inside the margin, as indices from its first voxel, shape (S, K, 3)."""
        config, parts = self._config, []
        for s in scale:
            first = max(0, math.ceil(config.margin * s - 0.5))
            last = math.floor((config.patch_size - config.margin) * s - 0.5)
            parts.append(
                first + torch.floor(self._rand(count, config.points) * (last - first + 1)).clamp_max(last - first)
            )
        return torch.stack(parts, dim=-1)

    def _rand(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self._points, device=self.device)


def _per_item(values: Tensor) -> Tensor:
    """Return one number an item, shape (S,), so that it is broadcast over its voxels."""
    return values.view(-1, 1, 1, 1)


def _drawn(weights: Sequence[float], heights: Tensor) -> Tensor:
    """Return indices, each as often as its weight, for heights drawn evenly from [0, 1)."""
    drawn = torch.zeros_like(heights)
    for stop in torch.tensor(weights).cumsum(0).div(sum(weights)).tolist()[:-1]:
        drawn = drawn + (heights >= stop)
    return drawn
