"""Simulated coarse acquisitions of a fine volume, and their inversion.

An acquisition is one matrix per axis, from fine voxels to coarse voxels; `interpolation` provides the parts of these
matrices. `batch` simulates acquisitions of many patches at once, on a device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from ArSSRLib.acquisition.profile import FWHM_TO_SIGMA, SliceProfile
from ArSSRLib.interpolation import FloatArray, apply_matrices, centered_positions, cubic_upsample, spline_matrix

PROFILES = ("point", "gaussian", "box", "endpoints")


def acquisition_matrices(fine: Sequence[int], coarse: Sequence[int], *, profile: str) -> list[FloatArray]:
    """Return the matrices that simulate a coarse acquisition of a fine volume, axis by axis.

    Args:
        fine: Voxels of the fine grid along each axis.
        coarse: Voxels of the coarse grid along each axis, in the same field of view.
        profile: "point" samples the cubic spline at the coarse centers; "gaussian" first blurs every coarsened axis
            with a full width at half maximum of one coarse voxel; "box" takes the mean of the fine voxels inside each
            coarse voxel; "endpoints" is the zoom of the paper, see `endpoint_matrices`.

    Returns:
        One matrix of shape (coarse, fine) per axis.

    Raises:
        ValueError: If the profile is unknown.
    """
    if profile not in PROFILES:
        msg = f'Slice profile must be one of {", ".join(PROFILES)}, got "{profile}".'
        raise ValueError(msg)
    if profile == "endpoints":
        return endpoint_matrices(fine, coarse)
    return [_axis_matrix(old, new, kind=profile, width=1.0) for old, new in zip(fine, coarse, strict=True)]


def profile_matrices(fine: Sequence[int], coarse: Sequence[int], profile: SliceProfile) -> list[FloatArray]:
    """Return the matrices that simulate the acquisition of a fine volume with a known slice profile, axis by axis.

    Args:
        fine: Voxels of the fine grid along k, j, i.
        coarse: Voxels of the coarse grid along k, j, i, in the same field of view.
        profile: The slice profile; it must be known along every coarsened axis.

    Returns:
        One matrix of shape (coarse, fine) for each of k, j, i; the rows sum to 1.

    Raises:
        ValueError: If the profile of a coarsened axis is unknown.
    """
    matrices = []
    for old, new, axis in zip(fine, coarse, reversed(profile.axes), strict=True):
        if new < old and axis is None:
            msg = f"The slice profile of an axis of {new} voxels, coarsened from {old}, is unknown."
            raise ValueError(msg)
        kind, width = (axis.kind, axis.width) if axis is not None and new < old else ("point", 1.0)
        matrices.append(_axis_matrix(old, new, kind=kind, width=width))
    return matrices


def _axis_matrix(fine: int, coarse: int, *, kind: str, width: float) -> FloatArray:
    """Return the acquisition along one axis, shape (coarse, fine); ``width`` is in coarse voxels."""
    if kind == "box" and width == 1:
        return mean_matrix(fine, coarse)
    sampling = spline_matrix(fine, centered_positions(fine, coarse))
    if coarse >= fine or kind == "point":
        return sampling
    fwhm = width * fine / coarse
    if kind == "gaussian":
        return sampling @ kernel_matrix(fine, gaussian_kernel(fwhm))
    return sampling @ kernel_matrix(fine, box_kernel(fwhm) if kind == "box" else truncation_kernel(fwhm))


def gaussian_kernel(fwhm: float) -> FloatArray:
    """Return a Gaussian of ``fwhm`` voxels with a sum of 1 and odd length; a width of 0 gives the identity."""
    if fwhm <= 0:
        return np.ones(1)
    sigma = fwhm * FWHM_TO_SIGMA
    radius = max(1, math.ceil(4 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return np.asarray(kernel / kernel.sum())


def box_kernel(width: float) -> FloatArray:
    """Return a box of ``width`` voxels with a sum of 1 and odd length; voxels at its ends count in part."""
    radius = math.ceil(max(width, 1.0) / 2 + 0.5)
    offset = np.arange(-radius, radius + 1)
    kernel = np.clip(np.minimum(offset + 0.5, width / 2) - np.maximum(offset - 0.5, -width / 2), 0, None)
    return np.asarray(kernel / kernel.sum())


def truncation_kernel(width: float) -> FloatArray:
    """Return the kernel of k-space truncation to ``width`` voxels, at least 1, with a sum of 1 and odd length."""
    lobes, cut_off = 4, max(width, 1.0)
    radius = math.ceil(lobes * cut_off)
    offset = np.arange(-radius, radius + 1)
    kernel = np.sinc(offset / cut_off) * np.sinc(np.clip(offset / cut_off / lobes, -1, 1))
    return np.asarray(kernel / kernel.sum())


def kernel_matrix(count: int, kernel: FloatArray) -> FloatArray:
    """Return the matrix, shape (count, count), of a convolution with an odd kernel; the ends are repeated."""
    radius = len(kernel) // 2
    index = np.clip(np.arange(count)[:, None] + np.arange(-radius, radius + 1), 0, count - 1)
    blur = np.zeros((count, count))
    np.add.at(blur, (np.arange(count)[:, None], index), kernel)
    return blur


def endpoint_matrices(fine: Sequence[int], coarse: Sequence[int]) -> list[FloatArray]:
    """Return the matrices of the degradation that the paper applied, axis by axis.

    The centers of the outermost coarse voxels coincide with those of the outermost fine voxels. If the coarse voxels
    are treated as cells of the same field of view, as upsampling does, everything but the center is shifted: by up to
    half the difference of the spacings at the ends. This degradation only serves for a fair comparison with the paper's
    numbers.

    Args:
        fine: Voxels of the fine grid along each axis.
        coarse: Voxels of the coarse grid along each axis.

    Returns:
        One matrix of shape (coarse, fine) per axis, equal to ``scipy.ndimage.zoom(order=3, grid_mode=False)`` for these
        lengths, except that SciPy sets the last plane to 0 if rounding puts its center outside the volume.

    Source:
        Wu et al. 2023, section III-D, https://doi.org/10.1109/JBHI.2022.3223106
    """
    # A single coarse voxel coincides with the first fine voxel, as in SciPy.
    return [spline_matrix(old, np.linspace(0.0, max(0, old - 1), new)) for old, new in zip(fine, coarse, strict=True)]


def mean_matrix(fine: int, coarse: int) -> FloatArray:
    """Return the matrix that averages fine voxels over each coarse voxel, weighted by overlap, (coarse, fine)."""
    edges = np.arange(coarse + 1) * (fine / coarse)
    voxels = np.arange(fine)
    overlap = np.minimum(edges[1:, None], voxels + 1) - np.maximum(edges[:-1, None], voxels)
    return np.asarray(np.clip(overlap, 0, None) * (coarse / fine))


def coarse_shape(fine: Sequence[int], scale: Sequence[float]) -> tuple[int, int, int]:
    """Return the shape of a volume coarsened by a scale, both along k, j, i; at least one voxel along each axis."""
    k, j, i = (max(1, round(n / s)) for n, s in zip(fine, scale, strict=True))
    return (k, j, i)


def back_project(
    coarse: Tensor,
    fine: Tensor,
    matrices: Sequence[FloatArray],
    iterations: int = 10,
    *,
    up: Sequence[FloatArray] | None = None,
) -> Tensor:
    """Correct a fine volume until its simulated acquisition agrees with the coarse volume.

    Args:
        coarse: The measured volume, shape (k', j', i').
        fine: A first estimate, shape (k, j, i).
        matrices: The acquisition, from `acquisition_matrices`.
        iterations: Number of times that the interpolated difference is added.
        up: Matrices of the interpolation from coarse to fine; those of `cubic_upsample` if None.

    Returns:
        The corrected fine volume, shape (k, j, i).

    Source:
        Irani and Peleg 1991, https://doi.org/10.1016/1049-9652(91)90045-L
    """
    for _ in range(iterations):
        difference = coarse - apply_matrices(fine, matrices)
        fine = fine + (cubic_upsample(difference, fine.shape) if up is None else apply_matrices(difference, up))
    return fine
