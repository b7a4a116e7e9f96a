"""Copies between the main memory and a GPU that nobody waits for.

Only from page-locked memory does a GPU copy while it computes. On other devices these functions just copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Place = TypeVar("Place")


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device; to a GPU the copy may still be under way, in the order of its work."""
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def to_host(blocks: Iterable[tuple[Place, Tensor]]) -> Iterator[tuple[Place, npt.NDArray[np.float32]]]:
    """Yield blocks as arrays in the main memory, in the order given.

    From a GPU, a block is copied while the next one is computed, and yielded once that one has been asked for: one
    block more than on other devices is held.

    Args:
        blocks: A word on each block, which is passed on, and the block; computed when it is asked for.
    """
    copied: tuple[Place, Tensor, torch.cuda.Event] | None = None
    for place, block in blocks:
        if block.device.type != "cuda":
            yield place, block.cpu().numpy()
            continue
        previous, copied = copied, (place, *_copied(block))
        if previous is not None:
            yield previous[0], _arrived(*previous[1:])
    if copied is not None:
        yield copied[0], _arrived(*copied[1:])


def _copied(block: Tensor) -> tuple[Tensor, torch.cuda.Event]:
    """Start to copy a block beside the work of its GPU; returns where it goes, and what tells that it is there."""
    beside = torch.cuda.Stream(block.device)  # type: ignore[no-untyped-call, unused-ignore]
    beside.wait_stream(torch.cuda.current_stream(block.device))
    arrived = torch.cuda.Event()  # type: ignore[no-untyped-call, unused-ignore]
    with torch.cuda.stream(beside):
        host = torch.empty(block.shape, dtype=block.dtype, pin_memory=True)
        host.copy_(block, non_blocking=True)
        arrived.record(beside)
    # Its memory is not given to others before the copy has read it.
    block.record_stream(beside)
    return host, arrived


def _arrived(host: Tensor, arrived: torch.cuda.Event) -> npt.NDArray[np.float32]:
    arrived.synchronize()
    array: npt.NDArray[np.float32] = host.numpy()
    return array
