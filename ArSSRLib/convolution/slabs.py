"""Convolutions that yield their result slab by slab, so that it is processed while it is in the cache.

Features are stored as (D, H, W, C), with the channels of a voxel contiguous. On a CPU in float32, a slab is a few rows
of four planes, convolved by `winograd`; otherwise there is one slab, convolved by PyTorch, which is the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ArSSRLib.convolution.winograd import MADE, READ, WinogradKernel, Workspace, convolve_sums, transform_planes

Padding = Literal["zeros", "replicate"]
Slab = tuple[slice, slice, Tensor]
# Called with the number of weights that were applied since the last call; an exception stops the work.
Advance = Callable[[float], object]
# Values of one of the six sums of a step on up to two threads: the sums, their results and the input planes stay in a
# cache of 23 MB. More threads share twice as much.
STEP_VALUES = 2**18
# With fewer channels, the sums cost more than the products that they save.
LEAST_CHANNELS = 16


def unobserved(_: float) -> None:
    """Ignore progress: an `Advance` for callers that only need the result."""
    return


@dataclass(frozen=True)
class Convolution:
    """A convolution with 3 x 3 x 3 voxels that preserves the shape.

    Attributes:
        weight: Shape (O, C, 3, 3, 3).
        bias: Shape (O,).
        padding: "zeros", or "replicate", which repeats the outermost voxel.
    """

    weight: Tensor
    bias: Tensor
    padding: Padding

    @cached_property
    def transformed(self) -> WinogradKernel:
        """The kernel in the form that `winograd` needs."""
        return WinogradKernel.of(self.weight, self.bias)

    def slabs(self, features: Tensor, advance: Advance = unobserved) -> Iterator[Slab]:
        """Convolve features and yield the result slab by slab.

        Args:
            features: Shape (D, H, W, C); must not change until the last slab was yielded.
            advance: Called after every slab with its share of the weights of the kernel.

        Yields:
            Planes, rows, and the result there, shape (planes, rows, W, O). The caller may modify its memory, which is
            valid only until the next slab is requested.
        """
        steps = _winograd_slabs if _pays(features, self.weight) else _whole
        total = features.shape[0] * features.shape[1]
        for planes, rows, result in steps(self, features):
            yield planes, rows, result
            advance(self.weight.numel() * result.shape[0] * result.shape[1] / total)


def _pays(features: Tensor, weight: Tensor) -> bool:
    """Return whether Winograd's algorithm is faster: not in bf16, which is too inexact, nor for few channels."""
    plain = features.device.type != "cpu" or features.dtype != torch.float32 or torch.is_autocast_enabled("cpu")
    return not plain and min(weight.shape[:2]) >= LEAST_CHANNELS


def _whole(convolution: Convolution, features: Tensor) -> Iterator[Slab]:
    volume = features.permute(3, 0, 1, 2)[None]
    if convolution.padding == "replicate":
        result = F.conv3d(F.pad(volume, (1,) * 6, mode="replicate"), convolution.weight, convolution.bias)
    else:
        result = F.conv3d(volume, convolution.weight, convolution.bias, padding=1)
    yield slice(0, len(features)), slice(0, features.shape[1]), result[0].permute(1, 2, 3, 0)


def _winograd_slabs(convolution: Convolution, features: Tensor) -> Iterator[Slab]:
    depth, height, width, channels = features.shape
    outputs = len(convolution.weight)
    rows = min(height, max(4, _step_values() // (width * max(channels, outputs))))
    work = Workspace(rows, width, channels=channels, outputs=outputs)
    for k in range(0, depth, MADE):
        made = min(MADE, depth - k)
        planes = [_plane(features, number, convolution.padding) for number in range(k - 1, k - 1 + READ)]
        for j in range(0, height, rows):
            count = min(rows, height - j)
            inside = slice(max(0, j - 1), min(height, j + count + 1))
            target = slice(inside.start - (j - 1), inside.stop - (j - 1))
            length = inside.stop - inside.start
            transform_planes([p[inside] for p in planes], work.sums[:, target, 1:-1], work.terms[:, :length])
            _fill_margin(work.sums, target, count, convolution.padding)
            # The last step also computes four planes: a plain convolution of one or two takes as long, or twice as
            # long.
            result = convolve_sums(convolution.transformed, work, count)[:made]
            yield slice(k, k + made), slice(j, j + count), result


def _step_values() -> int:
    return STEP_VALUES * min(max(torch.get_num_threads(), 2), 4) // 2


def _plane(features: Tensor, number: int, padding: Padding) -> Tensor:
    """Return a plane, shape (H, W, C), or a padding plane before the first or after the last."""
    if 0 <= number < len(features):
        return features[number]
    if padding == "replicate":
        return features[min(max(number, 0), len(features) - 1)]
    return features.new_zeros(()).expand(features.shape[1:])


def _fill_margin(sums: Tensor, rows: slice, count: int, padding: Padding) -> None:
    """Fill the padding of sums, shape (6, rows, width + 2, C), along rows and columns."""
    replicate = padding == "replicate"
    if replicate:
        sums[:, rows, 0] = sums[:, rows, 1]
        sums[:, rows, -1] = sums[:, rows, -2]
    if rows.start == 1:
        sums[:, 0] = sums[:, 1] if replicate else 0
    if rows.stop == count + 1:
        sums[:, count + 1] = sums[:, count] if replicate else 0
