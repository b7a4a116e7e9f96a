"""Degrade high-resolution patches in batches, on any device: acquisition matrices applied, noise added.

`acquisition.batch` builds the matrices. Every item of a batch has its own matrices, so that a step mixes scales and
profiles.
"""

from __future__ import annotations

import torch
from torch import Tensor


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
