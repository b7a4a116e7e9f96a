"""Interpolation and decoder of the published network in one kernel; the reference is `ArSSR.query_grid`.

Unfused, every fine voxel writes and reads its activations layer by layer: 8 kB of memory traffic for 363,008
multiplications, which is the bottleneck on a GPU. Here, a block of voxels stays in registers and shared memory from the
feature map to the intensity, and only the weights are streamed, from the level-2 cache.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from ArSSRLib.kernels.pieces import EXTENTS, catenated, product, sampled
from ArSSRLib.kernels.tables import SMALLEST, AxisTables, PackedLayers, padded


class Block(NamedTuple):
    """The block size of one program of the kernel.

    Attributes:
        rows: Fine voxels, a power of two.
        columns: Columns of a layer that are computed at once: a quarter of the largest width, or more.
        warps: Number of warps, groups of 32 threads.
    """

    rows: int
    columns: int
    warps: int


# The weights (726 kB in 16 bits) are read once per block, from the level-2 cache, so more rows are better. Hopper's
# matrix instructions read both factors from shared memory, so the registers of four warps hold the sums of 128 rows,
# and two blocks share a multiprocessor: one loads while the other multiplies. On other GPUs, the factors also need
# registers, and 128 rows do not fit (for compute capability 8.0, 25 kB per thread were spilled; 280 bytes with 64 rows
# and eight warps). These values come from the compiler output; `Testing/gpu/run.py` times these and other block sizes.
HOPPER, OTHERS = Block(128, 64, 4), Block(64, 64, 8)


@triton.jit
def columns_of(
    x: tl.tensor,
    k: tl.tensor,
    j: tl.tensor,
    i: tl.tensor,
    matrix: tl.tensor,
    vectors: tl.tensor,
    start: tl.constexpr,
    inputs: tl.constexpr,
    outputs: tl.constexpr,
    columns: tl.constexpr,
    first: tl.constexpr,
    widen: tl.constexpr,
) -> tl.tensor:
    """Return some columns of relu(x W + b), float32; the ``first`` layer of a stage also adds k r0 + j r1 + i r2.

    The vectors are b, or r0, r1, r2 and b.
    """
    column = start + tl.arange(0, columns)
    total = product(x, matrix, start, inputs, outputs, columns, widen)
    if first:
        total += k[:, None] * tl.load(vectors + column)[None, :]
        total += j[:, None] * tl.load(vectors + outputs + column)[None, :]
        total += i[:, None] * tl.load(vectors + 2 * outputs + column)[None, :]
        vectors += 3 * outputs
    return tl.maximum(total + tl.load(vectors + column)[None, :], 0.0)


@triton.jit
def layer_of(
    x: tl.tensor,
    k: tl.tensor,
    j: tl.tensor,
    i: tl.tensor,
    matrix: tl.tensor,
    vectors: tl.tensor,
    rows: tl.constexpr,
    inputs: tl.constexpr,
    outputs: tl.constexpr,
    columns: tl.constexpr,
    first: tl.constexpr,
    widen: tl.constexpr,
) -> tl.tensor:
    """Return a layer, (rows, outputs), see `columns_of`, tile by tile; the outputs are 1, 2 or 4 tiles of columns."""
    kind = matrix.dtype.element_ty
    result = columns_of(x, k, j, i, matrix, vectors, 0, inputs, outputs, columns, first, widen).to(kind)
    if outputs > columns:
        right = columns_of(x, k, j, i, matrix, vectors, columns, inputs, outputs, columns, first, widen).to(kind)
        result = catenated(result, right, rows, columns)
    if outputs > 2 * columns:
        third = columns_of(x, k, j, i, matrix, vectors, 2 * columns, inputs, outputs, columns, first, widen).to(kind)
        fourth = columns_of(x, k, j, i, matrix, vectors, 3 * columns, inputs, outputs, columns, first, widen).to(kind)
        result = catenated(result, catenated(third, fourth, rows, columns), rows, 2 * columns)
    return result


@triton.jit
def hidden_layers(
    x: tl.tensor,
    k: tl.tensor,
    j: tl.tensor,
    i: tl.tensor,
    matrix: tl.tensor,
    vectors: tl.tensor,
    rows: tl.constexpr,
    inputs: tl.constexpr,
    width: tl.constexpr,
    hidden: tl.constexpr,
    columns: tl.constexpr,
    widen: tl.constexpr,
) -> tl.tensor:
    """Return a stage without its last layer, (rows, width)."""
    x = layer_of(x, k, j, i, matrix, vectors, rows, inputs, width, columns, True, widen)
    matrix += inputs * width
    for layer in range(hidden):
        square, bias = matrix + layer * width * width, vectors + (4 + layer) * width
        x = layer_of(x, k, j, i, square, bias, rows, width, width, columns, False, widen)
    return x


@triton.jit
def column_of(x: tl.tensor, number: tl.constexpr, columns: tl.constexpr) -> tl.tensor:
    """Return one column of x, one number per row."""
    return tl.sum(tl.where(tl.arange(0, columns)[None, :] == number, x, 0.0), axis=1)


@triton.jit(do_not_specialize=EXTENTS)
def decode_block(
    result: tl.tensor,
    features: tl.tensor,
    index: tl.tensor,
    weight: tl.tensor,
    query: tl.tensor,
    matrices: tl.tensor,
    vectors: tl.tensor,
    coarse_height: tl.tensor,
    coarse_width: tl.tensor,
    depth: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    rows: tl.constexpr,
    channels: tl.constexpr,
    inputs: tl.constexpr,
    units: tl.constexpr,
    hidden: tl.constexpr,
    columns: tl.constexpr,
    feature_columns: tl.constexpr,
    few: tl.constexpr,
    widen: tl.constexpr,
) -> None:
    """Predict one block of ``rows`` fine voxels, numbered through the grid (depth, height, width)."""
    count = depth * height * width
    place = tl.program_id(0) * rows + tl.arange(0, rows)
    row = tl.minimum(place, count - 1)  # the last block computes some voxels twice, which avoids masks everywhere
    k, j, i = row // (height * width), depth + row // width % height, depth + height + row % width
    x = sampled(features, index, weight, k, j, i, coarse_height, coarse_width, rows, channels, inputs)
    x = x.to(matrices.dtype.element_ty)
    k, j, i = tl.load(query + k), tl.load(query + j), tl.load(query + i)

    stage_matrices = inputs * units + hidden * units * units + units * few
    stage_vectors = (4 + hidden) * units + few
    h = hidden_layers(x, k, j, i, matrices, vectors, rows, inputs, units, hidden, columns, widen)
    ends, biases = matrices + stage_matrices - units * few, vectors + stage_vectors - few
    moves = columns_of(h, k, j, i, ends, biases, 0, units, few, few, False, widen)
    k += column_of(moves, 0, few)
    j += column_of(moves, 1, few)
    i += column_of(moves, 2, few)
    skip, bias = matrices + 2 * stage_matrices, vectors + 2 * stage_vectors
    change = layer_of(h, k, j, i, skip, bias, rows, units, inputs, feature_columns, False, widen)
    x = (x.to(tl.float32) + change.to(tl.float32)).to(matrices.dtype.element_ty)

    matrices += stage_matrices
    vectors += stage_vectors
    h = hidden_layers(x, k, j, i, matrices, vectors, rows, inputs, units, hidden, columns, widen)
    ends, biases = matrices + stage_matrices - units * few, vectors + stage_vectors - few
    intensities = columns_of(h, k, j, i, ends, biases, 0, units, few, few, False, widen)
    intensity = column_of(intensities, 0, few)
    tl.store(result + place, intensity, mask=place < count)


def block_of(device: torch.device) -> Block:
    """Return the block size for a device."""
    hopper = device.type == "cuda" and torch.cuda.get_device_capability(device)[0] == 9
    return HOPPER if hopper else OTHERS


def decode_grid(features: Tensor, tables: AxisTables, layers: PackedLayers, *, block: Block | None = None) -> Tensor:
    """Predict a regular block of fine voxels.

    Args:
        features: Feature map, shape (d, h, w, C), contiguous, in the number format of ``layers``.
        tables: From `axis_tables`, with zero padding.
        layers: From `pack_published`.
        block: Block size of a program; the default for the device if None.

    Returns:
        Intensities, shape ``tables.shape``, float32.
    """
    rows, columns, warps = block or block_of(features.device)
    result = torch.empty(tables.shape, device=features.device)
    inputs = padded(layers.channels)
    decode_block[(triton.cdiv(result.numel(), rows),)](
        result,
        features,
        tables.index,
        tables.weight,
        tables.query,
        layers.matrices,
        layers.vectors,
        *features.shape[1:3],
        *tables.shape,
        rows=rows,
        channels=layers.channels,
        inputs=inputs,
        units=layers.width,
        hidden=layers.hidden,
        columns=min(columns, layers.width),
        feature_columns=min(columns, inputs),
        few=SMALLEST,
        widen=features.device.type == "cpu" and features.dtype == torch.bfloat16,
        num_warps=warps,
        num_stages=1,
    )
    return result
