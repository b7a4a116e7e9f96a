"""The operations of a step and the peak of the device, as measures of the speed of a run."""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch
from torch import nn

from ArSSRLib.model.interface import SuperResolutionModel
from ArSSRLib.training.config import TrainingConfig

# Cost of a step in forward passes: one forward pass, and two backward, for features and weights.
PASSES = 3
# Steps until everything is compiled, in a run that compiles or uses a GPU.
WARM_UP_STEPS = 3
# Rows and columns of the matrix product for the peak: large enough to use a whole GPU.
EDGE = 8192


class Pace:
    """The speed of a run: its warm-up, which is not representative, and its share of the peak of the device.

    Args:
        model: The network.
        config: The recipe.
        device: Device of the training.

    Attributes:
        warm_up_seconds: Time of the steps in which the run compiles and selects algorithms, as on a GPU.
    """

    def __init__(self, model: SuperResolutionModel, config: TrainingConfig, device: torch.device) -> None:
        self._device = device
        self._left = WARM_UP_STEPS if config.compile or device.type == "cuda" else 0
        self.warm_up_seconds = 0.0
        self._operations = step_operations(model, config, config.block_voxels or config.points)
        self._peak = peak_operations(device, config.precision)

    @property
    def is_cold(self) -> bool:
        """Whether the next step belongs to the warm-up."""
        return self._left > 0

    @property
    def words(self) -> str:
        """The time of the warm-up, as text for users."""
        return f"warm-up: {WARM_UP_STEPS} steps in {self.warm_up_seconds:.1f} s, which no rate counts"

    def warm_up(self, started: float) -> bool:
        """Count one step of the warm-up, started at a monotonic time; return whether it was the last."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self.warm_up_seconds += time.monotonic() - started
        self._left -= 1
        return not self._left

    def share_of_peak(self, shown: Mapping[str, float]) -> dict[str, float]:
        """Return ``steps/s`` as a percentage of the peak of the device; empty if either is unknown."""
        if not self._peak or "steps/s" not in shown:
            return {}
        return {"% of peak": round(100 * self._operations * shown["steps/s"] / self._peak, 1)}


def step_operations(model: SuperResolutionModel, config: TrainingConfig, points: int) -> float:
    """Return the floating-point operations of one step: convolutions and linear layers, for points per patch."""
    coarse = config.batch_items * config.patch_size**3
    fine = config.batch_items * points
    total = 0.0
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Conv3d):
            total += layer.weight.numel() * coarse
        # Modulators and the strength run once per patch, not once per point, and are negligible.
        elif isinstance(layer, nn.Linear) and "modulation" not in name and name != "strength":
            total += layer.weight.numel() * fine
    return 2.0 * PASSES * total


def peak_operations(device: torch.device, precision: str) -> float:
    """Return the operations per second of a large matrix product on a GPU; 0 elsewhere, where it takes too long."""
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
