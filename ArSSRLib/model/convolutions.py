"""The convolutions of a layer: PyTorch's own, and those on features (D, H, W, C) of one volume without gradients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ArSSRLib.convolution.slabs import Advance, Convolution, Padding, Slab

# A tensor, or a node of a backend's graph; both can be added.
Features = Any


def slabs(convolution: nn.Conv3d, features: Tensor, advance: Advance) -> Iterator[Slab]:
    """Convolve features (D, H, W, C) and yield the result as `Convolution.slabs` does."""
    padding: Padding = "replicate" if convolution.padding_mode == "replicate" else "zeros"
    return Convolution(convolution.weight, cast("Tensor", convolution.bias), padding).slabs(features, advance)


def collected_into(result: Tensor, convolution: nn.Conv3d, features: Tensor, advance: Advance) -> None:
    """Convolve features (D, H, W, C) into a result of shape (D, H, W, O)."""
    for planes, rows, part in slabs(convolution, features, advance):
        result[planes, rows] = part


def collected(convolution: nn.Conv3d, features: Tensor, advance: Advance) -> Tensor:
    """Return the convolution of features (D, H, W, C) as a tensor of its own, shape (D, H, W, O)."""
    result = features.new_empty(*features.shape[:3], convolution.out_channels)
    collected_into(result, convolution, features, advance)
    return result


def entry(convolution: nn.Conv3d, volume: Tensor, advance: Advance) -> Tensor:
    """Convolve one or two channels (D, H, W, C) into features (D, H, W, O), in the type that the device computes in."""
    ((_, _, features),) = slabs(convolution, volume, advance)
    return features.contiguous()


def pointwise(features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve features (D, H, W, C) with a kernel of one voxel, shape (O, C, 1, 1, 1)."""
    return F.linear(features, weight.flatten(1), bias)


def channels_last(features: Tensor) -> Tensor:
    """Return features, shape (N, C, D, H, W), with the channels of a voxel side by side in memory."""
    if features.device.type not in ("cpu", "cuda"):  # the 3-D convolutions of MPS want the plain order
        return features
    return features.contiguous(memory_format=torch.channels_last_3d)


class Layers:
    """What encoders are described with, here PyTorch's own on tensors (N, C, D, H, W); a backend overrides it."""

    def sequence(self, layers: nn.Module, features: Features) -> Features:
        """Convolve and rectify one after the other, as a layer or a sequence of layers says."""
        return channels_last(layers(features))

    def joined(self, layer: nn.Module, parts: Sequence[Features]) -> Features:
        """Convolve the concatenation of equally wide features."""
        return layer(torch.cat(list(parts), dim=1))

    def relu(self, features: Features) -> Features:
        """Rectify."""
        return F.relu(features, inplace=True)
