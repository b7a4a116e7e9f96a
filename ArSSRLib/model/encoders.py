"""The three published encoders: a volume to a feature map on the same grid.

The layers bear the names of the authors' checkpoints, so that these load as they are. Each encoder states how far it
sees (``receptive_radius``) and what it holds in memory (``live_channels``). Features travel channels-last, which
oneDNN and cuDNN read without a copy of their own.

While gradients are recorded every sum makes a new tensor; otherwise the same sums run in the memory that is there.
"""

from __future__ import annotations

from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Channels inside every published encoder.
WIDTH = 64


class Encoder(nn.Module):
    """What the three encoders have in common.

    Attributes:
        receptive_radius: Coarse voxels that a feature sees to each side.
        live_channels: Values a coarse voxel held at the peak of `forward` without gradients, the workspace of the
            convolutions included: the peak resident memory of crops of 64^3 and 80^3 on a CPU, rounded up (RDN 453
            and 447, ResCNN 193 and 193, SRResNet 199 and 196). Crops of 40^3 and less hold up to half more, for
            the allocator keeps small blocks that were freed.
    """

    receptive_radius: ClassVar[int]
    live_channels: ClassVar[int]


class DenseLayer(nn.Module):
    """One convolution of a dense block, from all features so far to ``WIDTH`` more."""

    def __init__(self, parts: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(parts * WIDTH, WIDTH, 3, padding=1)


class DenseBlock(nn.Module):
    """Residual dense block: three convolutions, each of which sees all before it, fused by a fourth of one voxel.

    Source:
        Zhang et al. 2018, Fig. 3, https://doi.org/10.1109/CVPR.2018.00262
    """

    LAYERS: ClassVar[int] = 3

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DenseLayer(parts) for parts in range(1, self.LAYERS + 1))
        self.lff = nn.Conv3d((self.LAYERS + 1) * WIDTH, WIDTH, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return the features of the next block, in the shape (N, WIDTH, D, H, W) given.

        Without gradients the result takes the place of ``features``.
        """
        parts = [features]
        convolutions = [cast("DenseLayer", layer).conv for layer in self.layers]
        if torch.is_grad_enabled():
            for convolution in convolutions:
                parts.append(F.relu(convolution(torch.cat(parts, dim=1)), inplace=True))
            return features + cast("Tensor", self.lff(torch.cat(parts, dim=1)))
        for convolution in convolutions:
            parts.append(convolve_parts(convolution, parts.copy()).relu_())
        return features.add_(convolve_parts(self.lff, parts))


class RDN(Encoder):
    """Residual dense network without its upscaling layer.

    Args:
        feature_channels: Channels of the feature map.

    Source:
        Zhang et al. 2018, https://doi.org/10.1109/CVPR.2018.00262, in 3-D as in Wu et al. 2023.
    """

    BLOCKS: ClassVar[int] = 8
    # Two at the entry, all of the blocks, one after the fusion, one at the exit.
    receptive_radius: ClassVar[int] = 2 + BLOCKS * DenseBlock.LAYERS + 2
    live_channels: ClassVar[int] = 464

    def __init__(self, feature_channels: int) -> None:
        super().__init__()
        self.sfe1 = nn.Conv3d(1, WIDTH, 3, padding=1)
        self.sfe2 = nn.Conv3d(WIDTH, WIDTH, 3, padding=1)
        self.rdbs = nn.ModuleList(DenseBlock() for _ in range(self.BLOCKS))
        self.gff = nn.Sequential(nn.Conv3d(self.BLOCKS * WIDTH, WIDTH, 1), nn.Conv3d(WIDTH, WIDTH, 3, padding=1))
        self.output = nn.Conv3d(WIDTH, feature_channels, 3, padding=1)

    def forward(self, volume: Tensor) -> Tensor:
        """Turn a volume, shape (N, 1, D, H, W), into a feature map, shape (N, feature_channels, D, H, W)."""
        shallow = channels_last(self.sfe1(volume))
        fused = self._fused_blocks(self.sfe2(shallow))
        fused = self.gff[1](fused)
        fused = fused + shallow if torch.is_grad_enabled() else fused.add_(shallow)
        del shallow
        return cast("Tensor", self.output(fused))

    def _fused_blocks(self, features: Tensor) -> Tensor:
        """Run the dense blocks and fuse what each returns by one convolution of one voxel."""
        fusion = cast("nn.Conv3d", self.gff[0])
        if torch.is_grad_enabled():
            outputs = []
            for block in self.rdbs:
                features = block(features)
                outputs.append(features)
            return cast("Tensor", fusion(torch.cat(outputs, dim=1)))
        # The convolution of the concatenation is the sum of the convolutions: 64 channels live instead of 512.
        weights = fusion.weight.chunk(self.BLOCKS, dim=1)
        features = self.rdbs[0](features)
        fused = F.conv3d(features, weights[0], fusion.bias)
        for block, weight in zip(self.rdbs[1:], weights[1:], strict=True):
            features = block(features)
            fused.add_(F.conv3d(features, weight))
        return fused


class ResCNN(Encoder):
    """Twenty convolutions in three blocks with skips, and one skip around them all.

    Args:
        feature_channels: Channels of the feature map.

    Source:
        Du et al. 2020, https://doi.org/10.1016/j.neucom.2018.10.102, as encoder in Wu et al. 2023.
    """

    BLOCK_LAYERS: ClassVar[int] = 6
    receptive_radius: ClassVar[int] = 1 + 3 * BLOCK_LAYERS + 1
    live_channels: ClassVar[int] = 208

    def __init__(self, feature_channels: int) -> None:
        super().__init__()
        self.conv_start = nn.Sequential(nn.Conv3d(1, WIDTH, 3, padding=1), nn.ReLU(inplace=True))
        self.block1 = self._block()
        self.block2 = self._block()
        self.block3 = self._block()
        self.conv_end = nn.Sequential(nn.Conv3d(WIDTH, feature_channels, 3, padding=1))

    def forward(self, volume: Tensor) -> Tensor:
        """Turn a volume, shape (N, 1, D, H, W), into a feature map, shape (N, feature_channels, D, H, W)."""
        features = channels_last(self.conv_start(volume))
        for block in (self.block1, self.block2, self.block3):
            features = residual(block, features)
        features = cast("Tensor", self.conv_end(features))
        return features + volume if torch.is_grad_enabled() else features.add_(volume)

    def _block(self) -> nn.Sequential:
        layers: list[nn.Module] = []
        for _ in range(self.BLOCK_LAYERS):
            layers += [nn.Conv3d(WIDTH, WIDTH, 3, padding=1), nn.ReLU(inplace=True)]
        return nn.Sequential(*layers)


class ResidualBlock(nn.Module):
    """Two convolutions around a ReLU, added to the input."""

    def __init__(self) -> None:
        super().__init__()
        self.m = nn.Sequential(
            nn.Sequential(nn.Conv3d(WIDTH, WIDTH, 3, padding=1), nn.ReLU(inplace=True)),
            nn.Sequential(nn.Conv3d(WIDTH, WIDTH, 3, padding=1)),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the shape (N, WIDTH, D, H, W) given."""
        return residual(self.m, features)


class SRResNet(Encoder):
    """Eighteen residual blocks without batch normalization.

    Args:
        feature_channels: Channels of the feature map.

    Source:
        Ledig et al. 2017, https://doi.org/10.1109/CVPR.2017.19, as encoder in Wu et al. 2023.
    """

    BLOCKS: ClassVar[int] = 18
    receptive_radius: ClassVar[int] = 1 + 2 * BLOCKS + 2
    live_channels: ClassVar[int] = 208

    def __init__(self, feature_channels: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Sequential(nn.Conv3d(1, WIDTH, 3, padding=1)),
            *(ResidualBlock() for _ in range(self.BLOCKS)),
            nn.Sequential(nn.Conv3d(WIDTH, WIDTH, 3, padding=1)),
            nn.Sequential(nn.Conv3d(WIDTH, feature_channels, 3, padding=1)),
        )

    def forward(self, volume: Tensor) -> Tensor:
        """Turn a volume, shape (N, 1, D, H, W), into a feature map, shape (N, feature_channels, D, H, W)."""
        first, *others = self.features
        features = channels_last(first(volume))
        for layer in others:
            features = layer(features)
        return features


ENCODERS: dict[str, type[RDN] | type[ResCNN] | type[SRResNet]] = {"RDN": RDN, "ResCNN": ResCNN, "SRResNet": SRResNet}


def residual(branch: nn.Module, features: Tensor) -> Tensor:
    """Return ``features + branch(features)``, shape (N, C, D, H, W); without gradients in the memory of the branch."""
    change = cast("Tensor", branch(features))
    return features + change if torch.is_grad_enabled() else change.add_(features)


def convolve_parts(convolution: nn.Conv3d, parts: list[Tensor]) -> Tensor:
    """Convolve the concatenation of ``parts`` along the channels without making it.

    Args:
        convolution: A convolution of stride 1 that keeps the shape.
        parts: Feature maps of equally many channels, each of shape (N, C, D, H, W); emptied, so that a part that
            nobody else holds is freed as soon as it was read.

    Returns:
        What ``convolution(torch.cat(parts, 1))`` returns, but for rounding.
    """
    weights = list(convolution.weight.chunk(len(parts), dim=1))
    padding = convolution.kernel_size[0] // 2
    total = F.conv3d(parts.pop(), weights.pop(), convolution.bias, padding=padding)
    while parts:
        total.add_(F.conv3d(parts.pop(), weights.pop(), padding=padding))
    return total


def channels_last(features: Tensor) -> Tensor:
    """Return features, shape (N, C, D, H, W), with the channels of a voxel side by side in memory."""
    if features.device.type not in ("cpu", "cuda"):  # the 3-D convolutions of MPS want the plain order
        return features
    return features.contiguous(memory_format=torch.channels_last_3d)
