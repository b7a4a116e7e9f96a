"""A recipe for a small batch turned into one for a large batch on a GPU."""

from __future__ import annotations

import dataclasses
import math

from ArSSRLib.training.config import TrainingConfig

# Beyond this factor the rule has not been tried, and the learning rate stays.
LARGEST_FACTOR = 4.0


def scaled(config: TrainingConfig, batch_items: int) -> TrainingConfig:
    """Return a recipe with larger batches, whose learning rate and average follow.

    The learning rate of Adam, and of Muon scaled to Adam's, grows with the root of the batch; the average of the
    weights forgets as much a patch as before.

    Args:
        config: The recipe as it was tried.
        batch_items: Patches a step and process.

    Source:
        Malladi et al. 2022, https://arxiv.org/abs/2205.10287 (square root scaling rule)
    """
    ratio = batch_items / config.batch_items
    factor = min(math.sqrt(ratio), LARGEST_FACTOR) if ratio > 1 else math.sqrt(ratio)
    return dataclasses.replace(
        config,
        batch_items=batch_items,
        learning_rate=min(1.0, config.learning_rate * factor),
        # The rule scales 1 - decay with the batch; below, so that it never averages over fewer than about 50 steps.
        ema_decay=min(config.ema_decay, max(0.98, 1 - ratio * (1 - config.ema_decay))) if config.ema_decay else 0.0,
    )
