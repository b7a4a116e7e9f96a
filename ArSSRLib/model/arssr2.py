"""ArSSR2: cubic interpolation plus a learned residual.

Differences from the published network and their reasons, each measured:

* The output is the cubic spline plus a residual whose last layer starts at zero, so an untrained network equals cubic.
* The decoder receives the position of a point *inside its coarse voxel* and the size of a fine voxel, per axis, but not
  its position in the volume, so that training on patches applies to whole volumes and to thick slices.
* That position is encoded as sines and cosines, which are continuous across voxel faces and therefore avoid ripple.
* Replicate padding is used throughout, so that the outermost voxels do not fade.
* The first layer of the decoder is the last convolution of the encoder: interpolation and linear layers commute.

This file handles tensors only: no millimeters, files or scanner units.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ArSSRLib.convolution.slabs import Advance, dilations, unobserved
from ArSSRLib.coordinates import Box, QueryGrid, grown, index_of, linear_taps, shrunk, whole_box, within
from ArSSRLib.errors import InputError
from ArSSRLib.interpolation import linear_along, spline_at_points, spline_coefficients, spline_on_grid
from ArSSRLib.model.blocks import DETAIL_RADIUS, SLOPE, ResidualBlock, modulator, with_detail
from ArSSRLib.model.config import ModelConfig
from ArSSRLib.model.convolutions import collected_into, entry
from ArSSRLib.model.decoder import features_at_points
from ArSSRLib.model.interface import Conditioning, SuperResolutionModel, check_volume

# Approximate number of fine voxels decoded at once, so that their hidden features stay in the cache.
CHUNK_VOXELS = 4096
# The same for a GPU, which is faster with few large steps.
DEVICE_CHUNK_VOXELS = 2**18
# The last convolutions of an approximate answer compute all that its features depend on. Earlier ones widen their box
# half as fast; outside it, they read the features of earlier blocks.
WHOLE = 6
# Sine and cosine of one and two periods per coarse voxel, and the cell size.
AXIS_INPUTS = 5
# Scales the residual down, as the detail channel is scaled up: both then match the usual weights and learning rates.
RESIDUAL_GAIN = 0.05


@dataclass(frozen=True, kw_only=True)
class ArSSR2Config(ModelConfig):
    """Configuration of ArSSR2.

    Attributes:
        channels: Channels inside the encoder.
        blocks: Residual blocks of the encoder.
        feature_channels: Channels of the feature map and of the decoder.
        decoder_layers: Layers of the decoder, including the last convolution of the encoder.
        max_scale: Largest scale for which the network is designed, unitless.
    """

    KINDS = ("arssr2",)
    BOUNDS = MappingProxyType(
        {
            "channels": (1, 192),
            "blocks": (1, 32),
            "feature_channels": (1, 512),
            "decoder_layers": (1, 16),
            "max_scale": (1.0, 64.0),
        }
    )

    kind: str = "arssr2"
    channels: int = 48
    blocks: int = 6
    feature_channels: int = 64
    decoder_layers: int = 2
    max_scale: float = 8.0

    @property
    def largest_scale(self) -> float:
        """The largest scale for which the network is designed, unitless."""
        return self.max_scale


class ArSSR2(SuperResolutionModel):
    """Encoder and decoder as one network; see the module docstring."""

    config: ArSSR2Config
    answers_locally: ClassVar[bool] = True

    def __init__(self, config: ArSSR2Config) -> None:
        super().__init__(config)
        channels, width = config.channels, config.feature_channels
        self.head = nn.Conv3d(2, channels, 3, padding=1, padding_mode="replicate")
        self.blocks = nn.ModuleList(ResidualBlock(channels) for _ in range(config.blocks))
        self.tail = nn.Conv3d(channels, width, 3, padding=1, padding_mode="replicate")
        self.scale_modulation = modulator(3, 2 * channels * config.blocks)
        self.axis_modulation = nn.ModuleList(modulator(AXIS_INPUTS, 2 * width) for _ in range(3))
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(config.decoder_layers - 1))
        self.output = nn.Linear(width, 1)
        self._initialize()

    def _initialize(self) -> None:
        """Initialize the weights: features keep their size from layer to layer, and the residual starts at zero."""
        for name, parameter in self.named_parameters():
            layer = name.rpartition(".")[0]
            if layer in ("scale_modulation.2", "output"):
                nn.init.zeros_(parameter)
            elif layer in ("head", "tail") or layer.startswith(("blocks", "hidden")):
                nn.init.zeros_(parameter) if parameter.ndim == 1 else nn.init.kaiming_normal_(
                    parameter, nonlinearity="relu"
                )

    @property
    def receptive_radius(self) -> int:
        """Radius of the receptive field of a feature, in coarse voxels."""
        return DETAIL_RADIUS + 2 + 2 * self.config.blocks

    @property
    def halo(self) -> int:
        """Coarse margin that makes a tile exact: the receptive radius and the spline's four taps."""
        # The spline prefilter has infinite support; it decays by a factor of 0.268 per voxel, 1e-9 over 16 voxels.
        return max(self.receptive_radius, 14) + 2

    @property
    def bytes_per_coarse_voxel(self) -> int:
        """Peak memory of encoding in bytes per coarse voxel, in fp32: two feature maps and a few volumes."""
        channels, width = self.config.channels, self.config.feature_channels
        return 4 * (max(2 * channels, channels + width + 1) + 6)

    def encode(self, volume: Tensor, told: Conditioning | None = None) -> Tensor:
        """Compute feature maps.

        Returns:
            Feature maps, shape (N, C, D, H, W) with C = feature_channels + 1; the last channel holds the coefficients
            of the cubic spline, float32.
        """
        gains, shifts = self._checked_modulation(volume, told)
        features = self.head(with_detail(volume))
        for block, gain, shift in zip(self.blocks, gains, shifts, strict=True):
            features = block(features, gain, shift)
        # Channels last, so that interpolation reads one contiguous row per voxel.
        coefficients = spline_coefficients(volume.float())
        parts = [self.tail(features).float().permute(0, 2, 3, 4, 1), coefficients.permute(0, 2, 3, 4, 1)]
        return torch.cat(parts, dim=-1).permute(0, 4, 1, 2, 3)

    def encode_lean(self, volume: Tensor, told: Conditioning | None = None, advance: Advance = unobserved) -> Tensor:
        """Compute the feature map of `encode` for one volume, without gradients and with little memory."""
        return self.encode_box(volume, whole_box(volume.shape[2:]), told, advance)

    def encode_box(
        self,
        volume: Tensor,
        box: Box,
        told: Conditioning | None = None,
        advance: Advance = unobserved,
        *,
        halo: int | None = None,
        needed: Tensor | None = None,
    ) -> Tensor:
        """Return the feature map of a box; each convolution computes only what later ones depend on."""
        gains, shifts = self._checked_modulation(volume, told)
        shape, convolutions = volume.shape[2:], 2 * len(self.blocks)
        inner = shrunk(box, 1, shape)
        # The convolution after the blocks reads one more voxel than the blocks must compute.
        layers = grown(inner, convolutions + 1 if halo is None else min(halo, convolutions + 1), shape)
        features = entry(self.head, with_detail(volume)[0].permute(1, 2, 3, 0).contiguous(), advance, box=layers)
        here = within(inner, layers)
        masks: list[Tensor] | list[None] = [None] * (convolutions + 1)
        hidden = torch.empty_like(features)
        if needed is not None:
            masks = dilations(needed[within(inner, box)[:2]], here[:2], features.shape[:2], convolutions)
            hidden.zero_()  # steps of several planes read a little more than the masks, which must be finite
        for number, (block, gain, shift) in enumerate(zip(self.blocks, gains, shifts, strict=True)):
            first = convolutions - 2 * number  # the convolutions after the first one of the block
            if halo is not None:
                first = min(first, halo, (first + WHOLE) // 2)
            boxes = grown(here, first, features.shape), grown(here, first - 1, features.shape)
            folded = {"gain": gain[0, :, 0, 0, 0], "shift": shift[0, :, 0, 0, 0]}
            around = _cut(masks[first], boxes[0]), _cut(masks[first - 1], boxes[1])
            cast("ResidualBlock", block).add_to(features, hidden, advance, **folded, boxes=boxes, needed=around)
        del hidden
        k, j, i = (s.stop - s.start for s in box)
        result = torch.zeros(k, j, i, self.config.feature_channels + 1, device=volume.device)
        part = result[within(inner, box)][..., :-1]
        collected_into(part, self.tail, features, advance, box=here, needed=_cut(masks[0], here))
        result[..., -1] = spline_coefficients(volume[0, 0].float())[box]
        return result.permute(3, 0, 1, 2)[None]

    def query(self, feature_map: Tensor, coordinates: Tensor, told: Conditioning | None = None) -> Tensor:
        """Predict the intensities at scattered points, in float32."""
        if coordinates.ndim != 3 or coordinates.shape[::2] != (len(feature_map), 3):
            msg = f"coordinates must be ({len(feature_map)}, K, 3), got {tuple(coordinates.shape)}."
            raise ValueError(msg)
        scale = checked_scale(told, feature_map)
        positions = [index_of(coordinates[..., axis], n) for axis, n in enumerate(feature_map.shape[2:])]
        features = features_at_points(feature_map[:, :-1], positions)
        gain = torch.ones((), device=feature_map.device)
        shift = torch.zeros((), device=feature_map.device)
        for axis in range(3):
            cell = (1 / scale[:, axis : axis + 1]).expand_as(positions[axis])
            axis_gain, axis_shift = self.position_modulation(axis, positions[axis], cell, told)
            gain, shift = gain * axis_gain, shift + axis_shift
        base = spline_at_points(feature_map[:, -1], positions)
        return base + self._decode(features, gain, shift).float()

    def query_grid(self, feature_map: Tensor, grid: QueryGrid, told: Conditioning | None = None) -> Tensor:
        """Predict a regular block of fine voxels: equal to `query` at its points, but faster."""
        scale = checked_scale(told, feature_map)
        device, dtype = feature_map.device, feature_map.dtype
        result = spline_on_grid(feature_map[0, -1], grid.sampling)
        features = feature_map[0, :-1].permute(1, 2, 3, 0)
        taps = []
        modulation = []
        for axis, positions in enumerate(grid.sampling):
            index, weight = linear_taps(positions, features.shape[axis])
            taps.append((index.to(device), weight.to(device, dtype)))
            cell = (1 / scale[0, axis]).expand(len(positions))
            modulation.append(self.position_modulation(axis, positions.to(device, torch.float32), cell, told))
        for axis in (1, 2):
            if grid.shape[axis] == 1:  # a plane across it: interpolated once, not for each k
                features = linear_along(features, axis, *taps[axis])
                taps[axis] = linear_taps(torch.zeros(1, device=device, dtype=dtype), 1)
        (gain_k, shift_k), (gain_j, shift_j), (gain_i, shift_i) = modulation
        chunk = CHUNK_VOXELS if device.type == "cpu" else DEVICE_CHUNK_VOXELS
        rows = max(1, chunk // grid.shape[2])
        for k in range(grid.shape[0]):
            plane = linear_along(features, 0, taps[0][0][k : k + 1], taps[0][1][k : k + 1])[0]
            for start in range(0, grid.shape[1], rows):
                j = slice(start, start + rows)
                block = linear_along(linear_along(plane, 0, taps[1][0][j], taps[1][1][j]), 1, *taps[2])
                gain = (gain_k[k] * gain_j[j])[:, None] * gain_i
                shift = (shift_k[k] + shift_j[j])[:, None] + shift_i
                result[k, j] += self._decode(block, gain, shift).float()
        return result

    def _decode(self, features: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
        """Decode interpolated features and their modulation, shape (*S, C), into residuals, shape (*S,)."""
        hidden = F.leaky_relu_(torch.addcmul(shift, features, gain), SLOPE)
        for layer in self.hidden:
            hidden = F.leaky_relu_(layer(hidden), SLOPE)
        return RESIDUAL_GAIN * cast("Tensor", self.output(hidden)).squeeze(-1)

    def position_modulation(
        self, axis: int, position: Tensor, cell: Tensor, told: Conditioning | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return gain and shift along an axis, shape (*S, C), at positions in coarse voxels, shape (K,) or (N, K).

        ``cell`` is the size of a fine voxel in coarse voxels, in the shape of ``position``.
        """
        # The whole part is removed before the precision is reduced.
        phase = (2 * math.pi * (position - torch.floor(position))).to(cell.dtype)
        inputs = torch.stack([phase.sin(), phase.cos(), (2 * phase).sin(), (2 * phase).cos(), cell], dim=-1)
        inputs = self._with_acquisition(inputs, axis, told)
        gain, shift = self.axis_modulation[axis](inputs).chunk(2, dim=-1)
        return 1 + gain, shift

    def _with_acquisition(self, inputs: Tensor, axis: int, told: Conditioning | None) -> Tensor:
        """Return the inputs of the modulation of an axis, shape (*S, I); this network does not use the acquisition."""
        return inputs

    def block_modulation(
        self, scale: Tensor, acquisition: Tensor | None = None
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return one gain and one shift per block, shape (N, C, 1, 1, 1), for factors of shape (N, 3)."""
        return self._split(self.scale_modulation(torch.log2(scale)))

    def _split(self, modulation: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return the gains and shifts of all blocks from the output of the modulator, shape (N, 2 * blocks * C)."""
        modulation = modulation.view(len(modulation), 2, self.config.blocks, self.config.channels, 1, 1, 1)
        # Bounded, so that features cannot grow exponentially from block to block at any scale.
        return (0.5 * torch.tanh(modulation[:, 0])).unbind(1), modulation[:, 1].unbind(1)

    def _checked_modulation(
        self, volume: Tensor, told: Conditioning | None
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        check_volume(volume)
        return self.block_modulation(checked_scale(told, volume), told.acquisition if told else None)

    def compilable_layers(self) -> list[nn.Module]:
        """Return the residual blocks only: compiling more would trace the cached spline matrices into every step."""
        return list(self.blocks)

    def grown(self, config: ModelConfig) -> SuperResolutionModel:
        """Return a network with additional residual blocks, which contribute nothing at first.

        Source:
            Function-preserving growth: Chen et al. 2016, https://arxiv.org/abs/1511.05641
        """
        old, new = self.config.blocks, getattr(config, "blocks", 0)
        if config == self.config or config != dataclasses.replace(self.config, blocks=new or old):
            return super().grown(config)
        if new < old:
            msg = (
                f"The initial weights have {old} residual blocks, but model.blocks = {new} is fewer; choose at least "
                f"{old}."
            )
            raise InputError(msg)
        deeper = type(self)(dataclasses.replace(self.config, blocks=new))
        modulation = ("scale_modulation.2.weight", "scale_modulation.2.bias")
        own = self.state_dict()
        state = deeper.state_dict() | {name: value for name, value in own.items() if name not in modulation}
        for name in modulation:
            # One gain and one shift per block and channel, gains before shifts; those of new blocks are 0.
            rows = state[name].view(2, new, self.config.channels, -1)
            rows[:, :old] = own[name].view(2, old, self.config.channels, -1)
        deeper.load_state_dict(state)
        for block in list(deeper.blocks)[old:]:
            for parameter in cast("ResidualBlock", block).second.parameters():
                nn.init.zeros_(parameter)
        return deeper


def _cut(mask: Tensor | None, box: Box) -> Tensor | None:
    """Return the planes and rows of a mask in a box."""
    return None if mask is None else mask[box[:2]]


def checked_scale(told: Conditioning | None, like: Tensor) -> Tensor:
    """Return the scale factors of the conditioning, shape (N, 3), on the device of ``like``; 2 if there is none."""
    if told is None:
        return torch.full((len(like), 3), 2.0, device=like.device)
    if told.scale.shape != (len(like), 3):
        msg = f"scale must be ({len(like)}, 3), got {tuple(told.scale.shape)}."
        raise ValueError(msg)
    return told.scale.to(like.device, torch.float32)


KINDS = {"arssr2": (ArSSR2Config, ArSSR2)}
