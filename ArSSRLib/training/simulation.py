"""Random choice of the acquisition of patches: slice profiles, stated or not, noise, and slice gains.

All random numbers come from the given generator, on its device; `acquisition.batch` computes the matrices.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ArSSRLib.acquisition.batch import KSPACE, POINT, batch_transfer
from ArSSRLib.acquisition.profile import ESTIMATED, NOTHING, STATED
from ArSSRLib.training.config import TrainingConfig

# Error of an estimated width: standard deviation of its logarithm.
ESTIMATE_ERROR = 0.08
# Of the patches whose axes differ in certainty, the share in which each axis has its own certainty.
MIXED_CERTAINTY = 0.3


def draw_certainty(config: TrainingConfig, count: int, generator: torch.Generator) -> Tensor:
    """Draw the certainty of the slice profiles for the network: `profile.STATED`, `ESTIMATED` or `NOTHING`.

    Returns:
        Shape (S, 3) for S patches. Fully stated patches come first, because their blocks are corrected, and computed
        together.
    """
    height = torch.rand(count, 3, generator=generator)
    height = torch.where(torch.rand(count, 1, generator=generator) < MIXED_CERTAINTY, height, height[:, :1])
    estimated = torch.where(height < config.stated_share + config.estimated_share, ESTIMATED, NOTHING)
    certainty = torch.where(height < config.stated_share, STATED, estimated)
    return certainty[certainty.amin(1).argsort(descending=True)]


def draw_profiles(config: TrainingConfig, certainty: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw slice profiles along k, j, i on the device of ``certainty``, from `draw_certainty`.

    Returns:
        Kinds (POINT, GAUSSIAN, BOX or KSPACE) and full widths at half maximum in coarse voxels, each of shape (S, 3).
    """
    if config.degradation != "mixture":
        return torch.full_like(certainty, POINT), torch.ones_like(certainty)
    shape, device = certainty.shape, certainty.device
    chosen = torch.rand(shape, generator=generator, device=device)
    kinds = _chosen(config.profile_weights, chosen)
    (low, high), (sharp, blurred) = config.thickness_range, config.kspace_range
    height = torch.rand(shape, generator=generator, device=device)
    nominal = torch.rand(shape, generator=generator, device=device) < config.nominal_share
    widths = torch.where(nominal, torch.ones_like(height), low + (high - low) * height)
    widths = torch.where(kinds == KSPACE, sharp + (blurred - sharp) * height, widths)
    own = torch.rand(len(certainty), 1, generator=generator, device=device) < config.own_profile_share
    kinds, widths = torch.where(own, kinds, kinds[:, :1]), torch.where(own, widths, widths[:, :1])
    if not config.unknown_profile_weights:
        return kinds, widths
    unknown, likely = certainty == NOTHING, _chosen(config.unknown_profile_weights, chosen[:, :1])
    return torch.where(unknown, likely, kinds), torch.where(unknown, torch.ones_like(widths), widths)


def as_told(widths: Tensor, certainty: Tensor, generator: torch.Generator) -> Tensor:
    """Return the widths that the network receives, shape (S, 3); estimated ones have a small error."""
    errors = torch.randn(widths.shape, generator=generator, device=widths.device)
    return torch.where(certainty == ESTIMATED, widths * torch.exp(ESTIMATE_ERROR * errors), widths)


def inputs_of(kinds: Tensor, widths: Tensor, certainty: Tensor) -> Tensor:
    """Return slice profiles, each of shape (S, 3), as inputs of a network, shape (S, 3, 5); see `Batch`."""
    return torch.cat([batch_transfer(kinds, widths), certainty[..., None]], dim=-1) * (certainty > 0)[..., None]


def draw_noise(config: TrainingConfig, count: int, generator: torch.Generator) -> Tensor:
    """Draw the standard deviation of the noise of patches, shape (S,); 0 for most of them."""
    height, noisy = (torch.rand(count, generator=generator, device=generator.device) for _ in range(2))
    return height * config.noise_maximum * (noisy < config.noise_share)


def draw_slice_gains(
    config: TrainingConfig, scale: Sequence[float], count: int, generator: torch.Generator
) -> Tensor | None:
    """Draw the brightness of each slice of patches; None without thick slices.

    Slices are excited one after another, often the odd ones before the even ones: one part of the differences
    alternates, the rest is random.

    Returns:
        Shape (S, k, 1, 1), (S, 1, j, 1) or (S, 1, 1, i); 1 for most patches.
    """
    thick = [axis for axis, s in enumerate(scale) if s > 1]
    if len(thick) != 1 or not config.jitter_share:
        return None

    def rand() -> Tensor:
        """Draw a number from [0, 1) per patch."""
        return torch.rand(count, 1, generator=generator, device=generator.device)

    height = rand() * config.jitter_maximum * (rand() < config.jitter_share)
    alternating = (1.0 - 2.0 * (torch.arange(config.patch_size, device=generator.device) % 2)).expand(count, -1)
    order = torch.randn(count, config.patch_size, generator=generator, device=generator.device)
    shape = [count, 1, 1, 1]
    shape[1 + thick[0]] = -1
    return (1 + height * torch.lerp(order, alternating, rand())).view(shape)


def _chosen(weights: Sequence[float], heights: Tensor) -> Tensor:
    """Return indices with the frequency of their weights, for numbers drawn uniformly from [0, 1)."""
    chosen = torch.zeros_like(heights)
    for stop in torch.tensor(weights).cumsum(0).div(sum(weights)).tolist()[:-1]:
        chosen = chosen + (heights >= stop)
    return chosen
