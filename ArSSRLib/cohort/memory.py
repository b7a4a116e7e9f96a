"""Memory of the workers, from the plan of the largest scan, before anything is computed."""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from ArSSRLib.acquisition.decision import Estimate, EstimatedOnce
from ArSSRLib.cohort.places import Place, Share, gpu_share
from ArSSRLib.cohort.processing import Task, load, read_scan
from ArSSRLib.commands.resolution import factors_for
from ArSSRLib.device import free_memory
from ArSSRLib.errors import ArSSRError, InputError, MemoryLimitError
from ArSSRLib.io import destination_of
from ArSSRLib.planning import DEFAULT_SHARE, Plan
from ArSSRLib.upsampling import plan_upsampling
from ArSSRLib.upsampling.blind import BlindEstimate
from ArSSRLib.volume import Volume

# Candidate limits for a worker of a cluster, in GB, and the accepted extra work compared with the highest limit.
LIMITS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0)
ACCEPTED_WORK = 1.1
# Number of scans that are tried, starting with the largest file, until one can be read.
_TRIED = 5

logger = logging.getLogger(__name__)


def share_of_worker(tasks: Sequence[Task], place: Place) -> Share:
    """Return the limits of each worker of a place, for scans that are all upsampled with the same options.

    Raises:
        InputError: If the largest scan does not fit into the memory available to each process of this machine.
    """
    if not tasks or place.is_this_process or place.scheduler:
        return Share()  # the workers of a scheduler have a fixed memory, and plan with the free part of it
    options = tasks[0].options
    share = gpu_share(place, options)
    if place.is_this_machine:
        fair = DEFAULT_SHARE * free_memory(torch.device("cpu")) / 1e9 / place.jobs
        limit = options.memory_limit or fair
        if not share.gpus:
            _require_room(tasks, limit, place.jobs)
        return replace(share, memory=limit)
    largest = _largest(tasks) if options.memory_limit is None else None
    least = None if largest is None else least_limit(tasks[0], largest)
    return replace(share, memory=options.memory_limit or least)


def least_limit(task: Task, volume: Volume) -> float:
    """Return the smallest memory, in GB, with which a volume needs little more work than with ample memory.

    Raises:
        MemoryLimitError: If it does not fit into any limit, or into the free memory of this machine.
    """
    costs, estimate = {}, EstimatedOnce(BlindEstimate(load(task.model), torch.device("cpu")))
    for limit in reversed(LIMITS):
        try:
            costs[limit] = plan_of(task, volume, limit, estimate).cost
        except MemoryLimitError:
            if not costs:
                raise
            break
    least = min(costs.values())
    return min(limit for limit, cost in costs.items() if cost <= ACCEPTED_WORK * least)


def plan_of(task: Task, volume: Volume, limit: float, estimate: Estimate | None = None) -> Plan:
    """Return the plan of a scan on a CPU within a limit in GB.

    Raises:
        MemoryLimitError: If it does not fit.
    """
    options = replace(task.options, device="cpu", backend="torch", precision="auto", memory_limit=limit)
    factors = factors_for(volume.geometry, Namespace(**task.how))
    model, destination = load(task.model), destination_of(Path("scan.nii.gz"))
    return plan_upsampling(volume, model, factors, options, destination=destination, estimate=estimate)


def _require_room(tasks: Sequence[Task], limit: float, jobs: int) -> None:
    largest = _largest(tasks)
    if largest is None:
        return
    try:
        plan_of(tasks[0], largest, limit)
    except MemoryLimitError as error:
        msg = (
            f"--jobs {jobs} leaves {limit:.2g} GB for each process, which is too little for the largest scan; use "
            f"fewer jobs. {error}"
        )
        raise InputError(msg) from error


def _largest(tasks: Sequence[Task]) -> Volume | None:
    """Return the readable scan with the largest file, or None if the first ones cannot be read."""

    def bytes_of(task: Task) -> int:
        """Return the size of a file, or 0 if it does not exist."""
        try:
            return (Path(task.root) / task.scan.path).stat().st_size
        except OSError:
            return 0

    for task in sorted(tasks, key=bytes_of, reverse=True)[:_TRIED]:
        try:
            return read_scan(task)[0]
        except (ArSSRError, OSError):  # reported when the scan is processed
            logger.debug("%s cannot be read:", task.scan.path, exc_info=True)
    return None
