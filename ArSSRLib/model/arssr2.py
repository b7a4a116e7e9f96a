"""Our network: cubic interpolation plus a learned residual.

What differs from the published network, and why (each measured in the project's design notes):

* the output is the cubic spline plus a residual whose last layer starts at zero: it begins as good as cubic;
* the decoder is told where a point lies *inside its coarse voxel* and how large a fine voxel is, per axis, never where
  it lies in the volume: what is learned on patches holds for whole volumes and for thick slices;
* that position enters as sines and cosines, which are continuous across the faces of coarse voxels: no ripple;
* replicate padding everywhere: the outermost voxels do not fade;
* the decoder's first layer is the encoder's last convolution, since interpolation and a linear layer commute.

This file knows tensors only: no millimeters, no files, no scanner units.
"""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ArSSRLib.coordinates import QueryGrid, index_of, linear_taps
from ArSSRLib.interpolation import spline_at_points, spline_coefficients, spline_on_grid
from ArSSRLib.model.blocks import SLOPE, ResidualBlock
from ArSSRLib.model.config import ArSSR2Config
from ArSSRLib.model.convolutions import collected_into, entry

# Rows of fine voxels decoded at once: about this many voxels, so that their hidden features stay in cache.
CHUNK_VOXELS = 4096
# A GPU wants few large steps instead.
DEVICE_CHUNK_VOXELS = 2**18
# Sine and cosine of one and two periods a coarse voxel, and the cell size.
AXIS_INPUTS = 5
MODULATOR_WIDTH = 32
# Detail, the difference from the mean of 5 x 5 x 5 voxels, is about a tenth of the range; the network sees it enlarged
# and gives its residual reduced, so that both have the size that its weights and its learning rate are made for.
DETAIL_RADIUS = 2
DETAIL_GAIN = 10.0
RESIDUAL_GAIN = 0.05


