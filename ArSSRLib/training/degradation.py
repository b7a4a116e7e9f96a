"""Simulate the low-resolution acquisition of high-resolution patches, in batches, on any device.

An acquisition is one matrix per axis: a slice profile (a kernel on the fine grid), followed by sampling of the cubic
spline at the centers of the coarse voxels. Every item of a batch has matrices of its own, so that scales and profiles
are mixed within a step; nothing loops over voxels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ArSSRLib.interpolation import FWHM_TO_SIGMA, SPLINE_POLE

# The profiles, by the number that stands for each in a batch.
POINT, GAUSSIAN, BOX, KSPACE = range(4)


def acquisition(
    count: int,
    coarse: int,
    *,
    scale: Tensor,
    profile: Tensor,
    thickness: Tensor,
    first_face: Tensor,
    endpoints: bool = False,
) -> Tensor:
    """Return the matrix of one axis for every item of a batch.

    Args:
        count: Fine voxels along the axis.
        coarse: Coarse voxels along the axis.
        scale: Fine voxels per coarse voxel, at least 1, shape (N,).
        profile: POINT, GAUSSIAN, BOX or KSPACE, shape (N,).
        thickness: Slice thickness as a part of the coarse spacing: full width at half maximum of the Gaussian,
            width of the box, 1 / cut-off of the truncation; shape (N,). Below 1 there is a gap between slices.
        first_face: Position of the outer face of the first coarse voxel among the fine ones (0 is a face), shape (N,).
        endpoints: Put the first and the last coarse center on the first and the last fine one of the patch, as the
            published training does, instead of dividing one field of view into cells.

    Returns:
        Matrices, shape (N, coarse, count), float32; the rows of each sum to 1 away from the ends.
    """
    device = scale.device
    fine_index = torch.arange(count, device=device, dtype=torch.float32)
    index = torch.arange(coarse, device=device)
    if endpoints:
        centers = first_face[:, None] + index * ((scale * coarse - 1) / max(1, coarse - 1))[:, None]
    else:
        centers = first_face[:, None] + (index + 0.5) * scale[:, None] - 0.5
    # A sample at an end reads spline coefficients beyond it; without them a thin axis (scale 1) that is only
    # point-sampled would not stay as it is.
    knots = torch.arange(-2, count + 2, device=device, dtype=torch.float32)
    sampling = _cubic_bspline(knots - centers[..., None])
    distance = (knots[:, None] - fine_index).abs()
    prefilter = (-6 * SPLINE_POLE / (1 - SPLINE_POLE**2)) * torch.as_tensor(SPLINE_POLE) ** distance
    offset = torch.arange(-count + 1, count, device=device, dtype=torch.float32)
    blur = _profile_kernel(offset, (scale * thickness)[:, None], profile[:, None])
    return sampling @ prefilter @ _toeplitz(blur, count)


def degrade(fine: Tensor, matrices: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Apply one matrix per axis and item.

    Args:
        fine: Patches, shape (N, k, j, i).
        matrices: For k, j, i, each of shape (N, coarse length, fine length).

    Returns:
        Coarse patches, shape (N, k', j', i').
    """
    # One large product an item and axis; after the first, the data are so small that turning them costs little.
    k, j, i = matrices
    count, depth, height = fine.shape[:3]
    rows = fine.flatten(1, 2) @ i.transpose(1, 2)
    columns = rows.view(count, depth, height, -1).transpose(2, 3).flatten(1, 2) @ j.transpose(1, 2)
    coarse = k @ columns.view(count, depth, -1)
    return coarse.view(count, k.shape[1], i.shape[1], j.shape[1]).transpose(2, 3).contiguous()


def add_rician_noise(coarse: Tensor, sigma: Tensor, generator: torch.Generator) -> Tensor:
    """Return the magnitude of a complex signal with noise of ``sigma``, shape (N,), in both channels.

    Items of sigma 0 are returned as they are, negative intensities (spline overshoot) included.

    Source:
        Gudbjartsson and Patz 1995, https://doi.org/10.1002/mrm.1910340618
    """
    sigma = sigma.view(-1, 1, 1, 1)
    noise = torch.randn((2, *coarse.shape), generator=generator, device=coarse.device) * sigma
    return torch.where(sigma > 0, torch.hypot(coarse + noise[0], noise[1]), coarse)


def _cubic_bspline(distance: Tensor) -> Tensor:
    """Return the cubic B-spline at a distance in voxels, same shape."""
    d = distance.abs()
    inner = 2 / 3 - d**2 * (2 - d) / 2
    outer = (2 - d).clamp_min(0) ** 3 / 6
    return torch.where(d < 1, inner, outer)


def _profile_kernel(offset: Tensor, width: Tensor, profile: Tensor) -> Tensor:
    """Return slice profiles of ``width`` fine voxels, shape (N, 1), as kernels of sum 1, shape (N, M)."""
    gaussian = torch.exp(-0.5 * (offset / (width * FWHM_TO_SIGMA)) ** 2)
    box = (torch.minimum(offset + 0.5, width / 2) - torch.maximum(offset - 0.5, -width / 2)).clamp_min(0)
    lobes = 4
    cut_off = width.clamp_min(1)
    truncation = torch.sinc(offset / cut_off) * torch.sinc((offset / cut_off / lobes).clamp(-1, 1))
    kernel = (offset == 0).float().expand(len(width), -1)
    for number, shape in ((GAUSSIAN, gaussian), (BOX, box), (KSPACE, truncation)):
        kernel = torch.where(profile == number, shape, kernel)
    return kernel / kernel.sum(dim=1, keepdim=True)


def _toeplitz(kernel: Tensor, count: int) -> Tensor:
    """Return convolution matrices, shape (N, count, count), of kernels of shape (N, 2 * count - 1)."""
    index = torch.arange(count, device=kernel.device)
    return kernel[:, index[None, :] - index[:, None] + count - 1]
