"""Several processes that train one model together, one for each GPU, on one machine or on many.

They are started by PyTorch's ``torchrun``, and PyTorch's DistributedDataParallel averages their gradients: NCCL between
GPUs, Gloo between processors. Each process draws its own part of the items of a step (see `dataset`), so that W
processes of N items take the same step as one process of W x N items, to rounding. Process 0 writes the log, the
checkpoints and the weights; validation is divided among all.

One machine with eight GPUs::

    torchrun --nproc-per-node 8 -m ArSSRLib train RECIPE.toml

Four such machines, started on each of them with the name of the first::

    torchrun --nnodes 4 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint FIRST:29500 -m ArSSRLib train RECIPE.toml

(under Slurm: ``srun --ntasks-per-node 1 torchrun ...`` with the same arguments). ``output``, ``training_data`` and the
``cache`` must lie in folders that all machines see: every process resumes from the same checkpoint, and process 0 of
the run prepares the volumes for all. ``--resume`` may use another number of processes as long as processes times
``batch_items`` stays the same; else the run would be another one, and is refused.

What to expect: a step sends the gradients once around (4 bytes a parameter, 10 MB for 2.7 M parameters), 0.2 ms over
NVLink or 2 ms over 100 Gbit/s, behind the backward pass. A step of tens of milliseconds therefore scales almost
linearly in one machine and to some tens of GPUs over a fast network; with patches of 24^3, fewer than about eight
items a GPU leave it idle. The larger batch wants a larger learning rate: times the square root of the processes is a
good first choice, with as many more warm-up steps.
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
    """This process among all that train together: its rank, from 0, their number, and its device."""

    rank: int
    world: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def wrapped(self, network: nn.Module) -> nn.Module:
        """Return a network whose gradients are averaged over all processes."""
        if self.world == 1:
            return network
        devices = [self.device] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(network, device_ids=devices)

    def largest(self, number: int) -> int:
        """Return the largest number that a process gave; all wait for each other."""
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
        """Return the lists of all processes as one; all wait for each other."""
        if self.world == 1:
            return part
        parts: list[list[T]] = [[] for _ in range(self.world)]
        dist.all_gather_object(parts, part)
        return [value for one in parts for value in one]

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.world > 1:
            dist.barrier()


@contextmanager
def joined_processes(device: str) -> Iterator[Processes]:
    """Join the processes that ``torchrun`` started, each on a GPU of its own, or be the only one.

    Raises:
        InputError: If one GPU is named for several processes.
        DeviceError: If the device is not there.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Processes(0, 1, resolve_device(device))
        return
    if ":" in device:
        msg = f"Device {device} was named for {world} processes; say cuda, and each takes its own."
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
