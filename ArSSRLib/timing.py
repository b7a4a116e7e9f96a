"""The expected time of an upsampling, from the cost of its plan and the measurements of the worker's probe.

Only numbers are needed, not PyTorch, so that the panel can use it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Fraction of the processors that other programs may use before the machine counts as busy.
BUSY = 0.25


def promised_seconds(cost: float, facts: Mapping[str, Any], *, device: str, model: str) -> float | None:
    """Return the expected time from the start of a worker to its end; None if the speed was not measured.

    Args:
        cost: Cost of the plan for all volumes; unitless.
        facts: Report of the probe.
        device: Name of the device in the report of the probe.
        model: Name or file of the network, as in the job of the probe.
    """
    rate = facts["speed"].get(device, {}).get(model)
    return None if rate is None else float(facts.get("start", 0.0) + cost * rate)
