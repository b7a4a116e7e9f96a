"""Conversion of a recipe for small batches to one for large batches on a GPU."""

from __future__ import annotations

import dataclasses
import math

from ArSSRLib.training.config import TrainingConfig

# The rule has not been tried beyond this factor, where the learning rate is constant.
LARGEST_FACTOR = 4.0


def scaled(config: TrainingConfig, batch_items: int) -> TrainingConfig:
    """Return a recipe with larger batches, with the learning rate and the weight average adapted.

    The learning rate of Adam, and of Muon scaled to Adam's, is proportional to the square root of the batch; the decay
    of the weight average per patch is unchanged.

    Args:
        config: The original recipe.
        batch_items: Patches per step and process.

    Source:
        Malladi et al. 2022, https://arxiv.org/abs/2205.10287 (square root scaling rule)
    """
    ratio = batch_items / config.batch_items
    factor = min(math.sqrt(ratio), LARGEST_FACTOR) if ratio > 1 else math.sqrt(ratio)
    return dataclasses.replace(
        config,
        batch_items=batch_items,
        learning_rate=min(1.0, config.learning_rate * factor),
        # The rule scales 1 - decay with the batch; limited, so that it averages over at least about 50 steps.
        ema_decay=min(config.ema_decay, max(0.98, 1 - ratio * (1 - config.ema_decay))) if config.ema_decay else 0.0,
    )
