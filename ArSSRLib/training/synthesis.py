"""Random contrasts of a patch: gain, gamma, bias field, and tone curves that no scanner has: not only T1 is learned."""

from __future__ import annotations

import torch
from torch import Tensor

from ArSSRLib.kernels.transfer import to_device

KNOTS = 6
# Largest coefficient of the linear and of the square term of a bias field along an axis: up to 22 % an axis.
BIAS_TERM = 0.1


def random_contrast(patch: Tensor, generator: torch.Generator, *, gamma: float, curve: float) -> Tensor:
    """Change the contrast of one patch at random.

    Args:
        patch: Normalized intensities, any shape; negative values (noise about 0) keep their sign.
        generator: Source of randomness, on the CPU.
        gamma: Probability of a power curve with an exponent in [0.7, 1.5].
        curve: Probability of a piecewise linear tone curve through random knots, instead of the power.

    Returns:
        A patch of the same shape.
    """
    draw = torch.rand(4, generator=generator).tolist()
    patch = patch * (0.8 + 0.4 * draw[0])
    if draw[1] < curve:
        return _tone_curve(patch, generator)
    if draw[1] < curve + gamma:
        exponent = 0.7 * (1.5 / 0.7) ** draw[2]
        return patch.sign() * patch.abs().pow(exponent)
    return patch


def random_bias_field(patch: Tensor, generator: torch.Generator) -> Tensor:
    """Multiply a patch, shape (k, j, i), by a smooth field: the exponential of a square polynomial along each axis."""
    terms = ((2 * torch.rand((3, 2), generator=generator) - 1) * BIAS_TERM).tolist()
    for axis, (linear, square) in enumerate(terms):
        shape = [1, 1, 1]
        shape[axis] = patch.shape[axis]
        x = torch.linspace(-1, 1, patch.shape[axis], device=patch.device).view(shape)
        patch = patch * torch.exp(linear * x + square * x**2)
    return patch


def _tone_curve(patch: Tensor, generator: torch.Generator) -> Tensor:
    """Map 0 to 0 and the rest of [0, 1.2] through random heights, linearly between them."""
    heights = to_device(torch.cat([torch.zeros(1), torch.rand(KNOTS, generator=generator)]), patch.device)
    position = (patch / 1.2).clamp(0, 1) * KNOTS
    lower = position.floor().clamp_max(KNOTS - 1)
    index = lower.long()
    return torch.lerp(heights[index], heights[index + 1], position - lower)