class ArSSR2(nn.Module):
    """Encoder and decoder as one network; see the head of this file.

    Args:
        config: Widths and depths.
    """

    # Plain attributes that `load_model` fills in.
    name: str = ""
    sha256: str = ""

    def __init__(self, config: ArSSR2Config) -> None:
        super().__init__()
        self.config = config
        channels, width = config.channels, config.feature_channels
        self.head = nn.Conv3d(2, channels, 3, padding=1, padding_mode="replicate")
        self.blocks = nn.ModuleList(ResidualBlock(channels) for _ in range(config.blocks))
        self.tail = nn.Conv3d(channels, width, 3, padding=1, padding_mode="replicate")
        self.scale_modulation = _modulator(3, 2 * channels * config.blocks)
        self.axis_modulation = nn.ModuleList(_modulator(AXIS_INPUTS, 2 * width) for _ in range(3))
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(config.decoder_layers - 1))
        self.output = nn.Linear(width, 1)
        self._initialize()

    def _initialize(self) -> None:
        """Keep the size of features from layer to layer, and start at cubic interpolation."""
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
        """Coarse voxels that a feature sees to each side."""
        return DETAIL_RADIUS + 2 + 2 * self.config.blocks

    @property
    def halo(self) -> int:
        """Coarse margin that makes a tile exact: the receptive radius and the spline's four taps."""
        # The spline prefilter has no finite support; it decays by 0.268 a voxel, 1e-9 over 16 voxels.
        return max(self.receptive_radius, 14) + 2

    @property
    def bytes_per_coarse_voxel(self) -> int:
        """Bytes that encoding keeps alive per coarse voxel, in fp32: two feature maps and a few volumes."""
        channels, width = self.config.channels, self.config.feature_channels
        return 4 * (max(2 * channels, channels + width + 1) + 6)

    def encode(self, volume: Tensor, scale: Tensor | None = None) -> Tensor:
        """Turn a volume into a feature map.

        Args:
            volume: Normalized intensities, shape (N, 1, D, H, W).
            scale: Factors along k, j, i, shape (N, 3); 2 along every axis when None.

        Returns:
            Feature map, shape (N, C, D, H, W) with C = feature_channels + 1; the last channel holds the coefficients
            of the cubic spline, float32.

        Raises:
            ValueError: If ``volume`` is not (N, 1, D, H, W) or ``scale`` is not (N, 3).
        """
        if volume.ndim != 5 or volume.shape[1] != 1:
            msg = f"volume must be (N, 1, D, H, W), got {tuple(volume.shape)}."
            raise ValueError(msg)
        gains, shifts = self.block_modulation(self._checked_scale(scale, volume))
        if not torch.is_grad_enabled():
            modulations = [[g[n, :, 0, 0, 0] for g in (*gains, *shifts)] for n in range(len(volume))]
            maps = [self._encode_lean(v, m) for v, m in zip(volume, modulations, strict=True)]
            return maps[0][None] if len(maps) == 1 else torch.stack(maps)
        features = self.head(with_detail(volume))
        for block, gain, shift in zip(self.blocks, gains, shifts, strict=True):
            features = block(features, gain, shift)
        features = self.tail(features)
        # Channels last, so that interpolation reads one row of memory a voxel.
        coefficients = spline_coefficients(volume.float())
        parts = [features.float().permute(0, 2, 3, 4, 1), coefficients.permute(0, 2, 3, 4, 1)]
        return torch.cat(parts, dim=-1).permute(0, 4, 1, 2, 3)

    def _encode_lean(self, volume: Tensor, modulation: list[Tensor]) -> Tensor:
        """Encode one volume (1, D, H, W) without gradients, given the gains of all blocks and then their shifts."""
        features = entry(self.head, with_detail(volume[None])[0].permute(1, 2, 3, 0).contiguous())
        hidden = torch.empty_like(features)
        count = len(self.blocks)
        for block, gain, shift in zip(self.blocks, modulation[:count], modulation[count:], strict=True):
            cast("ResidualBlock", block).add_to(features, hidden, gain=gain, shift=shift)
        del hidden
        result = torch.empty(*features.shape[:3], self.config.feature_channels + 1, device=volume.device)
        collected_into(result[..., :-1], self.tail, features)
        result[..., -1] = spline_coefficients(volume[0].float())
        return result.permute(3, 0, 1, 2)

    def query(self, feature_map: Tensor, coordinates: Tensor, scale: Tensor | None = None) -> Tensor:
        """Answer for scattered points.

        Args:
            feature_map: From `encode`, shape (N, C, D, H, W).
            coordinates: Points in (k, j, i) order, shape (N, K, 3), unitless; -1 and +1 are the outer faces of the
                encoded volume.
            scale: Factors along k, j, i, shape (N, 3); 2 along every axis when None.

        Returns:
            Intensities, shape (N, K), float32.

        Raises:
            ValueError: If ``coordinates`` is not (N, K, 3) with the N of ``feature_map``.
        """
        if coordinates.ndim != 3 or coordinates.shape[::2] != (len(feature_map), 3):
            msg = f"coordinates must be ({len(feature_map)}, K, 3), got {tuple(coordinates.shape)}."
            raise ValueError(msg)
        scale = self._checked_scale(scale, feature_map)
        shape = feature_map.shape[2:]
        positions = [index_of(coordinates[..., axis], shape[axis]) for axis in range(3)]
        features = _features_at_points(feature_map[:, :-1], positions)
        gain = torch.ones((), device=feature_map.device)
        shift = torch.zeros((), device=feature_map.device)
        for axis in range(3):
            cell = (1 / scale[:, axis : axis + 1]).expand_as(positions[axis])
            axis_gain, axis_shift = self.position_modulation(axis, positions[axis], cell)
            gain, shift = gain * axis_gain, shift + axis_shift
        base = spline_at_points(feature_map[:, -1], positions)
        return base + self._decode(features, gain, shift).float()

    def query_grid(self, feature_map: Tensor, grid: QueryGrid, scale: Tensor | None = None) -> Tensor:
        """Answer for a regular block of fine voxels; equal to `query` at its points, and faster.

        Args:
            feature_map: From `encode`, shape (1, C, d, h, w).
            grid: Where the fine voxels lie.
            scale: Factors along k, j, i, shape (1, 3); 2 along every axis when None.

        Returns:
            Intensities, shape `grid.shape`, float32.
        """
        scale = self._checked_scale(scale, feature_map)
        device, dtype = feature_map.device, feature_map.dtype
        result = spline_on_grid(feature_map[0, -1], grid.sampling)
        features = feature_map[0, :-1].permute(1, 2, 3, 0)
        taps = []
        modulation = []
        for axis, positions in enumerate(grid.sampling):
            index, weight = linear_taps(positions, features.shape[axis])
            taps.append((index.to(device), weight.to(device, dtype)))
            cell = (1 / scale[0, axis]).expand(len(positions))
            modulation.append(self.position_modulation(axis, positions.to(device, torch.float32), cell))
        (gain_k, shift_k), (gain_j, shift_j), (gain_i, shift_i) = modulation
        chunk = CHUNK_VOXELS if device.type == "cpu" else DEVICE_CHUNK_VOXELS
        rows = max(1, chunk // grid.shape[2])
        for k in range(grid.shape[0]):
            plane = _lerp(features, 0, taps[0][0][k : k + 1], taps[0][1][k : k + 1])[0]
            for start in range(0, grid.shape[1], rows):
                j = slice(start, start + rows)
                block = _lerp(_lerp(plane, 0, taps[1][0][j], taps[1][1][j]), 1, *taps[2])
                gain = (gain_k[k] * gain_j[j])[:, None] * gain_i
                shift = (shift_k[k] + shift_j[j])[:, None] + shift_i
                result[k, j] += self._decode(block, gain, shift).float()
        return result

    def _decode(self, features: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
        """Turn interpolated features and their modulation, shape (*S, C), into residuals, shape (*S,)."""
        hidden = F.leaky_relu_(torch.addcmul(shift, features, gain), SLOPE)
        for layer in self.hidden:
            hidden = F.leaky_relu_(layer(hidden), SLOPE)
        return RESIDUAL_GAIN * cast("Tensor", self.output(hidden)).squeeze(-1)

    def position_modulation(self, axis: int, position: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """Return gain and shift, shape (*S, C), for positions (*S) in coarse voxels along one axis."""
        # Whole voxels drop out before the precision does.
        phase = (2 * math.pi * (position - torch.floor(position))).to(cell.dtype)
        inputs = torch.stack([phase.sin(), phase.cos(), (2 * phase).sin(), (2 * phase).cos(), cell], dim=-1)
        gain, shift = self.axis_modulation[axis](inputs).chunk(2, dim=-1)
        return 1 + gain, shift

    def block_modulation(self, scale: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return one gain and one shift a block, shape (N, C, 1, 1, 1), for factors of shape (N, 3)."""
        modulation = self.scale_modulation(torch.log2(scale))
        modulation = modulation.view(len(scale), 2, self.config.blocks, self.config.channels, 1, 1, 1)
        # Bounded, so that no scale can multiply features from block to block.
        return (0.5 * torch.tanh(modulation[:, 0])).unbind(1), modulation[:, 1].unbind(1)

    def _checked_scale(self, scale: Tensor | None, like: Tensor) -> Tensor:
        if scale is None:
            return torch.full((len(like), 3), 2.0, device=like.device)
        if scale.shape != (len(like), 3):
            msg = f"scale must be ({len(like)}, 3), got {tuple(scale.shape)}."
            raise ValueError(msg)
        return scale.to(like.device, torch.float32)


def _modulator(inputs: int, outputs: int) -> nn.Sequential:
    """Return the small network that turns a position or a scale into gains and shifts."""
    return nn.Sequential(nn.Linear(inputs, MODULATOR_WIDTH), nn.SiLU(), nn.Linear(MODULATOR_WIDTH, outputs))


def with_detail(volume: Tensor) -> Tensor:
    """Return a volume (N, 1, D, H, W) and its enlarged detail as two channels."""
    mean = F.pad(volume, (DETAIL_RADIUS,) * 6, mode="replicate")
    mean = F.avg_pool3d(mean, 2 * DETAIL_RADIUS + 1, stride=1)
    return torch.cat([volume, DETAIL_GAIN * (volume - mean)], dim=1)


def _features_at_points(feature_map: Tensor, positions: list[Tensor]) -> Tensor:
    """Interpolate a feature map (N, C, D, H, W) trilinearly at continuous indices, three (N, K); returns (N, K, C)."""
    count, channels, *shape = feature_map.shape
    index = torch.arange(count, device=feature_map.device)[:, None, None]
    weight = torch.ones((1, 1, 1), device=feature_map.device)
    for axis, position in enumerate(positions):
        taps, parts = linear_taps(position, shape[axis])
        index = (index[..., None] * shape[axis] + taps[:, :, None]).flatten(2)
        weight = (weight[..., None] * parts[:, :, None]).flatten(2)
    # A weighted sum of eight rows a point, which is what an embedding bag is, three times faster than grid_sample.
    rows = feature_map.permute(0, 2, 3, 4, 1).reshape(-1, channels)
    bags = F.embedding_bag(
        index.flatten(0, 1), rows, per_sample_weights=weight.flatten(0, 1).to(rows.dtype), mode="sum"
    )
    return bags.view(count, -1, channels)


def _lerp(array: Tensor, axis: int, index: Tensor, weight: Tensor) -> Tensor:
    """Interpolate linearly along one axis; index and weight have shape (M, 2)."""
    shape = [1] * array.ndim
    shape[axis] = len(index)
    return torch.lerp(
        array.index_select(axis, index[:, 0]), array.index_select(axis, index[:, 1]), weight[:, 1].view(shape)
    )
