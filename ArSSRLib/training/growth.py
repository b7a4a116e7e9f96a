"""A deeper network that begins as good as a trained one: more residual blocks, which add nothing at first."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from ArSSRLib.errors import InputError
from ArSSRLib.model.arssr2 import ArSSR2
from ArSSRLib.model.blocks import ResidualBlock
from ArSSRLib.model.config import ArSSR2Config, ModelConfig

if TYPE_CHECKING:
    from ArSSRLib.model.config import SuperResolutionModel


def grown(model: SuperResolutionModel, config: ModelConfig) -> SuperResolutionModel:
    """Return weights for ``config`` that answer as ``model`` does.

    Args:
        model: A trained network; returned as it is if ``config`` is its own.
        config: The same architecture, with as many residual blocks or more.

    Raises:
        InputError: If more than the number of blocks differs, or there would be fewer.

    Source:
        Function-preserving growth: Chen et al. 2016, https://arxiv.org/abs/1511.05641
    """
    if config == model.config:
        return model
    if (
        not isinstance(model, ArSSR2)
        or not isinstance(config, ArSSR2Config)
        or dataclasses.replace(model.config, blocks=config.blocks) != config
    ):
        msg = f"The weights to begin with are of {model.config}; only model.blocks can grow, and {config} is asked for."
        raise InputError(msg)
    old, new = model.config.blocks, config.blocks
    if new < old:
        msg = (
            f"The weights to begin with have {old} residual blocks; model.blocks = {new} would lose some: choose more."
        )
        raise InputError(msg)
    deeper = ArSSR2(config)
    state = deeper.state_dict()
    modulation = ("scale_modulation.2.weight", "scale_modulation.2.bias")
    state |= {name: value for name, value in model.state_dict().items() if name not in modulation}
    with torch.no_grad():
        for name in modulation:
            # One gain and one shift a block and channel, gains before shifts; those of new blocks are 0.
            rows = state[name].view(2, new, config.channels, -1)
            rows[:, :old] = model.state_dict()[name].view(2, old, config.channels, -1)
    deeper.load_state_dict(state)
    for block in list(deeper.blocks)[old:]:
        second = cast("ResidualBlock", block).second
        nn.init.zeros_(second.weight)
        nn.init.zeros_(cast("Tensor", second.bias))
    return deeper
