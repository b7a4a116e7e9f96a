"""From feature vectors and query coordinates to intensities, and the interpolation of feature vectors.

The layers have the names of the authors' checkpoints.
"""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ArSSRLib.coordinates import linear_taps


class Decoder(nn.Module):
    """Two stages of linear layers, each layer followed by a ReLU, with the input added between the stages.

    Args:
        inputs: Channels of the feature map plus three coordinates.
        depth: Linear layers per stage.
        width: Channels between the layers.

    Source:
        Wu et al. 2023, Fig. 2; the text counts the layers differently from the published checkpoints, followed here.
    """

    def __init__(self, inputs: int, depth: int, width: int) -> None:
        super().__init__()
        self.stage_one = _stage([inputs, *[width] * (depth - 1), inputs])
        self.stage_two = _stage([inputs, *[width] * (depth - 1), 1])

    def forward(self, points: Tensor) -> Tensor:
        """Map points, shape (*S, inputs), to intensities, shape (*S,)."""
        return cast("Tensor", self.stage_two(points + self.stage_one(points))).squeeze(-1)


def _stage(widths: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def sample_features(feature_map: Tensor, coordinates: Tensor) -> Tensor:
    """Interpolate a feature map trilinearly at scattered points.

    Args:
        feature_map: Encoder output, shape (N, C, D, H, W).
        coordinates: Points in (k, j, i) order, shape (N, K, 3), unitless;
            -1 and +1 are the outer faces of the first and the last voxel.

    Returns:
        One feature vector per point, shape (N, K, C), at least float32.

    Raises:
        ValueError: If ``coordinates`` is not (N, K, 3) with the N of ``feature_map``.

    Source:
        Wu et al. 2023, Eq. 4 and Fig. 3, https://doi.org/10.1109/JBHI.2022.3223106
    """
    if coordinates.ndim != 3 or coordinates.shape[::2] != (len(feature_map), 3):
        msg = f"coordinates must be ({len(feature_map)}, K, 3), got {tuple(coordinates.shape)}."
        raise ValueError(msg)
    dtype = torch.promote_types(feature_map.dtype, torch.float32)
    grid = coordinates.flip(-1)[:, None, None].to(dtype)  # grid_sample reads (x, y, z): (N, 1, 1, K, 3)
    # Zero padding darkens the outermost half voxel; the published weights were trained with it.
    features = F.grid_sample(feature_map.to(dtype), grid, padding_mode="zeros", align_corners=False)
    return features[:, :, 0, 0].transpose(1, 2)


def features_at_points(feature_map: Tensor, positions: list[Tensor]) -> Tensor:
    """Interpolate a feature map (N, C, D, H, W) trilinearly at continuous indices, three (N, K); returns (N, K, C)."""
    count, channels, *shape = feature_map.shape
    index = torch.arange(count, device=feature_map.device)[:, None, None]
    weight = torch.ones((1, 1, 1), device=feature_map.device)
    for axis, position in enumerate(positions):
        taps, parts = linear_taps(position, shape[axis])
        index = (index[..., None] * shape[axis] + taps[:, :, None]).flatten(2)
        weight = (weight[..., None] * parts[:, :, None]).flatten(2)
    # A weighted sum of eight rows per point is an embedding bag, which is three times faster than grid_sample.
    rows = feature_map.permute(0, 2, 3, 4, 1).reshape(-1, channels)
    bags = F.embedding_bag(
        index.flatten(0, 1), rows, per_sample_weights=weight.flatten(0, 1).to(rows.dtype), mode="sum"
    )
    return bags.view(count, -1, channels)
