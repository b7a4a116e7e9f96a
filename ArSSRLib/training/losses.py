"""The loss and the learning rate of a training step."""

from __future__ import annotations

import math
from typing import TypeAlias

import torch
from torch import Tensor

from ArSSRLib.coordinates import index_of
from ArSSRLib.interpolation import spline_at_points, spline_coefficients, spline_on_grid
from ArSSRLib.training.config import TrainingConfig
from ArSSRLib.training.dataset import Batch

# One value per query point and item: shape (N, K), or N tensors of shape (K,).
Points: TypeAlias = Tensor | tuple[Tensor, ...]
# Cubic interpolation errors below this fraction of the intensity range do not increase the weight of an item further.
SMALLEST_CUBIC_ERROR = 2.5e-3


def relative_loss(result: Points, truth: Points, cubic: Points, squared_share: float) -> Tensor:
    """Return the ratio of the error of each item to that of cubic interpolation, averaged over items.

    The ratio gives easy and difficult scales equal weight; otherwise, the difficult ones would dominate. Of the error,
    the root mean square has a weight of ``squared_share``, and the mean absolute error has the rest.
    """
    if isinstance(result, Tensor) and isinstance(truth, Tensor) and isinstance(cubic, Tensor):
        return _relative_errors(result - truth, cubic - truth, squared_share).mean()
    items = zip(result, truth, cubic, strict=True)
    errors = [_relative_errors(one - target, reference - target, squared_share) for one, target, reference in items]
    return torch.stack(errors).mean()


def _relative_errors(error: Tensor, yardstick: Tensor, squared_share: float) -> Tensor:
    """Return the ratios of the errors of items, shape (..., K), to those of cubic interpolation, shape (...)."""
    absolute = error.abs().mean(-1) / yardstick.abs().mean(-1).clamp_min(SMALLEST_CUBIC_ERROR)
    smallest = yardstick.square().mean(-1).sqrt().clamp_min(SMALLEST_CUBIC_ERROR)
    squared = (error.square().mean(-1) + 1e-12).sqrt() / smallest
    return torch.lerp(absolute, squared, squared_share)


@torch.no_grad()
def cubic_at(batch: Batch) -> Points:
    """Return the cubic interpolation of the coarse patches where the truth is known, in the shape of the truth."""
    coarse = batch.coarse[:, 0]
    coefficients = spline_coefficients(coarse)
    if batch.blocks:
        pairs = zip(coefficients, batch.blocks, strict=True)
        return tuple(spline_on_grid(one, block.inner_positions).flatten() for one, block in pairs)
    positions = [index_of(batch.coordinates[..., axis], n) for axis, n in enumerate(coarse.shape[1:])]
    return spline_at_points(coefficients, positions)


def losses_of(result: Points, batch: Batch, config: TrainingConfig) -> tuple[Tensor, Tensor]:
    """Return the loss, and the root mean square error relative to cubic interpolation, both averaged over items."""
    cubic = cubic_at(batch)
    with torch.no_grad():
        ratio = relative_loss(result, batch.truth, cubic, 1.0)
    if config.loss == "l1":
        errors = [(one - target).abs().mean() for one, target in zip(result, batch.truth, strict=True)]
        return torch.stack(errors).mean(), ratio
    return relative_loss(result, batch.truth, cubic, config.squared_share), ratio


def learning_rate(config: TrainingConfig, step: int) -> float:
    """Return the learning rate of a step: linear warm-up, then a plateau and a cosine decay to zero, or halvings."""
    if step < config.warm_up_steps:
        return config.learning_rate * (step + 1) / config.warm_up_steps
    if config.schedule == "halving":
        return config.learning_rate * 0.5 ** (step // config.halve_every)
    plateau = config.warm_up_steps + config.hold_share * (config.steps - config.warm_up_steps)
    progress = max(0.0, (step - plateau) / max(1.0, config.steps - plateau))
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
