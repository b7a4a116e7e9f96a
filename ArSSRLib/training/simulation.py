"""How the acquisition of one item is drawn: slice profiles, what the network is told of them, noise, slice gains.

Every draw comes from the generator that is given; the matrices are made in `acquisition.batch`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ArSSRLib.acquisition.batch import KSPACE, POINT
from ArSSRLib.acquisition.profile import ESTIMATED, NOTHING, STATED
from ArSSRLib.training.config import TrainingConfig
from ArSSRLib.training.drawing import between, choose, uniform

# How wrong an estimated width is: standard deviation of its logarithm.
ESTIMATE_ERROR = 0.08
# Among the items without one certainty for all axes, the share in which each axis has its own.
MIXED_CERTAINTY = 0.3


@dataclass(frozen=True)
class SimulatedProfile:
    """The slice profiles of one item along k, j, i, and what the network is told of them.

    Attributes:
        kinds: POINT, GAUSSIAN, BOX or KSPACE of each axis.
        widths: Full width at half maximum, in coarse voxels.
        told_widths: The widths as the network is told them; of an estimate, they are a little wrong.
        certainty: `profile.STATED`, `ESTIMATED` or `NOTHING`.
    """

    kinds: tuple[int, ...] = (POINT,) * 3
    widths: tuple[float, ...] = (1.0,) * 3
    told_widths: tuple[float, ...] = (1.0,) * 3
    certainty: tuple[float, ...] = (NOTHING,) * 3

    @property
    def is_told(self) -> bool:
        """Whether the network is told the profile of every axis."""
        return min(self.certainty) > NOTHING


def draw_profile(config: TrainingConfig, generator: torch.Generator) -> SimulatedProfile:
    """Draw the slice profiles of an item and what the network is told of them."""
    if config.degradation != "mixture":
        return SimulatedProfile()
    axes = [_axis_profile(config, generator)] * 3
    if config.own_profile_share and uniform(generator) < config.own_profile_share:
        axes = [_axis_profile(config, generator) for _ in range(3)]
    told_any = config.stated_share + config.estimated_share > 0
    certainty = _certainty(config, generator) if told_any else (NOTHING,) * 3
    if config.unknown_profile_weights:
        likely = choose(config.unknown_profile_weights, generator), 1.0
        axes = [likely if c == NOTHING else axis for axis, c in zip(axes, certainty, strict=True)]
    kinds, widths = zip(*axes, strict=True)
    if not told_any:
        return SimulatedProfile(kinds, widths, widths)
    errors = torch.exp(ESTIMATE_ERROR * torch.randn(3, generator=generator)).tolist()
    told = [w * e if c == ESTIMATED else w for w, e, c in zip(widths, errors, certainty, strict=True)]
    return SimulatedProfile(kinds, widths, tuple(told), certainty)


def _axis_profile(config: TrainingConfig, generator: torch.Generator) -> tuple[int, float]:
    kind, nominal = choose(config.profile_weights, generator), uniform(generator) < config.nominal_share
    width = between(config.kspace_range if kind == KSPACE else config.thickness_range, generator)
    return kind, 1.0 if nominal and kind != KSPACE else width


def _certainty(config: TrainingConfig, generator: torch.Generator) -> tuple[float, ...]:
    def one() -> float:
        """Draw the certainty of one axis."""
        height = uniform(generator)
        if height < config.stated_share:
            return STATED
        return ESTIMATED if height < config.stated_share + config.estimated_share else NOTHING

    mixed = uniform(generator) < MIXED_CERTAINTY
    return (one(), one(), one()) if mixed else (one(),) * 3


def draw_noise(config: TrainingConfig, generator: torch.Generator) -> float:
    """Draw the standard deviation of an item's noise; 0 for most."""
    if config.degradation != "mixture":
        return 0.0
    noisy, height = uniform(generator) < config.noise_share, uniform(generator)
    return height * config.noise_maximum if noisy else 0.0


def draw_slice_gains(config: TrainingConfig, scale: Sequence[float], generator: torch.Generator) -> Tensor | None:
    """Draw the brightness of each slice of a thick-slice item, shape (k, 1, 1), (1, j, 1) or (1, 1, i); None for most.

    Slices are excited one after the other, often the odd ones before the even ones: a part of their difference
    alternates, the rest has no order.
    """
    thick = [axis for axis, s in enumerate(scale) if s > 1]
    if len(thick) != 1 or uniform(generator) >= config.jitter_share:
        return None
    height, interleaved = uniform(generator) * config.jitter_maximum, uniform(generator)
    alternating = 1.0 - 2.0 * (torch.arange(config.patch_size) % 2)
    random = torch.randn(config.patch_size, generator=generator)
    shape = [1, 1, 1]
    shape[thick[0]] = -1
    return (1 + height * torch.lerp(random, alternating, interleaved)).view(shape)
