"""The published network: an encoder on the coarse grid, and a decoder that predicts the intensity at any point.

It keeps the properties with which the published weights were trained, including their defects: absolute coordinates,
zero padding, and no knowledge of the scale. This file handles tensors only: no millimeters, files or scanner units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import torch
from torch import Tensor, nn

from ArSSRLib.convolution.slabs import Advance, unobserved
from ArSSRLib.coordinates import QueryGrid, linear_taps
from ArSSRLib.errors import InputError
from ArSSRLib.interpolation import combine_taps
from ArSSRLib.model.config import ModelConfig
from ArSSRLib.model.decoder import Decoder, sample_features
from ArSSRLib.model.encoders import ENCODERS, WIDTH
from ArSSRLib.model.interface import Conditioning, SuperResolutionModel, check_volume, mixed_precision

# Fine voxels decoded at once: few enough to keep the activations of the decoder in the cache of a processor core, or
# enough to fill a GPU.
CHUNK_VOXELS = {"cpu": 2048}
CHUNK_VOXELS_ELSEWHERE = 131072

# Keys of the authors' checkpoints that identify an encoder, and that determine the size of its feature map.
_ENCODER_KEYS = {
    "RDN": ("encoder.sfe1.weight", "encoder.output.weight"),
    "ResCNN": ("encoder.conv_start.0.weight", "encoder.conv_end.0.weight"),
    "SRResNet": ("encoder.features.0.0.weight", "encoder.features.20.0.weight"),
}


@dataclass(frozen=True, kw_only=True)
class ArSSRConfig(ModelConfig):
    """The published network.

    Attributes:
        encoder: "RDN", "ResCNN" or "SRResNet".
        feature_channels: Channels of the feature map.
        decoder_depth: Linear layers in each of the decoder's two stages.
        decoder_width: Channels between these layers.

    Source:
        Wu et al. 2023, https://doi.org/10.1109/JBHI.2022.3223106
    """

    KINDS = ("arssr",)
    BOUNDS = MappingProxyType({"feature_channels": (1, 512), "decoder_depth": (2, 16), "decoder_width": (1, 1024)})
    COORDINATES = ("patch", "volume")

    kind: str = "arssr"
    encoder: str = "RDN"
    feature_channels: int = 128
    decoder_depth: int = 4
    decoder_width: int = 256

    def __post_init__(self) -> None:
        """Refuse invalid values."""
        super().__post_init__()
        if self.encoder not in ENCODERS:
            msg = f'The model\'s encoder is "{self.encoder}"; choose one of {", ".join(ENCODERS)}.'
            raise InputError(msg)


class ArSSR(SuperResolutionModel):
    """The published network; it loads the authors' checkpoints unchanged.

    Source:
        Wu et al. 2023, https://doi.org/10.1109/JBHI.2022.3223106
    """

    config: ArSSRConfig
    # Relative to its large decoder, the encoder costs less than in other networks.
    encoding_cost: ClassVar[float] = 8.0

    def __init__(self, config: ArSSRConfig) -> None:
        super().__init__(config)
        self.encoder = ENCODERS[config.encoder](config.feature_channels)
        self.decoder = Decoder(config.feature_channels + 3, config.decoder_depth, config.decoder_width)

    @property
    def halo(self) -> int:
        """Coarse margin that makes a tile exact: the receptive radius, and one neighbor for interpolation."""
        return self.encoder.receptive_radius + 1

    @property
    def bytes_per_coarse_voxel(self) -> int:
        """Bytes that encoding holds per coarse voxel at its peak, in fp32 and without gradients."""
        return 4 * max(self.encoder.live_channels, 2 * WIDTH + self.config.feature_channels)

    def encode(self, volume: Tensor, told: Conditioning | None = None) -> Tensor:
        """Compute feature maps; the published network does not use the scale."""
        check_volume(volume)
        feature_map: Tensor = self.encoder(volume)
        return feature_map

    def encode_lean(self, volume: Tensor, told: Conditioning | None = None, advance: Advance = unobserved) -> Tensor:
        """Compute the feature map of `encode` for one volume, without gradients and with little memory."""
        check_volume(volume)
        return self.encoder.lean(volume, advance)

    def query(
        self,
        feature_map: Tensor,
        coordinates: Tensor,
        told: Conditioning | None = None,
        *,
        sampling_coordinates: Tensor | None = None,
    ) -> Tensor:
        """Predict the intensities at scattered points in the whole volume, shape (N, K, 3), the input of the decoder.

        ``sampling_coordinates`` are the same points in the encoded crop; None if that is the whole volume.
        """
        self._check_feature_map(feature_map)
        sampling = coordinates if sampling_coordinates is None else sampling_coordinates
        if sampling.shape != coordinates.shape:
            msg = f"sampling_coordinates must be {tuple(coordinates.shape)}, got {tuple(sampling.shape)}."
            raise ValueError(msg)
        features = sample_features(feature_map, sampling)
        intensities: Tensor = self.decoder(torch.cat([features, coordinates.to(features.dtype)], dim=-1))
        return intensities.to(features.dtype)

    @torch.no_grad()
    def query_grid(self, feature_map: Tensor, grid: QueryGrid, told: Conditioning | None = None) -> Tensor:
        """Predict a regular block of fine voxels, without gradients.

        Raises:
            ValueError: If ``feature_map`` is not (1, C, d, h, w), or the grid leaves it.
        """
        self._check_feature_map(feature_map)
        _check_grid(feature_map, grid)
        device = feature_map.device
        # Convert the type before the device: MPS does not support float64.
        coordinates = [axis.float().to(device) for axis in grid.query]
        taps = []
        for position, count in zip(grid.sampling, feature_map.shape[2:], strict=True):
            index, weight = linear_taps(position, count, padding="zeros")
            taps.append((index.to(device), weight.float().to(device)))
        features = feature_map[0].permute(1, 2, 3, 0).contiguous()
        result = torch.empty(grid.shape, device=device)
        plane_chunks, row_chunks = _chunks(grid.shape, CHUNK_VOXELS.get(device.type, CHUNK_VOXELS_ELSEWHERE))
        for planes in plane_chunks:
            slab = combine_taps(features, 0, *(tap[planes] for tap in taps[0]))
            for rows in row_chunks:
                block = combine_taps(combine_taps(slab, 1, *(tap[rows] for tap in taps[1])), 2, *taps[2])
                points = block.new_empty(*block.shape[:-1], block.shape[-1] + 3)
                points[..., :-3] = block
                points[..., -3] = coordinates[0][planes, None, None]
                points[..., -2] = coordinates[1][rows, None]
                points[..., -1] = coordinates[2]
                result[planes, rows] = self.decoder(points)
        return result

    def forward(
        self, coarse: Tensor, told: Conditioning, coordinates: Tensor, *, placed: Tensor, bf16: bool = False
    ) -> Tensor:
        """Predict points of patches; the decoder receives their positions in the volume, or in the patch."""
        with mixed_precision(coarse.device, bf16=bf16):
            feature_map = self.encode(coarse)
        return self.query(feature_map, placed, sampling_coordinates=coordinates)

    def compilable_layers(self) -> list[nn.Module]:
        """Return the encoder and the decoder."""
        return [self.encoder, self.decoder]

    def _check_feature_map(self, feature_map: Tensor) -> None:
        channels = self.config.feature_channels
        if feature_map.ndim != 5 or feature_map.shape[1] != channels:
            msg = f"feature_map must be (N, {channels}, D, H, W), got {tuple(feature_map.shape)}."
            raise ValueError(msg)


def published_config(shapes: Mapping[str, tuple[int, ...]]) -> ArSSRConfig:
    """Return the configuration of the published network in a checkpoint with tensors of these shapes.

    Raises:
        InputError: If it does not contain a published network.
    """
    for encoder, (start, end) in _ENCODER_KEYS.items():
        if start in shapes and len(shapes.get(end, ())) == 5 and len(shapes.get("decoder.stage_one.0.weight", ())) == 2:
            return ArSSRConfig(
                encoder=encoder,
                feature_channels=shapes[end][0],
                decoder_depth=sum(key.startswith("decoder.stage_one.") and key.endswith(".weight") for key in shapes),
                decoder_width=shapes["decoder.stage_one.0.weight"][0],
            )
    msg = f"none of the published encoders ({', '.join(_ENCODER_KEYS)}) with its decoder is in it"
    raise InputError(msg)


def _check_grid(feature_map: Tensor, grid: QueryGrid) -> None:
    """Refuse a block outside the feature map, where the result would be dark without any error."""
    if len(feature_map) != 1:
        msg = f"feature_map must contain one volume, got {len(feature_map)}; query them one by one."
        raise ValueError(msg)
    for name, query, sampling, count in zip("kji", grid.query, grid.sampling, feature_map.shape[2:], strict=True):
        if query.ndim != 1 or query.shape != sampling.shape or len(query) == 0:
            msg = f"Axis {name} of the grid must be two vectors of one length, got {query.shape} and {sampling.shape}."
            raise ValueError(msg)
        low, high = sampling.min().item(), sampling.max().item()
        if not (low > -0.5 - 1e-6 and high < count - 0.5 + 1e-6):
            msg = f"Axis {name} of the grid samples indices {low:g} to {high:g}, but the crop has {count} voxels there."
            raise ValueError(msg)


def _chunks(shape: tuple[int, int, int], voxels: int) -> tuple[list[slice], list[slice]]:
    """Split a block into planes, and planes into rows, so that a chunk has about ``voxels`` voxels."""
    depth, height, width = shape
    planes = max(1, voxels // (height * width))
    rows = max(1, voxels // (planes * width))
    return [slice(k, k + planes) for k in range(0, depth, planes)], [slice(j, j + rows) for j in range(0, height, rows)]


KINDS = {"arssr": (ArSSRConfig, ArSSR)}
