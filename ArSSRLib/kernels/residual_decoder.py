"""Interpolation, modulation and decoder of arssr2 in one kernel; the reference is `ArSSR2.query_grid`.

The decoder is small: unfused, nearly all of the time is spent on writing and reading features and modulations on the
fine grid. Here, they only exist in registers, and only the residual is written: it is added to the spline in memory.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from ArSSRLib.kernels.pieces import EXTENTS, product, sampled
from ArSSRLib.kernels.tables import AxisTables, PackedLayers

# Fine voxels along i at once: as many as the registers of four warps hold in addition to the modulation.
ROWS, WARPS = 64, 4


@triton.jit
def rectified(x: tl.tensor, slope: tl.constexpr) -> tl.tensor:
    """Return x, or ``slope`` x where it is negative."""
    return tl.where(x > 0.0, x, x * slope)


@triton.jit(do_not_specialize=EXTENTS)
def add_residual(
    result: tl.tensor,
    features: tl.tensor,
    index: tl.tensor,
    weight: tl.tensor,
    gain: tl.tensor,
    shift: tl.tensor,
    matrices: tl.tensor,
    vectors: tl.tensor,
    coarse_height: tl.tensor,
    coarse_width: tl.tensor,
    depth: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    rows: tl.constexpr,
    channels: tl.constexpr,
    columns: tl.constexpr,
    hidden: tl.constexpr,
    slope: tl.constexpr,
    residual_gain: tl.constexpr,
    widen: tl.constexpr,
) -> None:
    """Add the residual to one row of fine voxels along i, ``rows`` voxels at a time."""
    k = tl.program_id(0) // height
    j = depth + tl.program_id(0) % height
    column = tl.arange(0, columns)
    inside = column < channels
    row_gain = tl.load(gain + k * channels + column, mask=inside, other=0.0)
    row_gain *= tl.load(gain + j * channels + column, mask=inside, other=0.0)
    row_shift = tl.load(shift + k * channels + column, mask=inside, other=0.0)
    row_shift += tl.load(shift + j * channels + column, mask=inside, other=0.0)
    last = tl.load(vectors + hidden * columns + column)
    last_bias = tl.load(vectors + (hidden + 1) * columns)
    for start in range(0, width, rows):
        place = start + tl.arange(0, rows)
        i = depth + height + tl.minimum(place, width - 1)
        x = sampled(features, index, weight, k, j, i, coarse_height, coarse_width, rows, channels, columns)
        entry = i[:, None] * channels + column[None, :]
        x *= row_gain[None, :] * tl.load(gain + entry, mask=inside[None, :], other=0.0)
        x += row_shift[None, :] + tl.load(shift + entry, mask=inside[None, :], other=0.0)
        x = rectified(x, slope)
        for layer in range(hidden):
            matrix = matrices + layer * columns * columns
            x = product(x.to(matrices.dtype.element_ty), matrix, 0, columns, columns, columns, widen)
            x = rectified(x + tl.load(vectors + layer * columns + column)[None, :], slope)
        residual = residual_gain * (tl.sum(x * last[None, :], axis=1) + last_bias)
        # The result may have more than 2^31 voxels.
        address = result + tl.program_id(0).to(tl.int64) * width + place
        tl.store(address, tl.load(address, mask=place < width) + residual, mask=place < width)


def add_residual_grid(
    result: Tensor,
    features: Tensor,
    tables: AxisTables,
    layers: PackedLayers,
    *,
    modulation: tuple[Tensor, Tensor],
    slope: float,
    residual_gain: float,
    rows: int = ROWS,
) -> Tensor:
    """Add the residual of a regular block of fine voxels to their cubic interpolation.

    Args:
        result: Cubic interpolation, shape ``tables.shape``, float32, contiguous; modified in place.
        features: Feature map without the spline, shape (d, h, w, C), contiguous, in the number format of ``layers``.
        tables: From `axis_tables`, with border padding.
        layers: From `pack_residual`.
        modulation: Gains, which are multiplied over the axes, and shifts, which are added, for the positions along k,
            then j, then i, each of shape (K + J + I, C), float32, contiguous.
        slope: Slope of the rectifier for negative inputs.
        residual_gain: Factor for the output of the last layer.
        rows: Fine voxels along i at once, a power of two.

    Returns:
        ``result``.
    """
    depth, height, width = tables.shape
    add_residual[(depth * height,)](
        result,
        features,
        tables.index,
        tables.weight,
        *modulation,
        layers.matrices,
        layers.vectors,
        *features.shape[1:3],
        depth,
        height,
        width,
        rows=rows,
        channels=layers.channels,
        columns=layers.width,
        hidden=layers.hidden,
        slope=slope,
        residual_gain=residual_gain,
        widen=features.device.type == "cpu" and features.dtype == torch.bfloat16,
        num_warps=WARPS,
        num_stages=1,
    )
    return result
