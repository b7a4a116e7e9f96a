"""Networks for one scale, the baselines of the paper: they improve a volume upsampled by cubic interpolation.

The networks of `fine_networks` compute on the fine grid. To train, load and upsample like networks for any scale, they
use the coefficients of the cubic spline as the feature map, and run once the fine grid is known:
`FixedScale.query_grid` runs them on a block and a margin of the receptive radius, `FixedScale.query` on the whole
patch.

This file handles tensors only: no millimeters, files or scanner units.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import torch
from torch import Tensor, nn

from ArSSRLib.convolution.slabs import Advance, unobserved
from ArSSRLib.coordinates import QueryGrid
from ArSSRLib.errors import InputError
from ArSSRLib.interpolation import in_full_precision, spline_coefficients, spline_on_grid
from ArSSRLib.model.config import ModelConfig
from ArSSRLib.model.fine_networks import NETWORKS
from ArSSRLib.model.interface import Answer, Conditioning, Progress, SuperResolutionModel, check_volume, mixed_precision

# Coarse voxels beyond those that a spline reads after which its prefilter has decayed (0.268 per voxel: 1e-7).
PREFILTER_REACH = 12
# Bytes per fine voxel while it is predicted and converted.
ANSWER_BYTES = 24


@dataclass(frozen=True, kw_only=True)
class FixedScaleConfig(ModelConfig):
    """Configuration of a network for one scale, which improves a volume upsampled by cubic interpolation.

    Attributes:
        kind: "srcnn3d", "dcsrn" or "rescnn".
        scale: Factor along every axis for which it is trained, unitless.
    """

    KINDS = tuple(NETWORKS)
    BOUNDS = MappingProxyType({"scale": (1.0, 16.0)})

    kind: str = "srcnn3d"
    scale: float = 2.0

    @property
    def only_scale(self) -> float:
        """The only scale that the network supports, along every axis, unitless."""
        return self.scale

    @property
    def outputs_image(self) -> bool:
        """Whether the network outputs the image itself, which half precision would round, rather than a residual."""
        return not NETWORKS[self.kind].adds_to_input


class FixedScale(SuperResolutionModel):
    """Cubic interpolation to the fine grid of one scale, and a network on it."""

    config: FixedScaleConfig
    slabs_independent: ClassVar[bool] = False

    def __init__(self, config: FixedScaleConfig) -> None:
        super().__init__(config)
        self.network = NETWORKS[config.kind]()

    @property
    def receptive_radius(self) -> int:
        """Radius of the receptive field in coarse voxels, including the four that a spline reads."""
        return math.ceil(self.network.receptive_radius / self.config.scale) + 2

    @property
    def halo(self) -> int:
        """Coarse margin that makes a tile exact."""
        return self.receptive_radius + PREFILTER_REACH

    @property
    def bytes_per_coarse_voxel(self) -> int:
        """Peak memory on the fine grid in bytes per coarse voxel, in fp32 and without gradients."""
        return math.ceil(self.config.scale**3 * (4 * self.network.live_channels + ANSWER_BYTES))

    def check_scale(self, coarse: Sequence[int], fine: Sequence[int]) -> None:
        """Refuse any scale other than that of the training, except for the rounding of sizes to whole voxels."""
        scale = self.config.scale
        if any(abs(new - scale * old) > scale / 2 + 1e-6 for old, new in zip(coarse, fine, strict=True)):
            asked = " x ".join(f"{new / old:.4g}" for old, new in zip(coarse[::-1], fine[::-1], strict=True))
            msg = (
                f"{self.name or self.config.kind} was trained for a scale of {scale:g} along every axis, not for "
                f"{asked}. Ask for {scale:g}, choose a model for any scale such as arssr2, or train one for another "
                "scale along every axis with --set model.scale=..."
            )
            raise InputError(msg)

    def encode(self, volume: Tensor, told: Conditioning | None = None) -> Tensor:
        """Return the coefficients of the cubic splines of volumes, shape (N, 1, D, H, W), float32."""
        check_volume(volume)
        return spline_coefficients(volume.float())

    def query(self, feature_map: Tensor, coordinates: Tensor, told: Conditioning | None = None) -> Tensor:
        """Predict scattered points by the fine voxels that contain them.

        The feature map must be that of a whole patch: the fine grid begins at its first face.
        """
        check_volume(feature_map, "feature_map")
        if coordinates.ndim != 3 or coordinates.shape[::2] != (len(feature_map), 3):
            msg = f"coordinates must be ({len(feature_map)}, K, 3), got {tuple(coordinates.shape)}."
            raise ValueError(msg)
        factor = self.config.scale
        lengths = [n * factor for n in feature_map.shape[2:]]
        # All fine voxels with their centers inside the patch, with a tolerance; the last one may extend beyond it.
        counts = [math.floor(length - 0.5 + 1e-6) + 1 for length in lengths]
        positions = [(torch.arange(count, dtype=torch.float64) + 0.5) / factor - 0.5 for count in counts]
        fine = self._improved(spline_on_grid(feature_map, positions), self.network)[:, 0]
        row = torch.zeros(coordinates.shape[:2], dtype=torch.int64, device=coordinates.device)
        for axis, (length, count) in enumerate(zip(lengths, fine.shape[1:], strict=True)):
            index = torch.floor((coordinates[..., axis] + 1) * (length / 2)).long()
            row = row * count + index.clamp(0, count - 1)
        return torch.gather(fine.flatten(1), 1, row)

    def query_grid(
        self, feature_map: Tensor, grid: QueryGrid, told: Conditioning | None = None, advance: Advance = unobserved
    ) -> Tensor:
        """Predict a regular block of fine voxels, at the distances in ``told``, which account for rounded sizes."""
        check_volume(feature_map, "feature_map")
        factors = [self.config.scale] * 3 if told is None else told.scale[0].tolist()
        positions, inside = [], []
        for position, factor, count in zip(grid.sampling, factors, feature_map.shape[2:], strict=True):
            wider, before = _widened(position, factor, count, self.network.receptive_radius)
            positions.append(wider)
            inside.append(slice(before, before + len(position)))
        k, j, i = inside
        fine = self._improved(spline_on_grid(feature_map, positions), lambda cubic: self.network.lean(cubic, advance))
        return fine[0, 0, k, j, i]

    def encode_tile(self, volume: Tensor, told: Conditioning, progress: Progress) -> Answer:
        """Encode a tile; the network runs when a block is queried."""
        feature_map = self.encode(volume, told)
        return lambda grid: self.query_grid(feature_map, grid, told, self.in_parts(progress))

    def forward(
        self, coarse: Tensor, told: Conditioning, coordinates: Tensor, *, placed: Tensor, bf16: bool = False
    ) -> Tensor:
        """Predict points of patches; the layers to be computed in mixed precision follow the interpolation."""
        with mixed_precision(coarse.device, bf16=bf16):
            return self.query(self.encode(coarse, told), coordinates)

    def compilable_layers(self) -> list[nn.Module]:
        """Return the network on the fine grid."""
        return [self.network]

    def _improved(self, cubic: Tensor, network: Callable[[Tensor], Tensor]) -> Tensor:
        """Return interpolated volumes, shape (N, 1, D, H, W), improved by the network, float32."""
        if self.network.adds_to_input:
            return cubic + network(cubic).float()
        # bf16 would round the image itself to 8 bits.
        with in_full_precision(cubic.device):
            return network(cubic)


def _widened(position: Tensor, scale: float, count: int, radius: int) -> tuple[Tensor, int]:
    """Extend an axis by up to ``radius`` fine voxels at both ends, as far as their centers lie in its ``count`` voxels.

    Returned are the extended vector of continuous coarse indices, and the number of voxels added at its start.
    """
    before = min(radius, math.floor((position[0].item() + 0.5) * scale))
    after = min(radius, math.floor((count - 0.5 - position[-1].item()) * scale))
    lower = position[0] - torch.arange(before, 0, -1, dtype=position.dtype) / scale
    upper = position[-1] + torch.arange(1, after + 1, dtype=position.dtype) / scale
    return torch.cat([lower, position, upper]), before


KINDS = {kind: (FixedScaleConfig, FixedScale) for kind in FixedScaleConfig.KINDS}
