"""Convolutions of layers: by PyTorch, and slab by slab on features (D, H, W, C) of one volume without gradients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ArSSRLib.convolution.slabs import Advance, Convolution, Padding, Slab
from ArSSRLib.coordinates import Box

# A tensor, or a node of a backend's graph; both support addition.
Features = Any


def slabs(
    convolution: nn.Conv3d,
    features: Tensor,
    advance: Advance,
    *,
    box: Box | None = None,
    needed: Tensor | None = None,
) -> Iterator[Slab]:
    """Convolve features (D, H, W, C) and yield the result, or a box of it, as `Convolution.slabs` does."""
    padding: Padding = "replicate" if convolution.padding_mode == "replicate" else "zeros"
    bias = cast("Tensor", convolution.bias)
    return Convolution(convolution.weight, bias, padding).slabs(features, advance, box=box, needed=needed)


def collected_into(
    result: Tensor,
    convolution: nn.Conv3d,
    features: Tensor,
    advance: Advance,
    *,
    box: Box | None = None,
    needed: Tensor | None = None,
) -> None:
    """Convolve features (D, H, W, C) into a result of shape (D, H, W, O), or of the shape of a box."""
    for planes, rows, part in slabs(convolution, features, advance, box=box, needed=needed):
        result[planes, rows] = part


def collected(convolution: nn.Conv3d, features: Tensor, advance: Advance) -> Tensor:
    """Return the convolution of features (D, H, W, C) as a new tensor, shape (D, H, W, O)."""
    result = features.new_empty(*features.shape[:3], convolution.out_channels)
    collected_into(result, convolution, features, advance)
    return result


def entry(convolution: nn.Conv3d, volume: Tensor, advance: Advance, *, box: Box | None = None) -> Tensor:
    """Convolve one or two channels (D, H, W, C) into features (D, H, W, O) of a box, as the device represents them."""
    ((_, _, features),) = slabs(convolution, volume, advance, box=box)
    return features.contiguous()


def pointwise(features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve features (D, H, W, C) with a kernel of one voxel, shape (O, C, 1, 1, 1)."""
    return F.linear(features, weight.flatten(1), bias)


def channels_last(features: Tensor) -> Tensor:
    """Return features, shape (N, C, D, H, W), in channels-last memory format."""
    if features.device.type not in ("cpu", "cuda"):  # the 3-D convolutions of MPS require the default format
        return features
    return features.contiguous(memory_format=torch.channels_last_3d)


class Layers:
    """Operations for describing encoders, here by PyTorch on tensors (N, C, D, H, W); backends override them."""

    def sequence(self, layers: nn.Module, features: Features) -> Features:
        """Apply a layer or a sequence of layers."""
        return channels_last(layers(features))

    def joined(self, layer: nn.Module, parts: Sequence[Features]) -> Features:
        """Convolve the concatenation of features with equal numbers of channels."""
        return layer(torch.cat(list(parts), dim=1))

    def relu(self, features: Features) -> Features:
        """Apply a ReLU."""
        return F.relu(features, inplace=True)
