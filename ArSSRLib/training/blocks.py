"""The block of a patch that is computed voxel by voxel, with the matrices that compare it with the coarse patch.

A network that is trained to agree with the measurement needs neighboring fine voxels, not scattered points: a box of
coarse voxels is chosen in the patch, all fine voxels in it are computed and corrected, and those away from its faces
count in the loss.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ArSSRLib.acquisition import corrected
from ArSSRLib.acquisition.batch import POINT, batch_matrices
from ArSSRLib.interpolation import apply_matrices
from ArSSRLib.kernels.transfer import to_device
from ArSSRLib.model.arssr3 import ArSSR3
from ArSSRLib.model.interface import Conditioning, mixed_precision
from ArSSRLib.training.config import TrainingConfig
from ArSSRLib.training.drawing import Item, integer
from ArSSRLib.training.simulation import SimulatedProfile

# Least coarse voxels along each axis of a box.
SHORTEST = 8
# Fine voxels a center may lie beyond a face by rounding.
ROUNDING = 1e-6

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Block:
    """Fine voxels of one patch, all along k, j, i.

    Attributes:
        box: The coarse voxels of the patch that the block fills.
        positions: Continuous indices of the fine voxels among the coarse voxels of the patch, one vector an axis.
        down: The acquisition, from the fine voxels to the coarse ones of the box, one matrix an axis; as the network
            is told it. Rows at the faces are of the part of the profile that is inside, with sum 1.
        up: Spline interpolation from the coarse voxels of the box to the fine ones, one matrix an axis.
        agrees: Whether the network is told every profile, so that its result is made to agree with the coarse box.
        inner: The fine voxels that count in the loss.
        fine: Where the fine voxels lie in the crop of the item, margins included.
    """

    box: Box
    positions: tuple[Tensor, Tensor, Tensor]
    down: tuple[Tensor, Tensor, Tensor]
    up: tuple[Tensor, Tensor, Tensor]
    agrees: bool
    inner: Box
    fine: Box

    @property
    def inner_positions(self) -> tuple[Tensor, ...]:
        """The positions of the fine voxels that count in the loss."""
        return tuple(p[rows] for p, rows in zip(self.positions, self.inner, strict=True))

    def to(self, device: torch.device) -> Block:
        """Return the block with its tensors on a device."""

        def moved(k: Tensor, j: Tensor, i: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            """Return the tensors of the three axes on the device."""
            return to_device(k, device), to_device(j, device), to_device(i, device)

        return replace(self, positions=moved(*self.positions), down=moved(*self.down), up=moved(*self.up))


def draw_block(item: Item, profile: SimulatedProfile, config: TrainingConfig, generator: torch.Generator) -> Block:
    """Draw the block of a patch; it has at most ``config.block_voxels`` fine voxels, or the shortest box."""
    lengths = _box_lengths(item.scale, config)
    axes = [_axis(item, profile, axis, length, config, generator) for axis, length in enumerate(lengths)]
    box, positions, down, up, inner, fine = zip(*axes, strict=True)
    return Block(box, positions, down, up, profile.is_told, inner, fine)


def _box_lengths(scale: Sequence[float], config: TrainingConfig) -> list[int]:
    """Return the coarse voxels of the box along each axis: the longest in fine voxels are shortened first."""
    lengths = [config.patch_size] * 3
    while math.prod(n * s for n, s in zip(lengths, scale, strict=True)) > config.block_voxels:
        axis = max(range(3), key=lambda a: lengths[a] * scale[a] if lengths[a] > SHORTEST else 0.0)
        if lengths[axis] <= SHORTEST:
            break
        lengths[axis] -= 1
    return lengths


def _axis(  # noqa: PLR0917 - everything of one axis
    item: Item,
    profile: SimulatedProfile,
    axis: int,
    length: int,
    config: TrainingConfig,
    generator: torch.Generator,
) -> tuple[slice, Tensor, Tensor, Tensor, slice, slice]:
    scale, begin = item.scale[axis], integer(config.patch_size - length + 1, generator)
    # Fine voxel f has its center at (f + 0.5) / scale among the coarse ones.
    first = math.ceil(begin * scale - 0.5 - ROUNDING)
    stop = math.ceil((begin + length) * scale - 0.5 - ROUNDING)
    count = stop - first
    factor = torch.tensor([scale])
    kind = profile.kinds[axis] if scale > 1 else POINT
    down = batch_matrices(
        count,
        length,
        scale=factor,
        profile=torch.tensor([kind]),
        thickness=torch.tensor([profile.told_widths[axis]]),
        first_face=torch.tensor([begin * scale - first]),
    )[0]
    up = batch_matrices(
        length,
        count,
        scale=1 / factor,
        profile=torch.tensor([POINT]),
        thickness=torch.ones(1),
        first_face=torch.tensor([first / scale - begin]),
    )[0]
    positions = (torch.arange(first, stop) + 0.5) / scale - 0.5
    low = math.ceil((begin + config.margin) * scale - 0.5 - ROUNDING) - first
    high = math.floor((begin + length - config.margin) * scale - 0.5 + ROUNDING) - first
    start = item.margins[axis] + first
    return (
        slice(begin, begin + length),
        positions,
        down / down.sum(1, keepdim=True),
        up / up.sum(1, keepdim=True),
        slice(low, high + 1),
        slice(start, start + count),
    )


class AgreeingBlocks(nn.Module):
    """A network that computes blocks and makes them agree with the coarse patches, as one training step does it.

    Args:
        model: Of a kind that says how strongly its results are corrected.
    """

    def __init__(self, model: ArSSR3) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, coarse: Tensor, told: Conditioning, blocks: Sequence[Block], *, bf16: bool = False
    ) -> tuple[Tensor, ...]:
        """Return the inner voxels of each block, N tensors of shape (K,).

        Args:
            coarse: Patches, shape (N, 1, n, n, n).
            told: What the network is told about each.
            blocks: What is computed in each.
            bf16: Whether convolutions multiply in bf16.
        """
        with mixed_precision(coarse.device, bf16=bf16):
            feature_map = self.model.encode(coarse, told)
        strength = self.model.correction_strength(told)
        results = []
        for n, block in enumerate(blocks):
            fine = self.model.query_block(feature_map[n], block.positions, _one(told, n))
            if block.agrees:
                difference = coarse[n, 0][block.box] - apply_matrices(fine, block.down)
                round_trip = [d @ u for d, u in zip(block.down, block.up, strict=True)]
                fine = fine + apply_matrices(corrected(difference, round_trip, strength[n]), block.up)
            results.append(fine[block.inner].flatten())
        return tuple(results)


def _one(told: Conditioning, number: int) -> Conditioning:
    return told.map(lambda tensor: tensor[number : number + 1])
