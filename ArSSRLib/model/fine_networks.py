"""The single-scale networks that the paper compares with: they improve an interpolated volume of the same shape.

Implemented from the publications; convolutions use zero padding, as published. Unlike in the publications, each network
initially returns its input, as arssr2 does: networks that output the image itself start 15 dB below cubic interpolation
and would spend a short training budget on learning to copy it. `fixed_scale` determines their grid and calls them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ArSSRLib.convolution.slabs import Advance, unobserved
from ArSSRLib.model.convolutions import channels_last
from ArSSRLib.model.encoders import ResCNN


def begin_as_copy(*layers: nn.Conv3d) -> None:
    """Initialize the first channel of each layer as a copy of the first channel of the previous layer."""
    for layer in layers:
        nn.init.zeros_(layer.weight[0])
        k, j, i = (length // 2 for length in layer.kernel_size)
        nn.init.ones_(layer.weight[0, 0, k, j, i])
        if layer.bias is not None:
            nn.init.zeros_(layer.bias[:1])


class FineNetwork(nn.Module, ABC):
    """Base class of these networks.

    Attributes:
        receptive_radius: Radius of the receptive field in fine voxels.
        live_channels: Values per fine voxel at peak memory without gradients, including the workspace of the
            convolutions: the peak resident memory of blocks of 64^3 and 96^3 on a CPU, rounded up (162 and 160; DCSRN
            312 and 289).
        adds_to_input: Whether the network outputs a residual to be added to its input, rather than the image itself.
    """

    receptive_radius: ClassVar[int]
    live_channels: ClassVar[int]
    adds_to_input: ClassVar[bool]

    def forward(self, volume: Tensor) -> Tensor:
        """Map interpolated volumes, shape (N, 1, D, H, W), to improved volumes, or to residuals to be added to them."""
        return self.lean(volume, unobserved)

    @abstractmethod
    def lean(self, volume: Tensor, advance: Advance) -> Tensor:
        """Compute `forward`, and report progress to ``advance`` as `Convolution.slabs` does."""


def counted(convolution: nn.Conv3d, features: Tensor, advance: Advance) -> Tensor:
    """Convolve features (N, C, D, H, W), and report the weights of the convolution as done."""
    result: Tensor = convolution(features)
    advance(convolution.weight.numel())
    return result


class SRCNN3D(FineNetwork):
    """Three convolutions.

    Source:
        Pham et al. 2017, https://doi.org/10.1109/ISBI.2017.7950500
    """

    receptive_radius: ClassVar[int] = 4 + 0 + 2
    live_channels: ClassVar[int] = 170
    adds_to_input: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self.extract = nn.Conv3d(1, 64, 9, padding=4)
        self.map = nn.Conv3d(64, 32, 1)
        self.reconstruct = nn.Conv3d(32, 1, 5, padding=2)
        begin_as_copy(self.extract, self.map, self.reconstruct)
        # The copy is raised by 1 between the rectifiers, which would otherwise clip negative intensities.
        nn.init.ones_(cast("Tensor", self.extract.bias)[:1])
        nn.init.constant_(cast("Tensor", self.reconstruct.bias), -1.0)

    def lean(self, volume: Tensor, advance: Advance) -> Tensor:
        """Compute the network and report its progress."""
        features = F.relu(channels_last(counted(self.extract, volume, advance)), inplace=True)
        return counted(self.reconstruct, F.relu(counted(self.map, features, advance), inplace=True), advance)


class BatchNorm(nn.Module):
    """Batch normalization with a state of floating-point numbers only, as checkpoints require.

    PyTorch's implementation also counts batches in an integer, which only a cumulative average needs.

    Source:
        Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167
    """

    MOMENTUM: ClassVar[float] = 0.1

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, features: Tensor) -> Tensor:
        """Normalize features, shape (N, C, D, H, W): by batch statistics in training mode, else by running ones."""
        mean, variance = cast("Tensor", self.running_mean), cast("Tensor", self.running_var)
        return F.batch_norm(features, mean, variance, self.weight, self.bias, self.training, self.MOMENTUM)


class DenseUnit(nn.Module):
    """Batch normalization, ELU and a convolution, from all previous features to ``GROWTH`` new ones."""

    GROWTH: ClassVar[int] = 24

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = BatchNorm(channels)
        self.conv = nn.Conv3d(channels, self.GROWTH, 3, padding=1, bias=False)

    def forward(self, features: Tensor, advance: Advance) -> Tensor:
        """Return ``GROWTH`` new features, shape (N, GROWTH, D, H, W)."""
        return counted(self.conv, F.elu(self.norm(features), inplace=True), advance)


class DCSRN(FineNetwork):
    """One dense block of four units between two convolutions.

    Source:
        Chen et al. 2018, https://doi.org/10.1109/ISBI.2018.8363679
    """

    FIRST: ClassVar[int] = 48
    UNITS: ClassVar[int] = 4
    receptive_radius: ClassVar[int] = 1 + UNITS + 1
    live_channels: ClassVar[int] = 320
    adds_to_input: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        widths = [self.FIRST + unit * DenseUnit.GROWTH for unit in range(self.UNITS + 1)]
        self.first = nn.Conv3d(1, self.FIRST, 3, padding=1, bias=False)
        self.units = nn.ModuleList(DenseUnit(width) for width in widths[:-1])
        self.reconstruct = nn.Conv3d(widths[-1], 1, 3, padding=1, bias=False)
        begin_as_copy(self.first, self.reconstruct)

    def lean(self, volume: Tensor, advance: Advance) -> Tensor:
        """Compute the network and report its progress."""
        features = channels_last(counted(self.first, volume, advance))
        for unit in self.units:
            features = torch.cat([features, unit(features, advance)], dim=1)
        return counted(self.reconstruct, features, advance)


class FineResCNN(ResCNN):
    """Twenty convolutions with skip connections, which predict a residual; attributes as in `FineNetwork`.

    This is the encoder ResCNN with a single output channel.
    """

    adds_to_input: ClassVar[bool] = True
    adds_input: ClassVar[bool] = False  # added by the caller, where the spline is in single precision

    def __init__(self) -> None:
        super().__init__(1)
        for parameter in self.conv_end.parameters():
            nn.init.zeros_(parameter)


NETWORKS: dict[str, type[SRCNN3D] | type[DCSRN] | type[FineResCNN]] = {
    "srcnn3d": SRCNN3D,
    "dcsrn": DCSRN,
    "rescnn": FineResCNN,
}
