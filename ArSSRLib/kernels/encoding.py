"""The encoders in 16 bits and channels last, for tensor cores; the reference is `encode` of the models.

Weights are converted once, whereas autocast would convert them in every call; nothing here relies on autocast. The
cubic spline of arssr2 and arssr3 stays in float32, because its errors would be errors of the image.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from ArSSRLib.convolution.slabs import unobserved
from ArSSRLib.model.arssr import ArSSR
from ArSSRLib.model.arssr2 import ArSSR2
from ArSSRLib.model.blocks import SLOPE, ResidualBlock, with_detail

LAST = torch.channels_last_3d


def published_encoder(model: ArSSR, number_format: torch.dtype) -> Callable[[Tensor], Tensor]:
    """Return the published encoder in a number format, from intensities (1, 1, D, H, W) to features (1, C, D, H, W)."""
    encoder = copy.deepcopy(model.encoder)
    encoder.to(dtype=number_format, memory_format=LAST)  # type: ignore[call-overload]
    return lambda volume: encoder.lean(volume.to(number_format), unobserved)


def residual_encoder(model: ArSSR2, number_format: torch.dtype) -> Callable[..., Tensor]:
    """Return the encoder of arssr2 or arssr3 in a number format.

    The modulation by scale and slice profile is folded into the weights, which saves two passes over the features of
    every block.

    Args:
        model: The network, on the device.
        number_format: Number format of weights and features.

    Returns:
        A function from normalized intensities (1, 1, D, H, W), factors along k, j, i (1, 3), and optionally slice
        profiles (1, 3, 5), all float32, to features (1, C, D, H, W) in the number format, without the spline.
    """

    def encode(volume: Tensor, scale: Tensor, acquisition: Tensor | None = None) -> Tensor:
        """Encode a tile."""
        gains, shifts = model.block_modulation(scale, acquisition)
        features = _convolved(with_detail(volume).to(number_format), model.head.weight, model.head.bias)
        for block, gain, shift in zip(model.blocks, gains, shifts, strict=True):
            first, second = cast("ResidualBlock", block).folded(gain[0, :, 0, 0, 0], shift[0, :, 0, 0, 0])
            hidden = F.leaky_relu_(_convolved(features, *first), SLOPE)
            features = _convolved(hidden, *second).add_(features)
        return _convolved(features, model.tail.weight, model.tail.bias)

    return encode


def _convolved(features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve with replicate padding, in the number format of ``features``."""
    kernel = weight.to(dtype=features.dtype, memory_format=LAST)
    return F.conv3d(repeated_outwards(features), kernel, None if bias is None else bias.to(features.dtype))


def repeated_outwards(features: Tensor) -> Tensor:
    """Pad by repeating the outermost voxels once on each side, channels last.

    `F.pad` always returns the default memory format, which would cost two transpositions per convolution.
    """
    shape = [*features.shape[:2], *(length + 2 for length in features.shape[2:])]
    wider = torch.empty(shape, dtype=features.dtype, device=features.device, memory_format=LAST)
    wider[:, :, 1:-1, 1:-1, 1:-1] = features
    for axis in (2, 3, 4):  # the corners are correct after the last axis
        last = shape[axis] - 1
        wider.select(axis, 0).copy_(wider.select(axis, 1))
        wider.select(axis, last).copy_(wider.select(axis, last - 1))
    return wider
