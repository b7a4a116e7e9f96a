"""Asynchronous copies between main memory and a GPU.

A GPU can only copy during computation from and to page-locked memory. For other devices, these are plain copies.
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
    """Return a tensor on a device; copies to a GPU are asynchronous, but ordered with its other work."""
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def to_host(blocks: Iterable[tuple[Place, Tensor]]) -> Iterator[tuple[Place, npt.NDArray[np.float32]]]:
    """Yield blocks as arrays in main memory, in the given order.

    From a GPU, a block is copied while the next one is computed, and is yielded after that one was requested. One more
    block than on other devices is therefore in memory.

    Args:
        blocks: Pairs of any value, which is passed on, and a block; evaluated lazily.
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
    """Start copying a block in parallel to the work of its GPU; return the target and an event for its completion."""
    beside = torch.cuda.Stream(block.device)  # type: ignore[no-untyped-call, unused-ignore]
    beside.wait_stream(torch.cuda.current_stream(block.device))
    arrived = torch.cuda.Event()  # type: ignore[no-untyped-call, unused-ignore]
    with torch.cuda.stream(beside):
        host = torch.empty(block.shape, dtype=block.dtype, pin_memory=True)
        host.copy_(block, non_blocking=True)
        arrived.record(beside)
    # The memory of the block is not reused before it has been copied.
    block.record_stream(beside)
    return host, arrived


def _arrived(host: Tensor, arrived: torch.cuda.Event) -> npt.NDArray[np.float32]:
    arrived.synchronize()
    array: npt.NDArray[np.float32] = host.numpy()
    return array
