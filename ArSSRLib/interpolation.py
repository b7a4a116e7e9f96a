"""Resampling of regular grids by one matrix per axis.

The grids are regular and the kernels separable, so every resampling of a volume is three matrix products. Positions are
continuous voxel indices along one axis; `geometry` handles millimeters, `coordinates` the coordinates of points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

FloatArray = npt.NDArray[np.float64]

# Pole of the recursive prefilter of the cubic B-spline (Unser 1999, Splines: a perfect fit).
SPLINE_POLE = math.sqrt(3.0) - 2.0


def mirrored(index: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """Reflect indices at the outermost voxel centers, like SciPy's mode "mirror"; a single voxel is repeated."""
    if count == 1:
        return np.zeros_like(index)
    period = 2 * (count - 1)
    folded = np.mod(index, period)
    return np.asarray(np.minimum(folded, period - folded))


def bspline_weights(fraction: FloatArray) -> FloatArray:
    """Return the cubic B-spline weights of voxels -1, 0, 1, 2 for a ``fraction`` in [0, 1), shape (*S, 4)."""
    t, u = fraction, 1.0 - fraction
    return np.stack([u**3 / 6, 2 / 3 - t**2 * (2 - t) / 2, 2 / 3 - u**2 * (2 - u) / 2, t**3 / 6], axis=-1)


@lru_cache(maxsize=256)
def spline_prefilter(count: int) -> FloatArray:
    """Return the matrix from samples to cubic B-spline coefficients, shape (count, count), mirror boundary."""
    index = mirrored(np.arange(count)[:, None] + np.array([-1, 0, 1]), count)
    samples = np.zeros((count, count))
    np.add.at(samples, (np.arange(count)[:, None], index), np.array([1 / 6, 2 / 3, 1 / 6]))
    return np.asarray(np.linalg.inv(samples))


def spline_matrix(count: int, positions: FloatArray) -> FloatArray:
    """Return the matrix of cubic spline interpolation at continuous voxel indices, shape (len(positions), count).

    It equals ``scipy.ndimage.map_coordinates(order=3, mode="mirror")``.
    """
    lower = np.floor(positions).astype(np.int64)
    index = mirrored(lower[:, None] + np.arange(-1, 3), count)
    taps = np.zeros((len(positions), count))
    np.add.at(taps, (np.arange(len(positions))[:, None], index), bspline_weights(positions - lower))
    return np.asarray(taps @ spline_prefilter(count))


def bandlimited_matrix(count: int, positions: FloatArray, spacing: float) -> FloatArray:
    """Return the matrix of windowed-sinc resampling, shape (len(positions), count), nearest boundary.

    Args:
        count: Number of voxels along the axis.
        positions: Continuous voxel indices of the resampled values.
        spacing: Distance between the positions, in voxels; above 1, the sinc is widened to prevent aliasing.
    """
    stretch = max(1.0, spacing)
    lobes = 6
    radius = math.ceil(lobes * stretch)
    lower = np.floor(positions).astype(np.int64)
    index = lower[:, None] + np.arange(-radius, radius + 2)
    distance = (index - positions[:, None]) / stretch
    kernel = np.sinc(distance) * np.sinc(np.clip(distance / lobes, -1, 1))
    kernel /= kernel.sum(axis=1, keepdims=True)
    matrix = np.zeros((len(positions), count))
    np.add.at(matrix, (np.arange(len(positions))[:, None], np.clip(index, 0, count - 1)), kernel)
    return matrix


def centered_positions(coarse: int, fine: int) -> FloatArray:
    """Return the continuous indices of ``fine`` voxel centers among ``coarse`` voxels in the same field of view."""
    return np.asarray((np.arange(fine) + 0.5) * (coarse / fine) - 0.5)


def apply_matrices(array: Tensor, matrices: Sequence[FloatArray | Tensor]) -> Tensor:
    """Multiply the last three axes of an array, (..., k, j, i), by one matrix each, of shape (new length, old length).

    The result has the type of ``array`` and is on its device.
    """
    for axis, matrix in zip((-3, -2, -1), matrices, strict=True):
        weights = torch.as_tensor(matrix, dtype=array.dtype, device=array.device)
        array = torch.movedim(torch.movedim(array, axis, -1) @ weights.T, -1, axis)
    return array.contiguous()


def cubic_upsample(array: Tensor, shape: Sequence[int]) -> Tensor:
    """Interpolate a volume, (..., k, j, i), by cubic splines on a finer grid in the same field of view.

    The result, (..., *shape), equals order 3 of ``scipy.ndimage`` at cell-centered positions.
    """
    pairs = zip(array.shape[-3:], shape, strict=True)
    return apply_matrices(array, [spline_matrix(old, centered_positions(old, new)) for old, new in pairs])


