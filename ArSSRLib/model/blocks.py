"""The residual block of our network's encoder."""

from __future__ import annotations

from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from ArSSRLib.convolution.slabs import Convolution

# Without these two, features of sharp inputs grew from block to block until every unit of the decoder was off: a block
# adds a fraction of its branch, and a unit that is off still learns.
BRANCH_GAIN = 0.2
SLOPE = 0.1


class ResidualBlock(nn.Module):
    """Two convolutions around a rectifier, modulated by the scale, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv3d(channels, channels, 3, padding=1, padding_mode="replicate")
        self.second = nn.Conv3d(channels, channels, 3, padding=1, padding_mode="replicate")

    def forward(self, features: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
        """Return features of the shape (N, C, D, H, W) given; ``gain`` and ``shift`` have shape (N, C, 1, 1, 1)."""
        hidden = F.leaky_relu(self.first(features) * (1 + gain) + shift, SLOPE)
        return features + BRANCH_GAIN * cast("Tensor", self.second(hidden))

    def add_to(self, features: Tensor, hidden: Tensor, *, gain: Tensor, shift: Tensor) -> None:
        """Do the same in the memory that is there, for one volume and without gradients.

        Args:
            features: Shape (D, H, W, C); changed into the result.
            hidden: Scratch of the same shape.
            gain: Shape (C,).
            shift: Shape (C,).
        """
        # What multiplies and shifts a result can as well multiply the weights and shift the bias.
        weight, bias = self.first.weight * (1 + gain)[:, None, None, None, None], self.first.bias
        for planes, rows, part in Convolution(weight, cast("Tensor", bias) * (1 + gain) + shift, "replicate").slabs(
            features
        ):
            hidden[planes, rows] = F.leaky_relu_(part, SLOPE)
        bias = cast("Tensor", self.second.bias)
        second = Convolution(BRANCH_GAIN * self.second.weight, BRANCH_GAIN * bias, "replicate")
        for planes, rows, part in second.slabs(hidden):
            features[planes, rows] += part
