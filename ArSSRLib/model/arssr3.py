"""ArSSR3: ArSSR2 conditioned on the slice profile, and trained to agree with the measurement.

Differences from `arssr2`:

* In addition to the scale, the encoder and the decoder are modulated by the slice profile of each axis: the contrast
  that the acquisition keeps at four frequencies, and whether that is a fact, an estimate or unknown (all 0).
* The network predicts how strongly its result is corrected towards the measurement. `acquisition.consistency`
  implements the correction, both in training and in upsampling.

This file handles tensors only: no millimeters, files or scanner units.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ArSSRLib.coordinates import linear_taps
from ArSSRLib.model.arssr2 import AXIS_INPUTS, RESIDUAL_GAIN, ArSSR2, ArSSR2Config, checked_scale
from ArSSRLib.model.blocks import MODULATOR_WIDTH, SLOPE, modulator
from ArSSRLib.model.config import ModelConfig
from ArSSRLib.model.interface import Conditioning, SuperResolutionModel

# Contrast kept at four frequencies, and the certainty; see `acquisition.profile`.
ACQUISITION_INPUTS = 5
# With initial weights, a step corrects about 0.7 of the difference.
INITIAL_STRENGTH = 0.8


@dataclass(frozen=True, kw_only=True)
class ArSSR3Config(ArSSR2Config):
    """Configuration of ArSSR3, with the hidden units of the encoder's modulator, from scale and profile to gains."""

    KINDS = ("arssr3",)
    ADOPTS = ArSSR2Config.KINDS
    BOUNDS = MappingProxyType({**ArSSR2Config.BOUNDS, "modulator_width": (MODULATOR_WIDTH, 512)})

    kind: str = "arssr3"
    modulator_width: int = 64


class ArSSR3(ArSSR2):
    """Encoder and decoder as one network; see the module docstring."""

    config: ArSSR3Config
    uses_profile: ClassVar[bool] = True

    def __init__(self, config: ArSSR3Config) -> None:
        super().__init__(config)
        width, inputs = config.modulator_width, AXIS_INPUTS + ACQUISITION_INPUTS
        self.scale_modulation = modulator(3 + 3 * ACQUISITION_INPUTS, 2 * config.channels * config.blocks, width)
        self.axis_modulation = nn.ModuleList(modulator(inputs, 2 * config.feature_channels) for _ in range(3))
        self.strength = nn.Linear(width, 1)
        for parameter in (*self.scale_modulation[2].parameters(), *self.strength.parameters()):
            nn.init.zeros_(parameter)
        nn.init.constant_(self.strength.bias, INITIAL_STRENGTH)

    def block_modulation(
        self, scale: Tensor, acquisition: Tensor | None = None
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return one gain and one shift per block, shape (N, C, 1, 1, 1), for a scale and its slice profiles."""
        return self._split(self.scale_modulation[2](self._hidden(scale, acquisition)))

    def correction_strength(self, told: Conditioning) -> Tensor:
        """Return the strength of each correction step, 0 to 1, shape (N,)."""
        return torch.sigmoid(self.strength(self._hidden(told.scale, told.acquisition))).squeeze(1)

    def _hidden(self, scale: Tensor, acquisition: Tensor | None) -> Tensor:
        """Return the hidden units of the encoder's modulator, shape (N, modulator_width)."""
        inputs = torch.cat([torch.log2(scale), _of_finer_axes(scale, acquisition).flatten(1)], dim=1)
        hidden: Tensor = self.scale_modulation[:2](inputs)
        return hidden

    def _with_acquisition(self, inputs: Tensor, axis: int, told: Conditioning | None) -> Tensor:
        """Append the slice profile along an axis."""
        acquisition = told.acquisition if told else None
        values = _of_finer_axes(checked_scale(told, inputs[None] if inputs.ndim == 2 else inputs), acquisition)[:, axis]
        # One volume has positions (K,), several have (N, K).
        values = values[0] if inputs.ndim == 2 else values[:, None]
        return torch.cat([inputs, values.to(inputs).expand(*inputs.shape[:-1], -1)], dim=-1)

    def residual_of_block(
        self, features: Tensor, positions: tuple[Tensor, Tensor, Tensor], told: Conditioning
    ) -> Tensor:
        """Return the residuals of a block of fine voxels at once; differentiable, for training.

        Args:
            features: Feature map of one patch without the spline coefficients, shape (C, d, h, w).
            positions: Continuous indices of the fine voxels along k, j, i.
            told: The conditioning that `encode` was given for this patch, N = 1.

        Returns:
            One value for each combination of the positions, to be added to the spline.
        """
        features = features.permute(1, 2, 3, 0)
        shifts = []
        for axis, position in enumerate(positions):
            cell = (1 / told.scale[0, axis]).expand(len(position))
            shape = [1, 1, 1, -1]
            shape[axis] = len(position)
            gain, shift = (part.view(shape) for part in self.position_modulation(axis, position, cell, told))
            # The gain of an axis commutes with interpolation along other axes; before it, there are fewer voxels.
            features = _interpolated(features, axis, position) * gain
            shifts.append(shift)
        hidden = features + (shifts[0] + shifts[1] + shifts[2])
        hidden = F.leaky_relu(hidden, SLOPE)
        for layer in self.hidden:
            hidden = F.leaky_relu(layer(hidden), SLOPE)
        residual: Tensor = RESIDUAL_GAIN * self.output(hidden).squeeze(-1)
        return residual

    @classmethod
    def adopting(cls, weights: SuperResolutionModel, config: ModelConfig) -> SuperResolutionModel:
        """Return an ArSSR3 initialized with other weights; with those of an ArSSR2, it gives the same results."""
        if not isinstance(config, ArSSR3Config) or type(weights) is not ArSSR2:
            return weights.grown(config)
        shared = {name: getattr(config, name) for name in dataclasses.asdict(weights.config) if name != "kind"}
        network = weights.grown(ArSSR2Config(**shared))
        told = cls(config)
        state = told.state_dict()
        with torch.no_grad():
            for name, value in network.state_dict().items():
                # Additional inputs have no effect at first, and additional hidden units are not read at first.
                if state[name].shape != value.shape and name != "scale_modulation.0.bias":
                    state[name][: len(value)] = 0
                state[name][tuple(slice(n) for n in value.shape)] = value
        told.load_state_dict(state)
        return told


def _of_finer_axes(scale: Tensor, acquisition: Tensor | None) -> Tensor:
    """Return the profiles of the axes that become finer, shape (N, 3, 5); the profiles of other axes are set to 0."""
    if acquisition is None:
        return torch.zeros(len(scale), 3, ACQUISITION_INPUTS, device=scale.device)
    return acquisition.to(scale) * (scale > 1)[..., None]


def _interpolated(features: Tensor, axis: int, position: Tensor) -> Tensor:
    """Interpolate features, shape (d, h, w, C), linearly along one axis by a matrix product."""
    index, weight = linear_taps(position, features.shape[axis])
    matrix = torch.zeros(len(position), features.shape[axis], device=features.device)
    matrix = matrix.scatter_add(1, index.to(features.device), weight.to(matrix))
    if axis == 2:
        return matrix @ features
    shape = list(features.shape)
    shape[axis] = len(position)
    return (matrix @ features.flatten(axis + 1)).reshape(shape)


KINDS = {"arssr3": (ArSSR3Config, ArSSR3)}
