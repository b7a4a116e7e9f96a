"""Several processes that train one model together, one per GPU, on one or several machines.

PyTorch's ``torchrun`` starts them, and PyTorch's DistributedDataParallel averages their gradients, with NCCL between
GPUs and Gloo between CPUs. Each process draws its own share of the items of a step (see `dataset`), so that W processes
with N items take the same step, except for rounding, as one process with W x N items. Process 0 writes the log, the
checkpoints and the weights; validation is divided among all.

docs/training.md says how to start them, what the machines must share, and what speed to expect.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ArSSRLib.device import resolve_device
from ArSSRLib.errors import InputError

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """This process among those that train together: its rank, from 0, their number, and its device."""

    rank: int
    world: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this process writes the output."""
        return self.rank == 0

    def wrapped(self, network: nn.Module) -> nn.Module:
        """Return the network with gradients averaged over all processes."""
        if self.world == 1:
            return network
        devices = [self.device] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(network, device_ids=devices)

    def largest(self, number: int) -> int:
        """Return the largest number of all processes; all wait for each other."""
        if self.world == 1:
            return number
        shared = torch.tensor(number, device=self.device)
        dist.all_reduce(shared, dist.ReduceOp.MAX)
        return int(shared)

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over all processes; all wait for each other."""
        if self.world > 1:
            dist.all_reduce(values)
        return values / self.world

    def joined(self, part: list[T]) -> list[T]:
        """Return the concatenated lists of all processes; all wait for each other."""
        if self.world == 1:
            return part
        parts: list[list[T]] = [[] for _ in range(self.world)]
        dist.all_gather_object(parts, part)
        return [value for one in parts for value in one]

    def wait(self) -> None:
        """Wait until all processes have reached this point."""
        if self.world > 1:
            dist.barrier()


@contextmanager
def joined_processes(device: str) -> Iterator[Processes]:
    """Join the processes that ``torchrun`` started, each with its own GPU, or run as the only process.

    Raises:
        InputError: If one GPU is specified for several processes.
        DeviceError: If the device is not available.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Processes(0, 1, resolve_device(device))
        return
    if ":" in device:
        msg = (
            f"Device {device} was specified for {world} processes; specify cuda, so that each process uses its own GPU."
        )
        raise InputError(msg)
    target = resolve_device(device)
    if target.type == "cuda":
        target = resolve_device(f"cuda:{os.environ['LOCAL_RANK']}")
        torch.cuda.set_device(target)
    dist.init_process_group("nccl" if target.type == "cuda" else "gloo")
    try:
        yield Processes(dist.get_rank(), world, target)
    finally:
        dist.destroy_process_group()
