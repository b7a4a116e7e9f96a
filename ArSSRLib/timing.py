"""How long an upsampling will take, from the cost of its plan and from what the worker's probe measured.

Only numbers: PyTorch is not needed, so the panel can ask.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Part of the processors that other programs may use before the machine counts as busy.
BUSY = 0.25


def promised_seconds(cost: float, facts: Mapping[str, Any], *, device: str, model: str) -> float | None:
    """Return the time from the start of a worker to its end; None if the speed was not measured.

    Args:
        cost: Of the plan, for all volumes; unitless.
        facts: What the probe reported.
        device: On which the plan is carried out, as the probe calls it.
        model: Name or file of the network, as the probe was asked for it.
    """
    rate = facts["speed"].get(device, {}).get(model)
    return None if rate is None else float(facts.get("start", 0.0) + cost * rate)
