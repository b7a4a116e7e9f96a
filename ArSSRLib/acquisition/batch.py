"""Simulated acquisition of many patches at once, on any device; every patch has its own scale and profile.

An acquisition along one axis is a matrix: a slice profile (a kernel on the fine grid) followed by sampling of the
cubic spline at the centers of the coarse voxels. There are no loops over voxels. Noise can be added.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ArSSRLib.acquisition.profile import FREQUENCIES, FWHM_TO_SIGMA, TRUNCATION_STEEPNESS
from ArSSRLib.interpolation import SPLINE_POLE

# Numbers of the profiles in a batch, in the order of `profile.KINDS`.
POINT, GAUSSIAN, BOX, KSPACE = range(4)


def batch_matrices(
    count: int,
    coarse: int,
    *,
    scale: Tensor,
    profile: Tensor,
    thickness: Tensor,
    first_face: Tensor,
    endpoints: bool = False,
) -> Tensor:
    """Return the acquisition matrix of one axis for every item of a batch.

    Args:
        count: Fine voxels along the axis.
        coarse: Coarse voxels along the axis.
        scale: Fine voxels per coarse voxel, shape (N,). A value below 1, with POINT, describes interpolation instead.
        profile: POINT, GAUSSIAN, BOX or KSPACE, shape (N,).
        thickness: Slice thickness as a fraction of the coarse spacing: full width at half maximum of the Gaussian,
            width of the box, 1 / cut-off of the truncation; shape (N,). Below 1 there is a gap between slices.
        first_face: Distance of the first coarse voxel's outer face from the first fine one's, in fine voxels, (N,).
        endpoints: Place the first and the last coarse center at the first and the last fine center of the patch, as in
            the published training, instead of dividing the same field of view into cells.

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
    # Samples at an end need spline coefficients beyond it; otherwise, point sampling would change an axis of scale 1.
    knots = torch.arange(-2, count + 2, device=device, dtype=torch.float32)
    sampling = _cubic_bspline(knots - centers[..., None])
    distance = (knots[:, None] - fine_index).abs()
    prefilter = (-6 * SPLINE_POLE / (1 - SPLINE_POLE**2)) * torch.as_tensor(SPLINE_POLE) ** distance
    offset = torch.arange(-count + 1, count, device=device, dtype=torch.float32)
    blur = _profile_kernel(offset, (scale * thickness)[:, None], profile[:, None])
    return sampling @ prefilter @ _toeplitz(blur, count)


def batch_transfer(profile: Tensor, thickness: Tensor) -> Tensor:
    """Return `AxisProfile.transfer` for many profiles, unitless, shape (*profile.shape, len(FREQUENCIES))."""
    # Created on the device: a copy from the host would wait for it.
    frequency = torch.stack([torch.full((), f, device=thickness.device) for f in FREQUENCIES])
    width = thickness[..., None]
    kept = torch.ones_like(width * frequency)
    gaussian = torch.exp(-2 * (torch.pi * FWHM_TO_SIGMA * width * frequency) ** 2)
    truncated = torch.sigmoid(TRUNCATION_STEEPNESS * (0.5 - frequency * width.clamp_min(1)))
    for number, values in ((GAUSSIAN, gaussian), (BOX, torch.sinc(width * frequency)), (KSPACE, truncated)):
        kept = torch.where((profile == number)[..., None], values, kept)
    return kept


def degrade(fine: Tensor, matrices: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Apply one matrix per axis and item, each of shape (N, coarse, fine), to patches of shape (N, k, j, i)."""
    # One large product per item and axis; after the first one, the data are so small that transposing them is cheap.
    k, j, i = matrices
    count, depth, height = fine.shape[:3]
    rows = fine.flatten(1, 2) @ i.transpose(1, 2)
    columns = rows.view(count, depth, height, -1).transpose(2, 3).flatten(1, 2) @ j.transpose(1, 2)
    coarse = k @ columns.view(count, depth, -1)
    return coarse.view(count, k.shape[1], i.shape[1], j.shape[1]).transpose(2, 3).contiguous()


def add_rician_noise(coarse: Tensor, sigma: Tensor, generator: torch.Generator) -> Tensor:
    """Return the magnitude of a complex signal with Gaussian noise of ``sigma``, shape (N,), in both channels.

    Items with a sigma of 0 are returned unchanged, including negative intensities (spline overshoot).

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
    """Return slice profiles of ``width`` fine voxels, shape (N, 1), as kernels with a sum of 1, shape (N, M)."""
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
    """Return the convolution matrices, shape (N, count, count), of kernels of shape (N, 2 * count - 1)."""
    index = torch.arange(count, device=kernel.device)
    return kernel[:, index[None, :] - index[:, None] + count - 1]
