"""The three published encoders: from a volume to a feature map on the same grid.

The layers have the names of the authors' checkpoints, so that these can be loaded unchanged. Each encoder states its
``receptive_radius`` and its memory requirement (``live_channels``).

The method `described` defines each encoder once, in terms of `Layers`: PyTorch's layers give `forward`, for training
and as the reference; OpenVINO's give a graph. `lean` computes the same for one volume, slab by slab and mostly in
place, with features of shape (D, H, W, C).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from ArSSRLib.convolution.slabs import Advance
from ArSSRLib.model.convolutions import Features, Layers, collected, collected_into, entry, pointwise, slabs

# Channels inside every published encoder.
WIDTH = 64


class Encoder(nn.Module, ABC):
    """Base class of the three encoders.

    Attributes:
        receptive_radius: Radius of the receptive field of a feature, in coarse voxels.
        live_channels: Values per coarse voxel at the peak memory of `lean`.
    """

    receptive_radius: ClassVar[int]
    live_channels: ClassVar[int]

    @abstractmethod
    def described(self, layers: Layers, volume: Features) -> Features:
        """Map a volume, shape (N, 1, D, H, W), to a feature map, shape (N, feature_channels, D, H, W)."""

    def forward(self, volume: Tensor) -> Tensor:
        """Compute the encoder as `described` defines it."""
        return cast("Tensor", self.described(Layers(), volume))

    def lean(self, volume: Tensor, advance: Advance) -> Tensor:
        """Compute `forward` for one volume, shape (1, 1, D, H, W), without gradients and with little memory."""
        return self._lean(volume[0, 0, ..., None], advance).permute(3, 0, 1, 2)[None]

    @abstractmethod
    def _lean(self, volume: Tensor, advance: Advance) -> Tensor:
        """Map one volume (D, H, W, 1) to a feature map (D, H, W, C), without gradients."""


class DenseLayer(nn.Module):
    """One convolution of a dense block, from all previous features to ``WIDTH`` new ones."""

    def __init__(self, parts: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(parts * WIDTH, WIDTH, 3, padding=1)


class DenseBlock(nn.Module):
    """Residual dense block: three densely connected convolutions, fused by a pointwise fourth.

    Source:
        Zhang et al. 2018, Fig. 3, https://doi.org/10.1109/CVPR.2018.00262
    """

    LAYERS: ClassVar[int] = 3

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DenseLayer(parts) for parts in range(1, self.LAYERS + 1))
        self.lff = nn.Conv3d((self.LAYERS + 1) * WIDTH, WIDTH, 1)

    def described(self, layers: Layers, features: Features) -> Features:
        """Return the features of the next block, in the same shape."""
        parts = [features]
        for layer in self.layers:
            parts.append(layers.relu(layers.joined(cast("DenseLayer", layer).conv, parts)))
        return features + layers.joined(self.lff, parts)

    def next_in(self, dense: Tensor, advance: Advance) -> Iterator[tuple[slice, Tensor]]:
        """Compute `described` in place, for one volume and without gradients.

        Args:
            dense: Shape (D, H, W, (LAYERS + 1) * WIDTH). The first ``WIDTH`` channels hold the features, and afterwards
                those of the next block; the others are scratch memory.
            advance: Callback of `Convolution.slabs`.

        Yields:
            Finished planes, and the features of the next block there, shape (planes, H, W, WIDTH).
        """
        for number, layer in enumerate(self.layers, start=1):
            features = dense[..., : number * WIDTH]
            for planes, rows, part in slabs(cast("DenseLayer", layer).conv, features, advance):
                dense[planes, rows, :, number * WIDTH : (number + 1) * WIDTH] = part.relu_()
        # Plane by plane on a CPU, within its cache; all at once elsewhere, with few calls.
        step = 1 if dense.device.type == "cpu" else len(dense)
        for k in range(0, len(dense), step):
            done = dense[k : k + step]
            done[..., :WIDTH] += pointwise(done, self.lff.weight, self.lff.bias)
            yield slice(k, k + step), done[..., :WIDTH]


class RDN(Encoder):
    """Residual dense network without its upscaling layer.

    Source:
        Zhang et al. 2018, https://doi.org/10.1109/CVPR.2018.00262, in 3-D as in Wu et al. 2023.
    """

    BLOCKS: ClassVar[int] = 8
    # Two convolutions at the entry, those of the blocks, one after the fusion, one at the exit.
    receptive_radius: ClassVar[int] = 2 + BLOCKS * DenseBlock.LAYERS + 2
    live_channels: ClassVar[int] = 330

    def __init__(self, feature_channels: int) -> None:
        super().__init__()
        self.sfe1 = nn.Conv3d(1, WIDTH, 3, padding=1)
        self.sfe2 = nn.Conv3d(WIDTH, WIDTH, 3, padding=1)
        self.rdbs = nn.ModuleList(DenseBlock() for _ in range(self.BLOCKS))
        self.gff = nn.Sequential(nn.Conv3d(self.BLOCKS * WIDTH, WIDTH, 1), nn.Conv3d(WIDTH, WIDTH, 3, padding=1))
        self.output = nn.Conv3d(WIDTH, feature_channels, 3, padding=1)

    def described(self, layers: Layers, volume: Features) -> Features:
        """Map a volume to a feature map."""
        shallow = layers.sequence(self.sfe1, volume)
        features, outputs = layers.sequence(self.sfe2, shallow), []
        for block in self.rdbs:
            features = cast("DenseBlock", block).described(layers, features)
            outputs.append(features)
        fused = layers.sequence(self.gff[1], layers.joined(self.gff[0], outputs))
        return layers.sequence(self.output, fused + shallow)

    def _lean(self, volume: Tensor, advance: Advance) -> Tensor:
        shallow = entry(self.sfe1, volume, advance)
        dense = shallow.new_empty(*shallow.shape[:3], (DenseBlock.LAYERS + 1) * WIDTH)
        collected_into(dense[..., :WIDTH], self.sfe2, shallow, advance)
        del shallow
        fused = dense.new_zeros(*dense.shape[:3], WIDTH)
        fusion = cast("nn.Conv3d", self.gff[0])
        # The convolution of a concatenation is the sum of the convolutions: 64 channels in memory instead of 512.
        for block, weight in zip(self.rdbs, fusion.weight.chunk(self.BLOCKS, dim=1), strict=True):
            for done, features in cast("DenseBlock", block).next_in(dense, advance):
                fused[done] += pointwise(features, weight, None)
        fused += cast("Tensor", fusion.bias)
        del dense, features
        # Recomputed rather than kept: it is one convolution of a single channel.
        shallow = entry(self.sfe1, volume, advance)
        for planes, rows, part in slabs(cast("nn.Conv3d", self.gff[1]), fused, advance):
            shallow[planes, rows] += part
        del fused
        return collected(self.output, shallow, advance)


class ResCNN(Encoder):
    """Twenty convolutions in three blocks with skip connections, and one skip connection around them all.

    Source:
        Du et al. 2020, https://doi.org/10.1016/j.neucom.2018.10.102, as encoder in Wu et al. 2023.
    """

    BLOCK_LAYERS: ClassVar[int] = 6
    receptive_radius: ClassVar[int] = 1 + 3 * BLOCK_LAYERS + 1
    live_channels: ClassVar[int] = 200
    # Whether there is a skip connection around all layers.
    adds_input: ClassVar[bool] = True

    def __init__(self, feature_channels: int) -> None:
        super().__init__()
        self.conv_start = nn.Sequential(nn.Conv3d(1, WIDTH, 3, padding=1), nn.ReLU(inplace=True))
        self.block1 = self._block()
        self.block2 = self._block()
        self.block3 = self._block()
        self.conv_end = nn.Sequential(nn.Conv3d(WIDTH, feature_channels, 3, padding=1))

    def described(self, layers: Layers, volume: Features) -> Features:
        """Map a volume to a feature map."""
        features = layers.sequence(self.conv_start, volume)
        for block in (self.block1, self.block2, self.block3):
            features = features + layers.sequence(block, features)
        result = layers.sequence(self.conv_end, features)
        return result + volume if self.adds_input else result

    def _lean(self, volume: Tensor, advance: Advance) -> Tensor:
        features = entry(cast("nn.Conv3d", self.conv_start[0]), volume, advance).relu_()
        spare = [torch.empty_like(features), torch.empty_like(features)]
        for block in (self.block1, self.block2, self.block3):
            source = features
            *convolutions, last = (layer for layer in block if isinstance(layer, nn.Conv3d))
            for number, convolution in enumerate(convolutions):
                target = spare[number % 2]
                for planes, rows, part in slabs(convolution, source, advance):
                    target[planes, rows] = part.relu_()
                source = target
            for planes, rows, part in slabs(last, source, advance):
                features[planes, rows] += part.relu_()
        del spare, source, target
        result = collected(cast("nn.Conv3d", self.conv_end[0]), features, advance)
        return result.add_(volume) if self.adds_input else result

    def _block(self) -> nn.Sequential:
        layers: list[nn.Module] = []
        for _ in range(self.BLOCK_LAYERS):
            layers += [nn.Conv3d(WIDTH, WIDTH, 3, padding=1), nn.ReLU(inplace=True)]
        return nn.Sequential(*layers)


class ResidualBlock(nn.Module):
    """Two convolutions with a ReLU between them, added to the input."""

    def __init__(self) -> None:
        super().__init__()
        self.m = nn.Sequential(
            nn.Sequential(nn.Conv3d(WIDTH, WIDTH, 3, padding=1), nn.ReLU(inplace=True)),
            nn.Sequential(nn.Conv3d(WIDTH, WIDTH, 3, padding=1)),
        )

    def described(self, layers: Layers, features: Features) -> Features:
        """Return features of the same shape."""
        return features + layers.sequence(self.m, features)

    def add_to(self, features: Tensor, hidden: Tensor, advance: Advance) -> None:
        """Compute `described` in place, for one volume without gradients; both tensors have shape (D, H, W, WIDTH)."""
        first, second = (cast("nn.Conv3d", cast("nn.Sequential", part)[0]) for part in self.m)
        for planes, rows, part in slabs(first, features, advance):
            hidden[planes, rows] = part.relu_()
        for planes, rows, part in slabs(second, hidden, advance):
            features[planes, rows] += part


class SRResNet(Encoder):
    """Eighteen residual blocks without batch normalization.

    Source:
        Ledig et al. 2017, https://doi.org/10.1109/CVPR.2017.19, as encoder in Wu et al. 2023.
    """

    BLOCKS: ClassVar[int] = 18
    receptive_radius: ClassVar[int] = 1 + 2 * BLOCKS + 2
    live_channels: ClassVar[int] = 200

    def __init__(self, feature_channels: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Sequential(nn.Conv3d(1, WIDTH, 3, padding=1)),
            *(ResidualBlock() for _ in range(self.BLOCKS)),
            nn.Sequential(nn.Conv3d(WIDTH, WIDTH, 3, padding=1)),
            nn.Sequential(nn.Conv3d(WIDTH, feature_channels, 3, padding=1)),
        )

    def described(self, layers: Layers, volume: Features) -> Features:
        """Map a volume to a feature map."""
        first, *blocks, last, output = self.features
        features = layers.sequence(first, volume)
        for block in blocks:
            features = cast("ResidualBlock", block).described(layers, features)
        return layers.sequence(output, layers.sequence(last, features))

    def _lean(self, volume: Tensor, advance: Advance) -> Tensor:
        first, *blocks, last, output = self.features
        features = entry(cast("nn.Conv3d", cast("nn.Sequential", first)[0]), volume, advance)
        hidden = torch.empty_like(features)
        for block in blocks:
            cast("ResidualBlock", block).add_to(features, hidden, advance)
        collected_into(hidden, cast("nn.Conv3d", cast("nn.Sequential", last)[0]), features, advance)
        del features
        return collected(cast("nn.Conv3d", cast("nn.Sequential", output)[0]), hidden, advance)


ENCODERS: dict[str, type[RDN] | type[ResCNN] | type[SRResNet]] = {"RDN": RDN, "ResCNN": ResCNN, "SRResNet": SRResNet}
