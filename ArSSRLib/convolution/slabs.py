"""Convolutions that yield their result slab by slab, so that it is processed while it is in the cache.

Features are stored as (D, H, W, C), with the channels of a voxel contiguous. On a CPU in float32, a slab is a few rows
of four planes, convolved by `winograd`; otherwise there is one slab, convolved by PyTorch, which is the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ArSSRLib.convolution.winograd import WinogradKernel, Workspace, convolve_sums, schemes

Padding = Literal["zeros", "replicate"]
Slab = tuple[slice, slice, Tensor]
# Voxels along k, j, i.
Box = tuple[slice, slice, slice]
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

    def slabs(
        self,
        features: Tensor,
        advance: Advance = unobserved,
        *,
        box: Box | None = None,
        needed: Tensor | None = None,
    ) -> Iterator[Slab]:
        """Convolve features and yield the result slab by slab.

        Args:
            features: Shape (D, H, W, C); must not change until the last slab was yielded.
            advance: Called after every slab with its share of the weights of the kernel.
            box: Voxels to compute; they read their neighbors outside it. All if None.
            needed: Mask of the planes and rows of the box that are needed; the others are skipped where this saves
                time. All if None.

        Yields:
            Planes and rows of the box, and the result there, shape (planes, rows, columns of the box, O). The caller
            may modify its memory, which is valid only until the next slab is requested.
        """
        steps: Callable[[Convolution, Tensor, Box, Tensor | None], Iterator[Slab]] = _whole
        if _is_cpu_float32(features):
            steps = _winograd_slabs if min(self.weight.shape[:2]) >= LEAST_CHANNELS else _stacked
        k, j, i = (slice(0, n) for n in features.shape[:3]) if box is None else box
        total = (k.stop - k.start) * (j.stop - j.start)
        for planes, rows, result in steps(self, features, (k, j, i), needed):
            yield planes, rows, result
            advance(self.weight.numel() * result.shape[0] * result.shape[1] / total)


def _is_cpu_float32(features: Tensor) -> bool:
    """Return whether the faster algorithms apply: on a CPU, in float32; bf16 is too inexact for the sums."""
    return features.device.type == "cpu" and features.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")


def _whole(convolution: Convolution, features: Tensor, box: Box, _: Tensor | None) -> Iterator[Slab]:
    weight, bias = convolution.weight, convolution.bias
    if convolution.padding == "replicate":
        result = F.conv3d(_padded(convolution, features, box)[None], weight, bias)[0].permute(1, 2, 3, 0)
    else:  # without a padded copy
        read = tuple(_read(s, n)[0] for s, n in zip(box, features.shape[:3], strict=True))
        result = F.conv3d(features[read].permute(3, 0, 1, 2)[None], weight, bias, padding=1)[0].permute(1, 2, 3, 0)
        result = result[tuple(slice(s.start - r.start, s.stop - r.start) for s, r in zip(box, read, strict=True))]
    yield slice(0, len(result)), slice(0, result.shape[1]), result


def _stacked(convolution: Convolution, features: Tensor, box: Box, _: Tensor | None) -> Iterator[Slab]:
    """Convolve in two dimensions, with three planes as channels: for few channels, three times as fast as `_whole`."""
    volume = _padded(convolution, features, box)
    planes = volume.unfold(1, 3, 1).permute(1, 0, 4, 2, 3).flatten(1, 2)  # (D, C * 3, H, W)
    weight = convolution.weight.flatten(1, 2)
    result = F.conv2d(planes.contiguous(memory_format=torch.channels_last), weight, convolution.bias)
    result = result.permute(0, 2, 3, 1)
    yield slice(0, len(result)), slice(0, result.shape[1]), result


def _padded(convolution: Convolution, features: Tensor, box: Box) -> Tensor:
    """Return what the convolution of a box reads, with its padding, shape (C, D + 2, H + 2, W + 2)."""
    read, places = zip(*(_read(s, n) for s, n in zip(box, features.shape[:3], strict=True)), strict=True)
    missing = [(place.start, s.stop - s.start + 2 - place.stop) for s, place in zip(box, places, strict=True)]
    mode = "replicate" if convolution.padding == "replicate" else "constant"
    volume = features[read].permute(3, 0, 1, 2)[None]
    return F.pad(volume, [n for pair in reversed(missing) for n in pair], mode=mode)[0]


def _winograd_slabs(convolution: Convolution, features: Tensor, box: Box, needed: Tensor | None) -> Iterator[Slab]:
    (first, top, _), (depth, height, width) = (s.start for s in box), (s.stop - s.start for s in box)
    channels, outputs = features.shape[3], len(convolution.weight)
    rows = min(height, max(4, _step_values() // (width * max(channels, outputs))))
    work = Workspace(rows, width, channels=channels, outputs=outputs)
    columns, across = _read(box[2], features.shape[2])
    transformed = cache(lambda scheme: WinogradKernel.of(convolution.weight, convolution.bias, scheme))
    for k, scheme in schemes(depth):
        made = min(scheme.made, depth - k)
        planes = [_plane(features, first + k - 1 + number, convolution.padding) for number in range(scheme.read)]
        low, high = _bounds(needed[k : k + made]) if needed is not None else (0, height)
        for j in range(low, high, rows):
            count = min(rows, high - j)
            read, target = _read(slice(top + j, top + j + count), features.shape[1])
            sums, terms = (
                work.sums[: scheme.read, target, across],
                work.terms[:, : read.stop - read.start, : columns.stop - columns.start],
            )
            scheme.transform([plane[read, columns] for plane in planes], sums, terms)
            _fill_margin(work.sums[: scheme.read, : count + 2], target, across, convolution.padding)
            result = convolve_sums(transformed(scheme), work, count)[:made]
            yield slice(k, k + made), slice(j, j + count), result


def dilations(mask: Tensor, place: tuple[slice, slice], shape: Sequence[int], count: int) -> list[Tensor]:
    """Return what a number of convolutions, the last one first, must compute for the results in a mask.

    Args:
        mask: Planes and rows, bool.
        place: Its planes and rows in a larger mask.
        shape: Shape of the larger mask.
        count: Number of convolutions before the last one.

    Returns:
        ``count`` + 1 masks of the larger shape; each adds a plane and a row on each side of the previous one.
    """
    larger = mask.new_zeros(tuple(shape))
    larger[place] = mask
    masks = [larger]
    for _ in range(count):
        masks.append(F.max_pool2d(masks[-1][None].float(), 3, stride=1, padding=1)[0] > 0)
    return masks


def _bounds(needed: Tensor) -> tuple[int, int]:
    """Return the first row that any plane of a mask, shape (planes, rows), contains, and the one after the last."""
    rows = needed.any(0).nonzero()
    return (int(rows[0]), int(rows[-1]) + 1) if len(rows) else (0, 0)


def _read(computed: slice, size: int) -> tuple[slice, slice]:
    """Return the voxels along an axis that a convolution reads, and their places if the first voxel read is 0."""
    read = slice(max(0, computed.start - 1), min(size, computed.stop + 1))
    return read, slice(read.start - (computed.start - 1), read.stop - (computed.start - 1))


def _step_values() -> int:
    return STEP_VALUES * min(max(torch.get_num_threads(), 2), 4) // 2


def _plane(features: Tensor, number: int, padding: Padding) -> Tensor:
    """Return a plane, shape (H, W, C), or a padding plane before the first or after the last."""
    if 0 <= number < len(features):
        return features[number]
    if padding == "replicate":
        return features[min(max(number, 0), len(features) - 1)]
    return features.new_zeros(()).expand(features.shape[1:])


def _fill_margin(sums: Tensor, rows: slice, columns: slice, padding: Padding) -> None:
    """Fill the padding of sums, shape (sums, rows + 2, columns + 2, C), around the rows and columns that were read."""
    replicate = padding == "replicate"
    for axis, read in ((2, columns), (1, rows)):
        for place, nearest in ((0, read.start), (sums.shape[axis] - 1, read.stop - 1)):
            if place != nearest:
                outside = sums.select(axis, place)
                outside.copy_(sums.select(axis, nearest)) if replicate else outside.zero_()
