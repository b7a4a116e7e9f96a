"""Winograd's convolution along two axes, F(4, 3) along k and F(2, 3) along j: tried, and not faster enough to keep.

It needs 9 products a voxel instead of the 13.5 along k alone, and twice the sums.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ArSSRLib.convolution.winograd import BIASED, KERNEL_TRANSFORM, MADE, READ, combine_planes, transform_planes

_ROW_TRANSFORM = ((1, 0, 0), (1 / 2, 1 / 2, 1 / 2), (1 / 2, -1 / 2, 1 / 2), (0, 0, 1))


@dataclass(frozen=True)
class NestedKernel:
    """Six times four kernels of shape (O, C, 1, 3), channels last, and a bias of shape (O,)."""

    rows: list[list[Tensor]]
    bias: Tensor

    @staticmethod
    def of(weight: Tensor, bias: Tensor) -> NestedKernel:
        """Transform a kernel of shape (O, C, 3, 3, 3)."""
        along_k, along_j = (torch.tensor(t, dtype=torch.float64) for t in (KERNEL_TRANSFORM, _ROW_TRANSFORM))
        parts = torch.einsum("fk,gj,ockji->fgoci", along_k, along_j, weight.double()).to(weight.dtype)
        rows = [[p[:, :, None].contiguous(memory_format=torch.channels_last) for p in plane] for plane in parts]
        return NestedKernel(rows, bias)


def convolve_nested(kernel: NestedKernel, features: Tensor, result: Tensor) -> Tensor:
    """Convolve features (D, H, W, C) with zeros around them; D is a multiple of 4 and H of 2."""
    depth, height, width, channels = features.shape
    sums = torch.zeros(READ, height + 2, width + 2, channels)
    row_sums = torch.zeros(4, READ, height // 2, width + 2, channels)
    terms = torch.empty(2, height, width, channels)
    parts = torch.empty(READ, height, width, result.shape[-1])
    halves = torch.empty(4, height, width, result.shape[-1])
    outside = torch.zeros(()).expand(height, width, channels)
    for k in range(0, depth, MADE):
        planes = [features[n] if 0 <= n < depth else outside for n in range(k - 1, k - 1 + READ)]
        transform_planes(planes, sums[:, 1:-1, 1:-1], terms)
        first, second, third, fourth = (sums[:, n : n + height : 2] for n in range(4))
        torch.sub(first, third, out=row_sums[0])
        torch.add(second, third, out=row_sums[1])
        torch.sub(third, second, out=row_sums[2])
        torch.sub(second, fourth, out=row_sums[3])
        for f in range(READ):
            _convolve_rows(kernel, row_sums, f, parts[f])
        combine_planes(parts, halves, result[k : k + MADE])
    return result


def _convolve_rows(kernel: NestedKernel, row_sums: Tensor, number: int, part: Tensor) -> None:
    found = [
        F.conv2d(row_sums[g, number : number + 1].permute(0, 3, 1, 2), weight)[0].permute(1, 2, 0)
        for g, weight in enumerate(kernel.rows[number])
    ]
    if number == BIASED:
        found[1] += kernel.bias
    part[0::2] = (found[0] + found[1]).add_(found[2])
    part[1::2] = (found[1] - found[2]).sub_(found[3])
