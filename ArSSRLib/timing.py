"""The expected time of an upsampling, from its plan and the measurements of the worker's probe.

Only numbers are needed, not PyTorch, so that the panel can use it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from ArSSRLib.acquisition.slice_gains import slice_axis
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.planning import Plan

# Fraction of the processors that other programs may use before the machine counts as busy.
BUSY = 0.25
# Time on the CPU, relative to making a fine voxel agree with the scan: for converting, writing and reading a voxel,
# and for comparing the slice of a coarse voxel with its neighbors.
HANDLING, EVENING = 0.05, 1.1


def work_beside(plan: Plan, coarse: VolumeGeometry) -> float:
    """Return the work of a plan outside of the network, which is done on the CPU; making a voxel agree counts 1.

    Args:
        plan: Plan of the upsampling.
        coarse: Grid of the input.
    """
    fine = math.prod(stop - first for first, stop in plan.computed)
    work = HANDLING * fine
    if plan.agrees:
        work += fine
    if plan.options.even_slices == "auto" and slice_axis(coarse.spacing, plan.profile) is not None:
        work += EVENING * math.prod(coarse.size)
    return work


def promised_seconds(
    cost: float, facts: Mapping[str, Any], *, beside: float = 0.0, device: str, model: str
) -> float | None:
    """Return the expected time from the start of a worker to its end; None if the speed was not measured.

    Args:
        cost: Cost of the plan for all volumes; unitless.
        facts: Report of the probe.
        beside: Result of `work_beside` for all volumes.
        device: Name of the device in the report of the probe.
        model: Name or file of the network, as in the job of the probe.
    """
    rate = facts["speed"].get(device, {}).get(model)
    if rate is None:
        return None
    return float(facts.get("start", 0.0) + cost * rate + seconds_beside(beside, facts))


def seconds_beside(beside: float, facts: Mapping[str, Any]) -> float:
    """Return the time of the work outside of the network, see `work_beside`; 0 if it was not measured."""
    return beside * float(facts.get("beside") or 0.0)


def processor_times() -> tuple[float, float, float]:
    """Return the seconds that the processors were available, busy, and busy for this process.

    Raises:
        ImportError: If psutil is not installed.
    """
    import psutil  # noqa: PLC0415 - Slicer may not have it yet

    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    # The time of guests is already included in the time of users.
    there = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return there, there - idle, time.process_time()


def taken_by_others(before: tuple[float, float, float], after: tuple[float, float, float]) -> float:
    """Return the fraction of the processors that other programs used between two `processor_times`, 0 to 1."""
    there, worked, own = (last - first for first, last in zip(before, after, strict=True))
    return round(min(1.0, max(0.0, worked - own) / there), 3) if there > 0 else 0.0
