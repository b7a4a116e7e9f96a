"""Convolutions of 3 x 3 x 3 voxels with half the multiplications: Winograd's F(4, 3) along k, direct along j and i.

Four planes of the result need six planes of the input. Six weighted sums of these planes are convolved in two
dimensions with six kernels, which takes 54 products per position instead of 108; the four planes are weighted sums of
the six results. With the transform along one axis only, the rounding errors of float32 grow by less than one digit, and
the two-dimensional convolutions are those for which PyTorch's libraries are optimized.

Source:
    Lavin and Gray 2016, Fast algorithms for convolutional neural networks, https://doi.org/10.1109/CVPR.2016.435
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# Planes that one step computes, and planes that it reads.
MADE, READ = 4, 6
# From the three planes of a kernel to the six planes used for the convolutions.
KERNEL_TRANSFORM = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
# The bias is added to the result that has the same weight in all four planes.
BIASED = 1


@dataclass(frozen=True)
class WinogradKernel:
    """A kernel that is transformed along k.

    Attributes:
        planes: Six kernels of shape (O, C, 3, 3), channels last.
        bias: Shape (O,).
    """

    planes: tuple[Tensor, ...]
    bias: Tensor

    @staticmethod
    def of(weight: Tensor, bias: Tensor) -> WinogradKernel:
        """Transform a kernel of shape (O, C, 3, 3, 3)."""
        transform = torch.tensor(KERNEL_TRANSFORM, dtype=torch.float64, device=weight.device)
        planes = torch.einsum("fk,ockji->focji", transform, weight.double()).to(weight.dtype)
        return WinogradKernel(tuple(p.contiguous(memory_format=torch.channels_last) for p in planes), bias)


class Workspace:
    """Memory for one step on ``rows`` rows of planes, allocated once and reused for every step of a convolution.

    Args:
        rows: Largest number of rows of a step.
        width: Voxels per row.
        channels: Channels of the input.
        outputs: Channels of the result.
    """

    def __init__(self, rows: int, width: int, *, channels: int, outputs: int) -> None:
        self.sums = torch.zeros(READ, rows + 2, width + 2, channels)  # with a margin of one voxel
        self.terms = torch.empty(2, rows + 2, width + 2, channels)
        self.halves = torch.empty(4, rows, width, outputs)
        self.result = torch.empty(MADE, rows, width, outputs)


def transform_planes(planes: Sequence[Tensor], sums: Tensor, terms: Tensor) -> None:
    """Write the six weighted sums of six planes, (rows, width, C) each, with scratch memory for two of them."""
    first, second = terms
    torch.add(planes[4], planes[2], alpha=-4, out=first)
    torch.add(planes[3], planes[1], alpha=-4, out=second)
    torch.add(first, second, out=sums[1])
    torch.sub(first, second, out=sums[2])
    torch.sub(planes[4], planes[2], out=first)
    torch.sub(planes[3], planes[1], out=second)
    torch.add(first, second, alpha=2, out=sums[3])
    torch.add(first, second, alpha=-2, out=sums[4])
    torch.add(planes[4], planes[2], alpha=-5, out=first)
    torch.add(first, planes[0], alpha=4, out=sums[0])
    torch.add(planes[5], planes[3], alpha=-5, out=first)
    torch.add(first, planes[1], alpha=4, out=sums[5])


def convolve_sums(kernel: WinogradKernel, work: Workspace, rows: int) -> Tensor:
    """Convolve the sums of a workspace and combine the results into four planes.

    Args:
        kernel: From `WinogradKernel.of`.
        work: Its ``sums`` hold ``rows`` + 2 rows, including the margin.
        rows: Rows of the result.

    Returns:
        Shape (4, rows, width, O), in the memory of the workspace.
    """
    sums = work.sums[:, : rows + 2].permute(0, 3, 1, 2)
    parts = []
    for number, weight in enumerate(kernel.planes):
        convolved = F.conv2d(sums[number : number + 1], weight, kernel.bias if number == BIASED else None)
        parts.append(convolved[0].permute(1, 2, 0))
    result = work.result[:, :rows]
    combine_planes(parts, work.halves[:, :rows], result)
    return result


def combine_planes(parts: Sequence[Tensor], halves: Tensor, result: Tensor) -> None:
    """Combine six convolved sums, (rows, width, O), into four planes; result and scratch are (4, rows, width, O)."""
    even, odd, outer_even, outer_odd = halves
    torch.add(parts[1], parts[2], out=even)
    torch.sub(parts[1], parts[2], out=odd)
    torch.add(parts[3], parts[4], out=outer_even)
    torch.sub(parts[3], parts[4], out=outer_odd)
    torch.add(parts[0], even, out=result[0]).add_(outer_even)
    torch.add(odd, outer_odd, alpha=2, out=result[1])
    torch.add(even, outer_even, alpha=4, out=result[2])
    torch.add(odd, outer_odd, alpha=8, out=result[3]).add_(parts[5])
