"""Dense blocks of fine voxels in a patch, and the matrices that compare them with the coarse patch.

A network that is trained to agree with the measurement needs neighboring fine voxels instead of scattered points. A box
of coarse voxels is chosen in the patch; all fine voxels in the box are computed and corrected, and those away from its
faces contribute to the loss.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ArSSRLib.acquisition.batch import POINT, batch_matrices
from ArSSRLib.acquisition.consistency import corrected
from ArSSRLib.interpolation import apply_matrices, spline_on_grid
from ArSSRLib.kernels.transfer import to_device
from ArSSRLib.model.arssr3 import ArSSR3
from ArSSRLib.model.interface import Conditioning, mixed_precision
from ArSSRLib.training.config import TrainingConfig
from ArSSRLib.training.drawing import integer

# Smallest number of coarse voxels along each axis of a box.
SHORTEST = 8
# Tolerance for rounding when deciding whether a voxel center lies inside a face, in fine voxels.
ROUNDING = 1e-6

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Block:
    """Fine voxels of one patch, all along k, j, i.

    Attributes:
        box: Coarse voxels of the patch that the block covers.
        positions: Continuous indices of the fine voxels among the coarse voxels of the patch, one vector per axis.
        down: Acquisition matrices from the fine voxels to the coarse voxels of the box, one per axis, for the profile
            that the network receives. Rows at the faces use the part of the profile inside the box, normalized to 1.
        up: Spline interpolation from the coarse voxels of the box to the fine ones, one matrix per axis.
        agrees: Whether the network receives every profile, so that its result is made to agree with the coarse box.
        inner: Fine voxels that contribute to the loss.
        fine: Position of the fine voxels in the crop of the item, including margins.
    """

    box: Box
    positions: tuple[Tensor, Tensor, Tensor]
    down: tuple[Tensor, ...]
    up: tuple[Tensor, ...]
    agrees: bool
    inner: Box
    fine: Box

    @property
    def inner_positions(self) -> tuple[Tensor, ...]:
        """Positions of the fine voxels that contribute to the loss."""
        return tuple(p[rows] for p, rows in zip(self.positions, self.inner, strict=True))

    def to(self, device: torch.device) -> Block:
        """Return the block with its tensors on a device."""
        k, j, i = (to_device(tensor, device) for tensor in self.positions)
        down, up = (tuple(to_device(tensor, device) for tensor in tensors) for tensors in (self.down, self.up))
        return replace(self, positions=(k, j, i), down=down, up=up)


def draw_blocks(  # noqa: PLR0917 - all properties of a group
    scale: Sequence[float],
    margins: Sequence[int],
    profiles: tuple[Tensor, Tensor],
    agrees: Sequence[bool],
    config: TrainingConfig,
    generator: torch.Generator,
) -> tuple[Block, ...]:
    """Draw one position for the blocks of several patches of the same scale, and build their matrices together.

    Args:
        scale: Fine voxels per coarse voxel along k, j, i.
        margins: Fine voxels before the patches in their crops, along k, j, i.
        profiles: Kinds and widths along k, j, i that the network receives, each of shape (S, 3), on the device.
        agrees: For each patch, whether the network receives every profile.
        config: Limits the size of a block.
        generator: Random numbers for the position, on the CPU.

    Returns:
        One block per patch, with at most ``config.block_voxels`` fine voxels each unless the smallest box has more.
    """
    lengths = _box_lengths(scale, config)
    axes = [
        _axis(scale[axis], margins[axis], length, (profiles[0][:, axis], profiles[1][:, axis]), config, generator)
        for axis, length in enumerate(lengths)
    ]
    box, positions, down, up, inner, fine = zip(*axes, strict=True)
    pairs = zip(zip(*down, strict=True), agrees, strict=True)
    return tuple(Block(box, positions, own, up, told, inner, fine) for own, told in pairs)


def _box_lengths(scale: Sequence[float], config: TrainingConfig) -> list[int]:
    """Return the coarse voxels of the box along each axis; the axis with most fine voxels is shortened first."""
    lengths = [config.patch_size] * 3
    while math.prod(n * s for n, s in zip(lengths, scale, strict=True)) > config.block_voxels:
        axis = max(range(3), key=lambda a: lengths[a] * scale[a] if lengths[a] > SHORTEST else 0.0)
        if lengths[axis] <= SHORTEST:
            break
        lengths[axis] -= 1
    return lengths


def _axis(  # noqa: PLR0917 - all properties of one axis
    scale: float,
    margin: int,
    length: int,
    profile: tuple[Tensor, Tensor],
    config: TrainingConfig,
    generator: torch.Generator,
) -> tuple[slice, Tensor, Tensor, Tensor, slice, slice]:
    """Return the fields of a `Block` for one axis, with ``down`` for all patches of the group, (S, coarse, fine)."""
    kinds, widths = profile
    device, begin = widths.device, integer(config.patch_size - length + 1, generator)
    # Fine voxel f has its center at (f + 0.5) / scale among the coarse ones.
    first = math.ceil(begin * scale - 0.5 - ROUNDING)
    stop = math.ceil((begin + length) * scale - 0.5 - ROUNDING)
    count = stop - first
    down = batch_matrices(
        count,
        length,
        scale=torch.full_like(widths, scale),
        profile=kinds if scale > 1 else torch.full_like(kinds, POINT),
        thickness=widths,
        first_face=torch.full_like(widths, begin * scale - first),
    )
    one = torch.ones(1, device=device)
    up = batch_matrices(
        length, count, scale=one / scale, profile=POINT * one, thickness=one, first_face=one * (first / scale - begin)
    )[0]
    positions = (torch.arange(first, stop, device=device) + 0.5) / scale - 0.5
    low = math.ceil((begin + config.margin) * scale - 0.5 - ROUNDING) - first
    high = math.floor((begin + length - config.margin) * scale - 0.5 + ROUNDING) - first
    start = margin + first
    return (
        slice(begin, begin + length),
        positions,
        down / down.sum(2, keepdim=True),
        up / up.sum(1, keepdim=True),
        slice(low, high + 1),
        slice(start, start + count),
    )


class AgreeingBlocks(nn.Module):
    """A network that computes blocks and makes them agree with the coarse patches, as one training step needs it.

    It learns the strength of the correction.
    """

    def __init__(self, model: ArSSR3) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, coarse: Tensor, told: Conditioning, blocks: Sequence[Block], *, bf16: bool = False
    ) -> tuple[Tensor, ...]:
        """Return the inner voxels of each block, N tensors of shape (K,), for patches of shape (N, 1, n, n, n)."""
        with mixed_precision(coarse.device, bf16=bf16):
            feature_map = self.model.encode(coarse, told)
        strength = self.model.correction_strength(told)
        results: list[Tensor] = []
        for _, run in itertools.groupby(blocks, key=lambda block: (id(block.positions), block.agrees)):
            alike = list(run)
            rows = slice(len(results), len(results) + len(alike))
            own = told.map(operator.itemgetter(rows))
            results += self._answers(alike, feature_map[rows], coarse[rows, 0], strength[rows], own)
        return tuple(results)

    def _answers(
        self, blocks: Sequence[Block], feature_map: Tensor, coarse: Tensor, strength: Tensor, told: Conditioning
    ) -> list[Tensor]:
        """Return the inner voxels of blocks at one position that are all corrected, or all not."""
        block = blocks[0]
        with torch.no_grad():
            base = spline_on_grid(feature_map[:, -1], block.positions)

        def answer(features: Tensor, base: Tensor, patch: Tensor, step: Tensor, told: tuple[Tensor, ...]) -> Tensor:
            """Return the inner voxels of one block."""
            one = Conditioning(*(tensor[None] for tensor in told[:-3]))
            fine = base + self.model.residual_of_block(features, block.positions, one)
            if block.agrees:
                down = told[-3:]
                difference = patch[block.box] - apply_matrices(fine, down)
                round_trip = [d @ u for d, u in zip(down, block.up, strict=True)]
                fine = fine + apply_matrices(corrected(difference, round_trip, step), block.up)
            return fine[block.inner].flatten()

        down = [torch.stack([one.down[axis] for one in blocks]) for axis in range(3)]
        told_of_each = [told.scale] if told.acquisition is None else [told.scale, told.acquisition]
        own = (feature_map[:, :-1], base, coarse, strength, (*told_of_each, *down))
        if len(blocks) > 1:
            return list(torch.func.vmap(answer)(*own))
        features, base, patch, step, (*tensors,) = own
        return [answer(features[0], base[0], patch[0], step[0], tuple(tensor[0] for tensor in tensors))]
