"""Convolutions of 3 x 3 x 3 voxels with half the multiplications: Winograd's algorithm along k, direct along j and i.

Four planes of the result need six planes of the input. Six weighted sums of these planes are convolved in two
dimensions with six kernels, which takes 54 products per position instead of 108; the four planes are weighted sums of
the six results. One or two remaining planes take four sums. With the transform along one axis only, the rounding errors
of float32 grow by less than one digit, and the two-dimensional convolutions are those for which PyTorch's libraries are
optimized.

Source:
    Lavin and Gray 2016, Fast algorithms for convolutional neural networks, https://doi.org/10.1109/CVPR.2016.435
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# The bias is added to the result that has the same weight in all planes.
BIASED = 1


@dataclass(frozen=True)
class Scheme:
    """One size of the algorithm.

    Attributes:
        made: Planes that one step computes.
        read: Planes that it reads, and sums that it convolves.
        kernel: Weights from the three planes of a kernel to those of the convolutions, shape (read, 3).
        transform: Writes the sums of planes, (rows, width, C) each, with scratch memory for two of them.
        combine: Combines the convolved sums, (rows, width, O) each, into the planes of the result, shape
            (made, rows, width, O), with scratch memory for four of them.
    """

    made: int
    read: int
    kernel: tuple[tuple[float, float, float], ...]
    transform: Callable[[Sequence[Tensor], Tensor, Tensor], None]
    combine: Callable[[Sequence[Tensor], Tensor, Tensor], None]


@dataclass(frozen=True)
class WinogradKernel:
    """A kernel that is transformed along k.

    Attributes:
        scheme: The scheme that it is for.
        planes: As many kernels of shape (O, C, 3, 3) as the scheme has sums, channels last.
        bias: Shape (O,).
    """

    scheme: Scheme
    planes: tuple[Tensor, ...]
    bias: Tensor

    @staticmethod
    def of(weight: Tensor, bias: Tensor, scheme: Scheme) -> WinogradKernel:
        """Transform a kernel of shape (O, C, 3, 3, 3)."""
        transform = torch.tensor(scheme.kernel, dtype=torch.float64, device=weight.device)
        planes = torch.einsum("fk,ockji->focji", transform, weight.double()).to(weight.dtype)
        return WinogradKernel(scheme, tuple(p.contiguous(memory_format=torch.channels_last) for p in planes), bias)


class Workspace:
    """Memory for one step on ``rows`` rows of planes, allocated once and reused for every step of a convolution.

    Args:
        rows: Largest number of rows of a step.
        width: Voxels per row.
        channels: Channels of the input.
        outputs: Channels of the result.
    """

    def __init__(self, rows: int, width: int, *, channels: int, outputs: int) -> None:
        self.sums = torch.zeros(FOUR.read, rows + 2, width + 2, channels)  # with a margin of one voxel
        self.terms = torch.empty(2, rows + 2, width + 2, channels)
        self.halves = torch.empty(4, rows, width, outputs)
        self.result = torch.empty(FOUR.made, rows, width, outputs)


def convolve_sums(kernel: WinogradKernel, work: Workspace, rows: int) -> Tensor:
    """Convolve the sums of a workspace and combine the results.

    Args:
        kernel: From `WinogradKernel.of`.
        work: Its ``sums``, from the transform of the scheme, hold ``rows`` + 2 rows, including the margin.
        rows: Rows of the result.

    Returns:
        Shape (planes of the scheme, rows, width, O), in the memory of the workspace.
    """
    sums = work.sums[:, : rows + 2].permute(0, 3, 1, 2)
    parts = []
    for number, weight in enumerate(kernel.planes):
        convolved = F.conv2d(sums[number : number + 1], weight, kernel.bias if number == BIASED else None)
        parts.append(convolved[0].permute(1, 2, 0))
    result = work.result[: kernel.scheme.made, :rows]
    kernel.scheme.combine(parts, work.halves[:, :rows], result)
    return result


def schemes(depth: int) -> Iterator[tuple[int, Scheme]]:
    """Yield the first plane and the scheme of each step that computes a number of planes."""
    start = 0
    while start < depth:
        scheme = TWO if depth - start <= TWO.made else FOUR
        yield start, scheme
        start += scheme.made


def _sums_of_six(planes: Sequence[Tensor], sums: Tensor, terms: Tensor) -> None:
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


def _four_planes(parts: Sequence[Tensor], halves: Tensor, result: Tensor) -> None:
    even, odd, outer_even, outer_odd = halves
    torch.add(parts[1], parts[2], out=even)
    torch.sub(parts[1], parts[2], out=odd)
    torch.add(parts[3], parts[4], out=outer_even)
    torch.sub(parts[3], parts[4], out=outer_odd)
    torch.add(parts[0], even, out=result[0]).add_(outer_even)
    torch.add(odd, outer_odd, alpha=2, out=result[1])
    torch.add(even, outer_even, alpha=4, out=result[2])
    torch.add(odd, outer_odd, alpha=8, out=result[3]).add_(parts[5])


def _sums_of_four(planes: Sequence[Tensor], sums: Tensor, _: Tensor) -> None:
    torch.sub(planes[0], planes[2], out=sums[0])
    torch.add(planes[1], planes[2], out=sums[1])
    torch.sub(planes[2], planes[1], out=sums[2])
    torch.sub(planes[3], planes[1], out=sums[3])


def _two_planes(parts: Sequence[Tensor], _: Tensor, result: Tensor) -> None:
    torch.add(parts[0], parts[1], out=result[0]).add_(parts[2])
    torch.sub(parts[1], parts[2], out=result[1]).add_(parts[3])


FOUR = Scheme(
    made=4,
    read=6,
    kernel=(
        (1 / 4, 0, 0),
        (-1 / 6, -1 / 6, -1 / 6),
        (-1 / 6, 1 / 6, -1 / 6),
        (1 / 24, 1 / 12, 1 / 6),
        (1 / 24, -1 / 12, 1 / 6),
        (0, 0, 1),
    ),
    transform=_sums_of_six,
    combine=_four_planes,
)
TWO = Scheme(
    made=2,
    read=4,
    kernel=((1, 0, 0), (1 / 2, 1 / 2, 1 / 2), (1 / 2, -1 / 2, 1 / 2), (0, 0, 1)),
    transform=_sums_of_four,
    combine=_two_planes,
)
