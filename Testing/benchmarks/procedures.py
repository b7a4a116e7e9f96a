"""The yardsticks: both networks in plain PyTorch, and the published procedure.

They use the layers of the engine but none of its other code, so that improvements of the engine do not make its own
yardstick faster. Encoding is `torch.nn.functional.conv3d` with every concatenation and padded copy, decoding is
`grid_sample`, one slice of the output after another.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, cast

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor, nn

from ArSSRLib.checkpoint import DEFAULT_MODEL, load_model, registry
from ArSSRLib.model.arssr import ArSSR, ArSSRConfig
from ArSSRLib.model.arssr2 import ArSSR2, ArSSR2Config
from ArSSRLib.model.encoders import RDN, DenseBlock, DenseLayer

Network: TypeAlias = ArSSR | ArSSR2
Box: TypeAlias = tuple[slice, slice, slice]
LAYOUT = Path(__file__).resolve().parents[1] / "reference" / "layout.json"
# Coarse voxels around a box that is computed alone: more than the receptive field of any encoder (28) and of a spline.
MARGIN = 32


@dataclass(frozen=True)
class Features:
    """The result of encoding.

    Attributes:
        feature_map: Shape (1, C, d, h, w).
        coefficients: Coefficients of the cubic spline of arssr2, shape (d, h, w), float64; None for the published
            network.
        crop: Position of the feature map in the volume, slices along k, j, i.
        volume_shape: Voxels of the volume along k, j, i.
        fine_shape: Voxels of the output along k, j, i.
    """

    feature_map: Tensor
    coefficients: np.ndarray | None
    crop: Box
    volume_shape: tuple[int, int, int]
    fine_shape: tuple[int, int, int]


def published_network() -> ArSSR:
    """Return the published network with RDN encoder and the weights of the golden vectors.

    They are drawn from a seed by the rule in ``Testing/reference/layout.json``: the authors' weights are not included,
    and affect neither time nor rounding.
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
    """Return the default model and a description of its weights: bundled, or seeded if there are none."""
    if DEFAULT_MODEL in [entry.name for entry in registry()]:
        return load_model(DEFAULT_MODEL), "bundled weights"
    torch.manual_seed(0)
    return ArSSR2(ArSSR2Config()).eval(), "seeded weights, none are bundled"


@torch.no_grad()
def encode_every_slice(model: Network, volume: Tensor, fine_shape: tuple[int, int, int]) -> Tensor:
    """Upsample like the published script, which runs the encoder again for every slice of the output.

    Args:
        model: The published network with RDN encoder.
        volume: Normalized intensities, shape (1, 1, D, H, W).
        fine_shape: Shape of the output, (k, j, i).

    Returns:
        Normalized intensities, shape ``fine_shape``.
    """
    slices = [_query(model, encode(model, volume, fine_shape), points) for points in _slices_of_points(fine_shape)]
    return torch.cat(slices).view(fine_shape)


@torch.no_grad()
def encode_once(model: Network, volume: Tensor, fine_shape: tuple[int, int, int], *, box: Box | None = None) -> Tensor:
    """Upsample a box of the output, or all of it; the part that the box needs is encoded once.

    Args:
        model: The published network with RDN encoder, or arssr2.
        volume: Normalized intensities, shape (1, 1, D, H, W).
        fine_shape: Shape of the output, (k, j, i).
        box: Slices of the output along k, j, i; None for the whole.

    Returns:
        Normalized intensities in the shape of the box.
    """
    return query_slices(model, encode(model, volume, fine_shape, box=box), box=box)


@torch.no_grad()
def encode(model: Network, volume: Tensor, fine_shape: Sequence[int], *, box: Box | None = None) -> Features:
    """Encode a volume, shape (1, 1, D, H, W), or the part that a box of its output needs."""
    shape = cast("tuple[int, int, int]", tuple(volume.shape[2:]))
    fine = cast("tuple[int, int, int]", tuple(fine_shape))
    crop = _crop_for(box, shape, fine) if box else cast("Box", tuple(slice(0, n) for n in shape))
    cropped = volume[(..., *crop)]
    if isinstance(model, ArSSR):
        return Features(_encode_published(cast("RDN", model.encoder), cropped), None, crop, shape, fine)
    scale = torch.tensor([[m / n for m, n in zip(fine, shape, strict=True)]], dtype=torch.float32)
    coefficients = ndimage.spline_filter(cropped[0, 0].double().numpy(), order=3, mode="mirror")
    return Features(_encode_ours(model, cropped, scale), coefficients, crop, shape, fine)


@torch.no_grad()
def query_slices(model: Network, features: Features, *, box: Box | None = None) -> Tensor:
    """Predict a box of the output, or all of it, slice by slice; return its shape."""
    shape = features.fine_shape if box is None else tuple(s.stop - s.start for s in box)
    slices = [_query(model, features, points) for points in _slices_of_points(features.fine_shape, box)]
    return torch.cat(slices).view(*shape)


def _slices_of_points(fine_shape: tuple[int, int, int], box: Box | None = None) -> Iterator[Tensor]:
    """Yield the coordinates of each slice, shape (1, K, 3) in (k, j, i) order, out of those of the whole grid."""
    axes = [(2 * torch.arange(n) + 1) / n - 1 for n in fine_shape]
    if box:
        axes = [axis[inside] for axis, inside in zip(axes, box, strict=True)]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).view(1, -1, 3)
    yield from torch.split(points, len(axes[1]) * len(axes[2]), dim=1)


