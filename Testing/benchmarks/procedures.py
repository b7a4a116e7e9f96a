"""The published network, answered in the published way, step by step towards ours.

The published way is written here in plain PyTorch, on the layers of the engine but without its code: what the engine
learns later must not make its own yardstick faster.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample, relu

from ArSSRLib.checkpoint import DEFAULT_MODEL, load_model, registry
from ArSSRLib.model.arssr import ArSSR
from ArSSRLib.model.arssr2 import ArSSR2
from ArSSRLib.model.config import ArSSR2Config, ArSSRConfig
from ArSSRLib.model.encoders import RDN, DenseBlock, DenseLayer

LAYOUT = Path(__file__).resolve().parents[1] / "reference" / "layout.json"


def published_network() -> ArSSR:
    """Return the published network with RDN encoder and the weights of the golden vectors.

    They are drawn from a seed by the rule in ``Testing/reference/layout.json``: the authors' weights are not here, and
    neither time nor rounding depends on them.
    """
    layout = json.loads(LAYOUT.read_text(encoding="utf-8"))
    random = np.random.default_rng(layout["seed"])
    state = {}
    for key, shape in layout["encoders"]["RDN"]["keys"]:
        values = random.standard_normal(shape, dtype=np.float32)
        values *= np.float32(np.sqrt(1 / np.prod(shape[1:])) if len(shape) > 1 else 0.05)
        state[key] = torch.from_numpy(values)
    model = ArSSR(ArSSRConfig(encoder="RDN"))
    model.load_state_dict(state)
    return model.eval()


def default_network() -> tuple[ArSSR | ArSSR2, str]:
    """Return the default model and a word on its weights: bundled, or drawn from a seed where none are."""
    if DEFAULT_MODEL in [entry.name for entry in registry()]:
        return load_model(DEFAULT_MODEL), "bundled weights"
    torch.manual_seed(0)
    return ArSSR2(ArSSR2Config()).eval(), "seeded weights, none are bundled"


@torch.no_grad()
def encode_every_slice(model: ArSSR, volume: Tensor, fine_shape: tuple[int, int, int]) -> Tensor:
    """Answer as the published script does: it runs the encoder again for every slice of the output.

    Args:
        model: Network with RDN encoder.
        volume: Normalized intensities, shape (1, 1, D, H, W).
        fine_shape: Shape of the output, (k, j, i).

    Returns:
        Normalized intensities, shape ``fine_shape``.
    """
    slices = [
        _query(model, _encode(cast("RDN", model.encoder), volume), points) for points in _slices_of_points(fine_shape)
    ]
    return torch.cat(slices).view(fine_shape)


@torch.no_grad()
def encode_once(model: ArSSR, volume: Tensor, fine_shape: tuple[int, int, int]) -> Tensor:
    """Answer as `encode_every_slice`, but encode the volume once."""
    feature_map = _encode(cast("RDN", model.encoder), volume)
    return torch.cat([_query(model, feature_map, points) for points in _slices_of_points(fine_shape)]).view(fine_shape)


def _slices_of_points(fine_shape: tuple[int, int, int]) -> Iterator[Tensor]:
    """Yield the coordinates of each slice, shape (1, K, 3) in (k, j, i) order, out of those of the whole grid."""
    axes = [(2 * torch.arange(n) + 1) / n - 1 for n in fine_shape]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).view(1, -1, 3)
    yield from torch.split(points, fine_shape[1] * fine_shape[2], dim=1)


def _encode(encoder: RDN, volume: Tensor) -> Tensor:
    """Run a residual dense network as it is drawn, with every concatenation.

    Source:
        Zhang et al. 2018, Figs. 2 and 3, https://doi.org/10.1109/CVPR.2018.00262, in 3-D as in Wu et al. 2023.
    """
    shallow = encoder.sfe1(volume)
    features = encoder.sfe2(shallow)
    outputs = []
    for block in cast("list[DenseBlock]", encoder.rdbs):
        dense = features
        for layer in cast("list[DenseLayer]", block.layers):
            dense = torch.cat([dense, relu(layer.conv(dense))], dim=1)
        features = features + block.lff(dense)
        outputs.append(features)
    return cast("Tensor", encoder.output(encoder.gff(torch.cat(outputs, dim=1)) + shallow))


def _query(model: ArSSR, feature_map: Tensor, points: Tensor) -> Tensor:
    """Sample the feature map and run the decoder for all points at once.

    Source:
        Wu et al. 2023, Eq. 4 and Fig. 3, https://doi.org/10.1109/JBHI.2022.3223106
    """
    grid = points.flip(-1)[:, None, None]  # grid_sample reads (x, y, z)
    features = grid_sample(feature_map, grid, padding_mode="zeros", align_corners=False)[:, :, 0, 0]
    inputs = torch.cat([features.transpose(1, 2), points], dim=-1)
    return cast("Tensor", model.decoder.stage_two(inputs + model.decoder.stage_one(inputs)))[0, :, 0]
