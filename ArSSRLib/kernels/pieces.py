"""Functions in Triton's language that the fused kernels share.

They compute blocks of rows (fine voxels) by columns (channels). Tensor arguments are pointers to their first element,
as usual in Triton. Arguments marked ``constexpr`` are known when a kernel is compiled.

Only this file and the two kernels import Triton: PyTorch includes it on Linux with CUDA, but not on other systems.
"""

from __future__ import annotations

import triton
import triton.language as tl

# Numbers of voxels along an axis, for which a kernel is not specialized: Triton would compile it again for values that
# are 1 or divisible by 16, which takes seconds without making it faster.
EXTENTS = ["coarse_height", "coarse_width", "depth", "height", "width"]


@triton.jit
def product(
    x: tl.tensor,
    matrix: tl.tensor,
    start: tl.constexpr,
    inputs: tl.constexpr,
    outputs: tl.constexpr,
    columns: tl.constexpr,
    widen: tl.constexpr,
) -> tl.tensor:
    """Return ``columns`` columns from ``start`` of x W in float32; ``matrix`` holds W, (inputs, outputs) row-major."""
    row, column = tl.arange(0, inputs), start + tl.arange(0, columns)
    weights = tl.load(matrix + row[:, None] * outputs + column[None, :])
    if widen:  # Triton's interpreter treats bf16 as integers; the products in float32 are the same
        x, weights = x.to(tl.float32), weights.to(tl.float32)
    return tl.dot(x, weights, out_dtype=tl.float32, input_precision="ieee")


@triton.jit
def catenated(left: tl.tensor, right: tl.tensor, rows: tl.constexpr, columns: tl.constexpr) -> tl.tensor:
    """Return two blocks of ``columns`` columns side by side."""
    return tl.reshape(tl.permute(tl.join(left, right), (0, 2, 1)), (rows, 2 * columns))


@triton.jit
def sampled(
    features: tl.tensor,
    index: tl.tensor,
    weight: tl.tensor,
    k: tl.tensor,
    j: tl.tensor,
    i: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    rows: tl.constexpr,
    channels: tl.constexpr,
    columns: tl.constexpr,
) -> tl.tensor:
    """Interpolate the feature map linearly; ``k``, ``j``, ``i`` are their entries in the tables, per row or for all."""
    total = tl.zeros((rows, columns), dtype=tl.float32)
    column = tl.arange(0, columns)[None, :]
    for corner in range(8):
        a, b, c = 2 * k + corner // 4, 2 * j + corner // 2 % 2, 2 * i + corner % 2
        # 64 bits: a large feature map has more than 2^31 values.
        voxel = (tl.load(index + a).to(tl.int64) * height + tl.load(index + b)) * width + tl.load(index + c)
        part = tl.load(weight + a) * tl.load(weight + b) * tl.load(weight + c)
        address = features + voxel[:, None] * channels + column
        total += part[:, None] * tl.load(address, mask=column < channels, other=0.0).to(tl.float32)
    return total
