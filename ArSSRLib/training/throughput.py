"""How much work a step is, and what the device could do at best: what a run's speed is measured by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from ArSSRLib.training.config import TrainingConfig

if TYPE_CHECKING:
    from ArSSRLib.model.config import SuperResolutionModel

# A step costs three forward passes: one forward, and one backward each for features and weights.
PASSES = 3
# Rows and columns of the matrix product that shows the peak: large enough to fill a GPU.
EDGE = 8192


def step_operations(model: SuperResolutionModel, config: TrainingConfig, points: int) -> float:
    """Return the floating-point operations of one step, convolutions and linear layers alone.

    Args:
        model: The network.
        config: Tells the patches of a step.
        points: Fine voxels a patch that are answered.
    """
    coarse = config.batch_items * config.patch_size**3
    fine = config.batch_items * points
    total = 0.0
    for layer in model.modules():
        if isinstance(layer, nn.Conv3d):
            total += layer.weight.numel() * coarse
        # What modulates works once a patch, not once a point, and counts little.
        elif isinstance(layer, nn.Linear) and _answers_points(model, layer):
            total += layer.weight.numel() * fine
    return 2.0 * PASSES * total


def peak_operations(device: torch.device, precision: str) -> float:
    """Return the operations a second of a large matrix product on a GPU; 0 elsewhere, where it would take too long."""
    if device.type != "cuda":
        return 0.0
    number_format = torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = torch.randn(2, EDGE, EDGE, device=device).to(number_format)
    best = 0.0
    for _ in range(4):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        start.record()
        torch.mm(left, right)
        end.record()
        torch.cuda.synchronize(device)
        best = max(best, 2e3 * EDGE**3 / float(start.elapsed_time(end)))
    return best


def _answers_points(model: SuperResolutionModel, layer: nn.Linear) -> bool:
    """Tell whether a linear layer belongs to the decoder, which answers for every point."""
    names = {module: name for name, module in model.named_modules()}
    return "modulation" not in names[layer] and names[layer] != "strength"
