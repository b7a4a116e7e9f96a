"""Tensors from the host to the device on which a run computes, without waiting for what the device still does."""

from __future__ import annotations

import torch
from torch import Tensor


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of the host on ``device``.

    A copy from ordinary memory waits for all that a CUDA device has been given to do; from pinned memory it queues.
    """
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
