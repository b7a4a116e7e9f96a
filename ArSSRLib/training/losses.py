"""What a step minimizes, and how far it goes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ArSSRLib.coordinates import index_of
from ArSSRLib.interpolation import spline_at_points, spline_coefficients
from ArSSRLib.training.config import TrainingConfig
from ArSSRLib.training.dataset import Batch

# Below this error of cubic interpolation (in parts of the intensity range) an item is not weighed up any further.
SMALLEST_CUBIC_ERROR = 6e-3


def relative_loss(result: Tensor, truth: Tensor, cubic: Tensor, squared_share: float) -> Tensor:
    """Return the error of each item over that of cubic interpolation, averaged over items.

    Easy and hard scales are weighed alike; without that, the hard ones drown the rest.

    Args:
        result: Shape (N, K).
        truth: Shape (N, K).
        cubic: Cubic interpolation of the coarse patch, shape (N, K).
        squared_share: Weight of the root mean square; the mean absolute error has the rest.
    """
    error, reference = result - truth, cubic - truth
    absolute = error.abs().mean(1) / reference.abs().mean(1).clamp_min(SMALLEST_CUBIC_ERROR)
    squared = (error.square().mean(1) + 1e-12).sqrt() / reference.square().mean(1).sqrt().clamp_min(
        SMALLEST_CUBIC_ERROR
    )
    return torch.lerp(absolute, squared, squared_share).mean()


@torch.no_grad()
def cubic_at(batch: Batch) -> Tensor:
    """Return the cubic interpolation of the coarse patches at the query points, shape (N, K)."""
    coarse = batch.coarse[:, 0]
    positions = [index_of(batch.coordinates[..., axis], n) for axis, n in enumerate(coarse.shape[1:])]
    return spline_at_points(spline_coefficients(coarse), positions)


def losses_of(result: Tensor, batch: Batch, config: TrainingConfig) -> tuple[Tensor, Tensor]:
    """Return the loss of the recipe, and the root mean square error over that of cubic, each averaged over items."""
    cubic = cubic_at(batch)
    with torch.no_grad():
        ratio = relative_loss(result, batch.truth, cubic, 1.0)
    if config.loss == "l1":
        return (result - batch.truth).abs().mean(), ratio
    return relative_loss(result, batch.truth, cubic, config.squared_share), ratio


def learning_rate(config: TrainingConfig, step: int) -> float:
    """Return the learning rate of a step: linear warm-up, then a plateau and a cosine to zero, or halvings."""
    if step < config.warm_up_steps:
        return config.learning_rate * (step + 1) / config.warm_up_steps
    if config.schedule == "halving":
        return config.learning_rate * 0.5 ** (step // config.halve_every)
    plateau = config.warm_up_steps + config.hold_share * (config.steps - config.warm_up_steps)
    progress = max(0.0, (step - plateau) / max(1.0, config.steps - plateau))
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
