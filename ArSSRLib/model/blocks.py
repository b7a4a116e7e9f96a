"""Parts of the encoder of ArSSR2: its two input channels, and its residual block."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ArSSRLib.convolution.slabs import Advance, Convolution
from ArSSRLib.coordinates import Box, within

# A block adds a fraction of its branch, and inactive units still learn. Without these two, the features of sharp inputs
# grew from block to block until all units of the decoder were inactive.
BRANCH_GAIN = 0.2
SLOPE = 0.1
# Detail, the difference from the mean of 5 x 5 x 5 voxels, is about a tenth of the range and is therefore amplified.
DETAIL_RADIUS = 2
DETAIL_GAIN = 10.0
MODULATOR_WIDTH = 32


class ResidualBlock(nn.Module):
    """Two convolutions with a rectifier between them, modulated by the scale, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv3d(channels, channels, 3, padding=1, padding_mode="replicate")
        self.second = nn.Conv3d(channels, channels, 3, padding=1, padding_mode="replicate")

    def forward(self, features: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
        """Return features of the shape (N, C, D, H, W) given; ``gain`` and ``shift`` have shape (N, C, 1, 1, 1)."""
        hidden = F.leaky_relu(self.first(features) * (1 + gain) + shift, SLOPE)
        return features + BRANCH_GAIN * cast("Tensor", self.second(hidden))

    def folded(self, gain: Tensor, shift: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Return the weights and biases of both convolutions with gain and shift, shape (C,), folded into them.

        Scaling and shifting a result is equivalent to scaling the weights and shifting the bias.
        """
        factor = 1 + gain
        first = self.first.weight * factor.view(-1, 1, 1, 1, 1), cast("Tensor", self.first.bias) * factor + shift
        return first, (BRANCH_GAIN * self.second.weight, BRANCH_GAIN * cast("Tensor", self.second.bias))

    def add_to(
        self,
        features: Tensor,
        hidden: Tensor,
        advance: Advance,
        *,
        gain: Tensor,
        shift: Tensor,
        boxes: tuple[Box, Box],
        needed: tuple[Tensor | None, Tensor | None] = (None, None),
    ) -> None:
        """Compute `forward` in place, for one volume and without gradients.

        Args:
            features: Shape (D, H, W, C); replaced by the result inside the second box.
            hidden: Scratch memory of the same shape.
            advance: Callback of `Convolution.slabs`.
            gain: Shape (C,).
            shift: Shape (C,).
            boxes: Voxels that each of the two convolutions computes, the second box inside the first. The first
                convolution reads features around its box; the second one repeats the outermost voxels of the first box.
            needed: Masks of the planes and rows of both boxes, see `Convolution.slabs`.
        """
        first, second = (Convolution(weight, bias, "replicate") for weight, bias in self.folded(gain, shift))
        hidden = hidden[boxes[0]]
        for planes, rows, part in first.slabs(features, advance, box=boxes[0], needed=needed[0]):
            torch.ops.aten.leaky_relu.out(part, SLOPE, out=hidden[planes, rows])  # in one pass, unlike F.leaky_relu
        features = features[boxes[1]]
        for planes, rows, part in second.slabs(hidden, advance, box=within(boxes[1], boxes[0]), needed=needed[1]):
            features[planes, rows] += part


def with_detail(volume: Tensor) -> Tensor:
    """Return a volume, shape (N, 1, D, H, W), and its amplified detail as two channels."""
    mean = F.pad(volume, (DETAIL_RADIUS,) * 6, mode="replicate")
    width = 2 * DETAIL_RADIUS + 1
    for axis in (2, 3, 4):  # on a CPU, avg_pool3d takes 15 times as long
        size = mean.shape[axis] - width + 1
        first, *others = (mean.narrow(axis, start, size) for start in range(width))
        mean = sum(others, first)
    mean = mean / width**3
    return torch.cat([volume, DETAIL_GAIN * (volume - mean)], dim=1)


def modulator(inputs: int, outputs: int, width: int = MODULATOR_WIDTH) -> nn.Sequential:
    """Return the small network that maps a position or a scale to gains and shifts."""
    return nn.Sequential(nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, outputs))
