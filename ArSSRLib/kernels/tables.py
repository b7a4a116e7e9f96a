"""Inputs of the fused kernels: packed weights, and a small table for the axes of a block.

Written in plain PyTorch, so that it can be tested without Triton. Matrices are padded with zeros to powers of two of at
least 16: a padded unit is zero after its rectifier and has zero weights in the next layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ArSSRLib.coordinates import QueryGrid, linear_taps
from ArSSRLib.kernels.transfer import to_device
from ArSSRLib.model.decoder import Decoder

# The smallest extent of a matrix product on tensor cores.
SMALLEST = 16
# The largest padded decoders whose layers fit into the registers and the shared memory of a multiprocessor.
LARGEST_CHANNELS, LARGEST_WIDTH = 128, 256


@dataclass(frozen=True)
class PackedLayers:
    """The weights of a decoder in two buffers; the kernels know where each layer begins.

    Attributes:
        matrices: All matrices, (inputs, outputs) row-major, concatenated, in the number format of the products.
        vectors: All vectors that are added or multiplied row by row, concatenated, float32.
        channels: Channels of the feature map, before padding.
        width: Channels between the layers, after padding.
        hidden: Number of layers from ``width`` to ``width`` channels (of each stage).
    """

    matrices: Tensor
    vectors: Tensor
    channels: int
    width: int
    hidden: int


@dataclass(frozen=True)
class AxisTables:
    """Where the fine voxels of a block read the feature map: the axes k, j, i, concatenated.

    Attributes:
        index: The two coarse voxels read for each position, shape (K + J + I, 2), int32.
        weight: Their weights, shape (K + J + I, 2), float32.
        query: Query coordinate of each position, shape (K + J + I,), float32.
        shape: Fine voxels along k, j, i.
    """

    index: Tensor
    weight: Tensor
    query: Tensor
    shape: tuple[int, int, int]


def padded(count: int) -> int:
    """Return the padded extent of a matrix: the next power of two, at least `SMALLEST`."""
    return max(SMALLEST, 1 << (count - 1).bit_length())


def axis_tables(grid: QueryGrid, coarse: Sequence[int], device: torch.device, *, padding: str) -> AxisTables:
    """Return the tables of a block of fine voxels.

    Args:
        grid: Positions of the fine voxels.
        coarse: Shape of the feature map, (k, j, i).
        device: Device for the tables.
        padding: "zeros" or "border", see `linear_taps`.
    """
    taps = [
        linear_taps(position, count, padding=padding) for position, count in zip(grid.sampling, coarse, strict=True)
    ]
    index = torch.cat([index for index, _ in taps]).int()
    weight = torch.cat([weight for _, weight in taps]).float()
    query = torch.cat(grid.query).float()
    index, weight, query = (to_device(table, device) for table in (index, weight, query))
    return AxisTables(index, weight, query, grid.shape)


def pack_published(decoder: Decoder, channels: int, number_format: torch.dtype) -> PackedLayers:
    """Pack the published decoder.

    The three query coordinates are not channels here: in bf16, they would not distinguish neighboring fine voxels.
    Their contribution to a layer stays in float32, as rows that are multiplied by a coordinate and added.

    Args:
        decoder: The decoder, on the device of the feature map.
        channels: Channels of the feature map: the decoder's inputs without the coordinates.
        number_format: Number format of the products.

    Returns:
        Matrices: for each stage, its first layer, its hidden layers, and the outputs of its last layer other than
        features; then the feature outputs of the last layer of the first stage. Vectors: for each stage, three
        coordinate rows, the bias of the first layer, the biases of the hidden layers, and the bias of the last layer
        other than features; then the bias of the features. The outputs other than features are three coordinates in
        the first stage, and the intensity in the second.
    """
    stages = [
        [part for part in stage if isinstance(part, nn.Linear)] for stage in (decoder.stage_one, decoder.stage_two)
    ]
    width, inputs = padded(stages[0][0].out_features), padded(channels)
    skip, last = stages[0][-1], stages[1][-1]
    ends = [(skip.weight[channels:], skip.bias[channels:]), (last.weight, last.bias)]
    matrices, vectors = [], []
    for (first, *hidden, _), (weight, bias) in zip(stages, ends, strict=True):
        matrices.append(_grown(first.weight[:, :channels].T, inputs, width))
        vectors += [_grown(first.weight[:, channels:].T, 3, width), _grown(first.bias, width)]
        for layer in hidden:
            matrices.append(_grown(layer.weight.T, width, width))
            vectors.append(_grown(layer.bias, width))
        matrices.append(_grown(weight.T, width, SMALLEST))
        vectors.append(_grown(bias, SMALLEST))
    matrices.append(_grown(skip.weight[:channels].T, width, inputs))
    vectors.append(_grown(skip.bias[:channels], inputs))
    return PackedLayers(
        _joined(matrices, number_format), _joined(vectors, torch.float32), channels, width, len(stages[0]) - 2
    )


def pack_residual(hidden: Sequence[nn.Module], output: nn.Linear, number_format: torch.dtype) -> PackedLayers:
    """Pack the decoder of arssr2.

    Args:
        hidden: Its linear layers, each from C to C channels.
        output: The layer from C channels to the residual.
        number_format: Format of the products.

    Returns:
        Matrices: the hidden layers. Vectors: their biases, the weights of the output layer, and its bias.
    """
    layers = [cast("nn.Linear", layer) for layer in hidden]
    channels = output.in_features
    width = padded(channels)
    matrices = [_grown(layer.weight.T, width, width) for layer in layers]
    vectors = [_grown(layer.bias, width) for layer in layers]
    vectors += [_grown(output.weight[0], width), output.bias]
    # A decoder of one layer has no matrix, but a kernel needs a valid pointer.
    matrices = matrices or [output.weight.new_zeros(1)]
    return PackedLayers(_joined(matrices, number_format), _joined(vectors, torch.float32), channels, width, len(layers))


def _grown(tensor: Tensor, *shape: int) -> Tensor:
    """Return a vector or a matrix, padded with zeros at its ends to ``shape``."""
    margins = [margin for old, new in zip(tensor.shape[::-1], shape[::-1], strict=True) for margin in (0, new - old)]
    return F.pad(tensor, margins)


def _joined(parts: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    return torch.cat([part.detach().flatten() for part in parts]).to(dtype)
