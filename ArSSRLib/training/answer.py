"""The network as a step calls it: patches and points to intensities, in one function."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ArSSRLib.model.arssr import ArSSR
from ArSSRLib.model.fixed_scale import FixedScale

if TYPE_CHECKING:
    from ArSSRLib.model.config import SuperResolutionModel


class Answer(nn.Module):
    """Patches and points to intensities, as one function that can be compiled and distributed.

    Args:
        model: The network.
        precision: "fp32" or "bf16", of the encoder, or of a network on the fine grid.
    """

    def __init__(self, model: SuperResolutionModel, precision: str) -> None:
        super().__init__()
        self.model = model
        self._bf16 = precision == "bf16"

    def forward(self, coarse: Tensor, scale: Tensor, coordinates: Tensor, placed: Tensor) -> Tensor:
        """Return intensities, shape (N, K); see `Batch` for the arguments."""
        with torch.autocast(coarse.device.type, torch.bfloat16) if self._bf16 else nullcontext():
            feature_map = self.model.encode(coarse, scale)
            if isinstance(self.model, FixedScale):  # its layers are behind the interpolation
                return self.model.query(feature_map, coordinates)
        if isinstance(self.model, ArSSR):
            return self.model.query(feature_map, placed, sampling_coordinates=coordinates)
        return self.model.query(feature_map, coordinates, scale)


def compile_layers(model: SuperResolutionModel) -> None:
    """Let PyTorch compile the layers that a step spends its time in, in place; names of weights stay as they are.

    Not the whole network: the matrices of the spline are made once by numpy, and would be traced into every step.
    """
    layers: list[nn.Module]
    if isinstance(model, FixedScale):
        layers = [model.network]
    else:
        layers = [model.encoder, model.decoder] if isinstance(model, ArSSR) else list(model.blocks)
    for layer in layers:
        layer.compile()