def _crop_for(box: Box, shape: Sequence[int], fine_shape: Sequence[int]) -> Box:
    crop = []
    for inside, n, m in zip(box, shape, fine_shape, strict=True):
        first, stop = math.floor(inside.start * n / m) - MARGIN, math.ceil(inside.stop * n / m) + MARGIN
        crop.append(slice(max(0, first), min(n, stop)))
    return (crop[0], crop[1], crop[2])


def _positions(features: Features, points: Tensor) -> Tensor:
    """Return continuous voxel indices in the crop, shape (1, K, 3), float64."""
    shape = torch.tensor(features.volume_shape)
    return ((points.double() + 1) * shape - 1) / 2 - torch.tensor([s.start for s in features.crop])


def _sampled(features: Features, positions: Tensor, padding: str) -> Tensor:
    """Return the feature vector at each position, shape (1, K, C)."""
    shape = torch.tensor(features.feature_map.shape[2:])
    grid = ((2 * positions + 1) / shape - 1).float().flip(-1)[:, None, None]  # grid_sample reads (x, y, z)
    sampled = F.grid_sample(features.feature_map, grid, padding_mode=padding, align_corners=False)
    return sampled[:, :, 0, 0].transpose(1, 2)


def _query(model: Network, features: Features, points: Tensor) -> Tensor:
    """Sample the feature map and run the decoder for all points at once; returns shape (K,).

    Source:
        Wu et al. 2023, Eq. 4 and Fig. 3, https://doi.org/10.1109/JBHI.2022.3223106
    """
    positions = _positions(features, points)
    if isinstance(model, ArSSR2):
        return _query_ours(model, features, positions)
    inputs = torch.cat([_sampled(features, positions, "zeros"), points], dim=-1)
    return cast("Tensor", model.decoder.stage_two(inputs + model.decoder.stage_one(inputs)))[0, :, 0]


def _encode_published(encoder: RDN, volume: Tensor) -> Tensor:
    """Run a residual dense network as described, with every concatenation.

    Source:
        Zhang et al. 2018, Figs. 2 and 3, https://doi.org/10.1109/CVPR.2018.00262, in 3-D as in Wu et al. 2023.
    """
    shallow = _convolve(encoder.sfe1, volume)
    features = _convolve(encoder.sfe2, shallow)
    outputs = []
    for block in cast("list[DenseBlock]", encoder.rdbs):
        dense = features
        for layer in cast("list[DenseLayer]", block.layers):
            dense = torch.cat([dense, F.relu(_convolve(layer.conv, dense))], dim=1)
        features = features + _convolve(block.lff, dense)
        outputs.append(features)
    fusion = cast("list[nn.Conv3d]", encoder.gff)
    fused = _convolve(fusion[1], _convolve(fusion[0], torch.cat(outputs, dim=1)))
    return _convolve(encoder.output, fused + shallow)


def _encode_ours(model: ArSSR2, volume: Tensor, scale: Tensor) -> Tensor:
    """Run the encoder of arssr2 or arssr3 as described; its constants are repeated deliberately, and tested."""
    mean = F.avg_pool3d(F.pad(volume, (2,) * 6, mode="replicate"), 5, stride=1)
    blocks, channels = model.config.blocks, model.config.channels
    modulation = _untold(model.scale_modulation, torch.log2(scale)).view(2, blocks, 1, channels, 1, 1, 1)
    gains, shifts = 0.5 * torch.tanh(modulation[0]), modulation[1]
    features = _convolve(model.head, torch.cat([volume, 10 * (volume - mean)], dim=1))
    for block, gain, shift in zip(model.blocks, gains, shifts, strict=True):
        hidden = F.leaky_relu(_convolve(cast("nn.Conv3d", block.first), features) * (1 + gain) + shift, 0.1)
        features = features + 0.2 * _convolve(cast("nn.Conv3d", block.second), hidden)
    return _convolve(model.tail, features)


def _untold(modulator: nn.Module, inputs: Tensor) -> Tensor:
    """Run a modulator; for arssr3, an unknown slice profile is a row of zeros after the other inputs."""
    return cast("Tensor", modulator(F.pad(inputs, (0, modulator[0].in_features - inputs.shape[-1]))))


def _convolve(layer: nn.Conv3d, features: Tensor) -> Tensor:
    """Pad and convolve with PyTorch's functions, regardless of the implementation of the layer."""
    radius = layer.kernel_size[0] // 2
    if layer.padding_mode == "replicate":
        return F.conv3d(F.pad(features, (radius,) * 6, mode="replicate"), layer.weight, layer.bias)
    return F.conv3d(features, layer.weight, layer.bias, padding=radius)


def _query_ours(model: ArSSR2, features: Features, positions: Tensor) -> Tensor:
    """Modulate sampled features, decode them and add the cubic spline; return shape (K,)."""
    gain, shift = torch.ones(()), torch.zeros(())
    for axis in range(3):
        position = positions[..., axis]
        turn = 2 * math.pi * (position - position.floor())
        cell = torch.full_like(turn, features.volume_shape[axis] / features.fine_shape[axis])
        inputs = torch.stack([turn.sin(), turn.cos(), (2 * turn).sin(), (2 * turn).cos(), cell], dim=-1).float()
        axis_gain, axis_shift = _untold(model.axis_modulation[axis], inputs).chunk(2, dim=-1)
        gain, shift = gain * (1 + axis_gain), shift + axis_shift
    hidden = F.leaky_relu(_sampled(features, positions, "border") * gain + shift, 0.1)
    for layer in model.hidden:
        hidden = F.leaky_relu(layer(hidden), 0.1)
    places = positions[0].T.numpy()
    base = ndimage.map_coordinates(features.coefficients, places, order=3, mode="mirror", prefilter=False)
    return torch.from_numpy(base).float() + 0.05 * model.output(hidden)[0, :, 0]
