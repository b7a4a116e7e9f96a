"""Random contrasts of a patch: gain, gamma, bias field and tone curves, so that not only T1 contrast is learned."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ArSSRLib.acquisition.profile import FWHM_TO_SIGMA
from ArSSRLib.kernels.transfer import to_device

KNOTS = 6
# Largest coefficient of the linear and the quadratic term of a bias field along an axis: up to 22 % per axis.
BIAS_TERM = 0.1


def random_contrast(
    patch: Tensor, generator: torch.Generator, *, gamma: float, curve: float, tissue: float = 0.0
) -> Tensor:
    """Change the contrast of one patch randomly.

    Args:
        patch: Normalized intensities, any shape; negative values (noise around 0) keep their sign.
        generator: Source of randomness, on the CPU.
        gamma: Probability of a power curve with an exponent in [0.7, 1.5].
        curve: Probability of a piecewise linear tone curve through random knots, instead of the power.
        tissue: Probability of a tone curve that gives T1-weighted tissue another contrast, see `tissue_curves`.

    Returns:
        A patch in the same shape.
    """
    draw = torch.rand(4, generator=generator).tolist()
    patch = patch * (0.8 + 0.4 * draw[0])
    if draw[1] >= curve + tissue:
        exponent = 0.7 * (1.5 / 0.7) ** draw[2]
        return patch.sign() * patch.abs().pow(exponent) if draw[1] < curve + tissue + gamma else patch
    if draw[1] < curve:
        heights = torch.cat([torch.zeros(1, 1), torch.rand((1, KNOTS), generator=generator)], dim=1)
    else:
        heights = tissue_curves(torch.rand((1, 8), generator=generator))
    return tone_curves(patch[None], to_device(heights, patch.device))[0]


def random_bias_field(patch: Tensor, generator: torch.Generator) -> Tensor:
    """Multiply a patch, shape (k, j, i), by a random field; see `bias_fields`."""
    terms = (2 * torch.rand((1, 3, 2), generator=generator) - 1) * BIAS_TERM
    return bias_fields(patch[None], to_device(terms, patch.device))[0]


def bias_fields(patches: Tensor, terms: Tensor) -> Tensor:
    """Multiply patches, shape (N, k, j, i), by smooth fields: exponentials of quadratic polynomials along the axes.

    ``terms`` are the linear and the quadratic coefficient of each axis, shape (N, 3, 2).
    """
    for axis in range(3):
        shape = [1, 1, 1, 1]
        shape[1 + axis] = -1
        x = torch.linspace(-1, 1, patches.shape[1 + axis], device=patches.device).view(shape)
        linear, square = terms[:, axis].view(-1, 2, 1, 1, 1).unbind(1)
        patches = patches * torch.exp(linear * x + square * x**2)
    return patches


def tissue_curves(draw: Tensor) -> Tensor:
    """Return tone curves that give T1-weighted tissue another contrast.

    The knots are at 0, 0.2, ... 1.2 of the intensity range. In a normalized T1-weighted brain, fluid is near 0.2, gray
    matter near 0.55, white matter near 0.85, and fat above. The contrasts, each with random values, are bright fluid
    (T2-weighted), dark fluid (FLAIR), little contrast (proton density), and inverted with a bright background.

    Args:
        draw: Numbers from [0, 1), eight per curve, shape (N, 8).

    Returns:
        Values at the knots, shape (N, KNOTS + 1), on the device of ``draw``.
    """

    def between(index: int, low: float, high: float) -> Tensor:
        """Return the random numbers of an index, scaled to two limits."""
        return low + (high - low) * draw[:, index]

    nothing = torch.zeros_like(draw[:, 0])
    fluid, gray, white = between(0, 0.8, 1.1), between(1, 0.45, 0.75), between(2, 0.2, 0.45)
    bright = [nothing, fluid, between(3, 0.45, 0.6) * (fluid + gray), gray, white]
    bright += [white * between(4, 0.8, 1.2), between(5, 0.3, 1.0)]
    gray = between(1, 0.6, 0.9)
    white = gray * between(2, 0.6, 0.9)
    dark = [nothing, between(0, 0.02, 0.25), between(3, 0.3, 0.6), gray, white]
    dark += [white * between(4, 0.8, 1.1), between(5, 0.4, 1.1)]
    little = [nothing, between(0, 0.5, 1.0), between(1, 0.7, 1.0), between(2, 0.7, 1.0)]
    little += [between(3, 0.5, 0.8), between(4, 0.4, 0.7), between(5, 0.4, 0.9)]
    inverted = [between(0, 0.9, 1.1), *(0.95 - 0.15 * n + 0.08 * draw[:, n + 1] for n in range(KNOTS))]
    heights = torch.stack(inverted, dim=1)
    for below, contrast in ((0.9, little), (0.75, dark), (0.4, bright)):
        heights = torch.where(draw[:, 7:] < below, torch.stack(contrast, dim=1), heights)
    return heights


def tone_curves(patches: Tensor, heights: Tensor) -> Tensor:
    """Map [0, 1.2] linearly between values at evenly spaced knots, shape (N, KNOTS + 1), for patches (N, ...)."""
    position = ((patches / 1.2).clamp(0, 1) * KNOTS).flatten(1)
    lower = position.floor().clamp_max(KNOTS - 1)
    index = lower.long()
    toned = torch.lerp(heights.gather(1, index), heights.gather(1, index + 1), position - lower)
    return toned.view(patches.shape)


def smoothed(patch: Tensor, width: float) -> Tensor:
    """Blur a patch, shape (k, j, i) or (N, k, j, i), with a Gaussian of ``width`` voxels full width at half maximum."""
    sigma = width * FWHM_TO_SIGMA
    offset = torch.arange(-math.ceil(3 * sigma), math.ceil(3 * sigma) + 1, device=patch.device, dtype=patch.dtype)
    kernel = torch.exp(-0.5 * (offset / sigma) ** 2)
    kernel = kernel / kernel.sum()
    radius = len(kernel) // 2
    padded = F.pad(patch.reshape(-1, 1, *patch.shape[-3:]), (radius,) * 6, mode="replicate")
    for axis in range(3):
        shape = [1] * 5
        shape[2 + axis] = -1
        padded = F.conv3d(padded, kernel.view(shape))
    return padded.view(patch.shape)