def in_full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which autocast does not round products on a device to the 8 bits of bf16."""
    try:
        return torch.autocast(device.type, enabled=False)
    except RuntimeError:  # this PyTorch has no autocast for the device
        return nullcontext()


def spline_coefficients(volume: Tensor) -> Tensor:
    """Return the cubic B-spline coefficients of a volume of shape (..., D, H, W), in the same shape."""
    matrices = [_prefilter_on(count, volume.dtype, volume.device) for count in volume.shape[-3:]]
    with in_full_precision(volume.device):
        return apply_matrices(volume, matrices)


@lru_cache(maxsize=64)
def _prefilter_on(count: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return `spline_prefilter` as a tensor, cached because every copy to a GPU waits for its queued work."""
    with torch.inference_mode(False):  # the first caller may use inference mode, and a later one may train
        return torch.as_tensor(spline_prefilter(count), dtype=dtype, device=device)


def spline_taps(position: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the four coefficients for cubic spline interpolation, and their weights.

    Args:
        position: Continuous voxel indices along one axis, any shape (*S).
        count: Number of voxels along the axis; indices are mirrored at the ends.

    Returns:
        Indices, int64, and weights in the type of ``position``, both of shape (*S, 4).
    """
    lower = torch.floor(position)
    t = position - lower
    u = 1 - t
    weight = torch.stack([u**3 / 6, 2 / 3 - t**2 * (2 - t) / 2, 2 / 3 - u**2 * (2 - u) / 2, t**3 / 6], dim=-1)
    index = lower.long()[..., None] + torch.arange(-1, 3, device=position.device)
    if count == 1:
        return torch.zeros_like(index), weight
    index = torch.remainder(index, 2 * (count - 1))
    return torch.minimum(index, 2 * (count - 1) - index), weight


def spline_at_points(coefficients: Tensor, positions: Sequence[Tensor]) -> Tensor:
    """Evaluate `spline_coefficients`, shape (N, D, H, W), at continuous voxel indices, three of shape (N, K)."""
    _, height, width = coefficients.shape[1:]
    taps = [spline_taps(position, n) for position, n in zip(positions, coefficients.shape[1:], strict=True)]
    flat = coefficients.flatten(1)
    total = torch.zeros_like(positions[0], dtype=coefficients.dtype)
    for a in range(4):
        for b in range(4):
            row = (taps[0][0][..., a] * height + taps[1][0][..., b]) * width
            weight = taps[0][1][..., a] * taps[1][1][..., b]
            index = (row[..., None] + taps[2][0]).flatten(1)
            values = torch.gather(flat, 1, index).view(*row.shape, 4)
            total = total + weight.to(flat.dtype) * (values * taps[2][1].to(flat.dtype)).sum(-1)
    return total


def spline_on_grid(coefficients: Tensor, positions: Sequence[Tensor]) -> Tensor:
    """Evaluate `spline_coefficients`, (..., D, H, W), on a regular grid of continuous indices, one vector per axis."""
    for axis, position in zip((-3, -2, -1), positions, strict=True):
        index, weight = spline_taps(position, coefficients.shape[axis])
        coefficients = combine_taps(coefficients, axis, index.to(coefficients.device), weight.to(coefficients))
    return coefficients


def combine_taps(array: Tensor, axis: int, index: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted sum of slices of an array for each position along one axis.

    Args:
        array: Any array.
        axis: The interpolated axis.
        index: Slices for each of M positions, shape (M, T), int64.
        weight: Their weights, shape (M, T); the result has the larger type of ``array`` and ``weight``.

    Returns:
        ``array`` with M entries along ``axis``.
    """
    shape = [1] * array.ndim
    shape[axis] = len(index)
    *others, last = range(index.shape[1])
    total = array.index_select(axis, index[:, last]) * weight[:, last].view(shape)
    for tap in reversed(others):
        total.addcmul_(array.index_select(axis, index[:, tap]), weight[:, tap].view(shape))
    return total


def linear_along(array: Tensor, axis: int, index: Tensor, weight: Tensor) -> Tensor:
    """Interpolate linearly along one axis; index and weight, of shape (M, 2), are from `coordinates.linear_taps`."""
    shape = [1] * array.ndim
    shape[axis] = len(index)
    return torch.lerp(
        array.index_select(axis, index[:, 0]), array.index_select(axis, index[:, 1]), weight[:, 1].view(shape)
    )
