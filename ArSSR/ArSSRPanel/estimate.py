"""The expected result of a run: its grid, its memory, and its time on the selected device.

The numbers are from the plan of the engine and from the measurements of the probe; PyTorch is not needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from slicer.i18n import tr as _

from ArSSRLib.checkpoint import find_entry
from ArSSRLib.errors import ArSSRError
from ArSSRLib.geometry import times
from ArSSRLib.io import destination_of
from ArSSRLib.normalization import result_type
from ArSSRLib.planning import Plan, Work
from ArSSRLib.timing import BUSY, promised_seconds, seconds_beside, work_beside
from ArSSRPanel.acquisition import plannedDecision
from ArSSRPanel.exchange import RESULT_NAME
from ArSSRPanel.nodes import bentTransform, volumeFromNode
from ArSSRPanel.request import Request
from ArSSRPanel.sequences import numberOfFrames


@dataclass(frozen=True)
class Estimate:
    """The expected result of a run.

    Attributes:
        text: The grid, the memory and the time, as far as known, for the panel.
        warning: Why the result may be unsuitable, or "".
        problem: Why the run is not possible, or "".
        cost: Cost of the plan of the engine for all frames; 0 while unknown.
        beside: Work outside of the network for all frames, see `ArSSRLib.timing.work_beside`.
    """

    text: str
    warning: str = ""
    problem: str = ""
    cost: float = 0.0
    beside: float = 0.0


# Type of the result of a node until its voxels change: it depends on all values of a floating-point volume.
_types: dict[tuple[object, ...], np.dtype[Any]] = {}
# Runs shorter than this, in seconds, are not used for the next estimate: their first calls dominate.
SHORTEST = 1.0


def estimateRun(request: Request, facts: Mapping[str, Any] | None) -> Estimate:
    """Return the expected result of a run; ``facts`` is the report of the probe, None while unknown."""
    grid = request.outputGeometry
    frames = numberOfFrames(request.inputVolume) if request.allFrames else 1
    spacing = " x ".join(f"{length:.2f}" for length in grid.spacing)
    text = _("{size} voxels of {spacing} mm").format(size=times(grid.size, 10), spacing=spacing)
    if frames > 1:
        text = _("{frames} frames of {text}").format(frames=frames, text=text)
    warning = "\n".join(filter(None, [_outsideTraining(request), bentTransform(request.inputVolume)]))
    if facts is None or "halo" not in facts["models"].get(request.model, {}):
        return Estimate(text, warning)
    try:
        plan = _planned(request, facts)
    except ArSSRError as error:
        return Estimate(text, warning, str(error))
    lines = [text, _("about {memory} of memory").format(memory=describeMemory(plan.memory))]
    cost, beside = plan.cost * frames, work_beside(plan, request.inputGeometry) * frames
    device = chosenDevice(request.options.device, facts)
    seconds = promised_seconds(cost, facts, beside=beside, device=device["id"], model=request.model)
    if seconds is not None:
        kind = _("CPU") if device["id"] == "cpu" else _("GPU")
        lines[1] += _(", {time} on the {device}").format(time=describeTime(seconds), device=kind)
        if facts.get("busy", 0.0) > BUSY:
            lines.append(_("Other programs are keeping this computer busy; the run is faster without them."))
    return Estimate("\n".join(lines), warning, cost=cost, beside=beside)


def learnSpeed(facts: Mapping[str, Any], done: Mapping[str, Any], estimate: Estimate) -> None:
    """Update the report of the probe with the speed of a finished run, which is more accurate than its measurement.

    ``done`` is the last message of the worker, ``estimate`` that of the run.
    """
    speeds = facts["speed"].get(done["device"])
    names = (name for name, model in facts["models"].items() if model.get("sha256") == done["sha256"] is not None)
    name = next(names, None)
    if speeds is None or name is None or estimate.cost <= 0:
        return
    seconds = sum(result["seconds"] for result in done["results"]) - seconds_beside(estimate.beside, facts)
    if seconds >= SHORTEST:
        speeds[name] = seconds / estimate.cost


def _planned(request: Request, facts: Mapping[str, Any]) -> Plan:
    device = chosenDevice(request.options.device, facts)
    onCPU = device["id"] == "cpu"
    model = facts["models"][request.model]
    array = volumeFromNode(request.inputVolume).array
    return Work(
        request.inputGeometry,
        _typeOfResult(request.inputVolume, array),
        request.scale,
        request.options,
        halo=model["halo"],
        bytes_per_coarse_voxel=model["bytes_per_coarse_voxel"],
        encoding_cost=model["encoding_cost"],
        base_memory=facts["base_memory"] + array.nbytes if onCPU else 0,
        available_memory=device["free_memory"],
        host_memory=None if onCPU else chosenDevice("cpu", facts)["free_memory"],
        profile=plannedDecision(request)[0].profile,
        region=request.region,
        destination=destination_of(RESULT_NAME),
    ).plan()


def _typeOfResult(node: Any, array: npt.NDArray[Any]) -> np.dtype[Any]:
    key = (node.GetID(), node.GetImageData().GetMTime())
    if key not in _types:
        _types.clear()
        _types[key] = result_type(array)
    return _types[key]


def chosenDevice(name: str, facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the device with a name in the report of the probe; "auto" is the first that passed its test."""
    working = [device for device in facts["devices"] if device["smoke"] == "ok"] or facts["devices"]
    for device in working:
        if name in ("auto", device["id"]) or (name == "cuda" and device["id"] == "cuda:0"):
            return device
    return working[-1]


def _outsideTraining(request: Request) -> str:
    """Return a warning if a factor exceeds the range of the training, otherwise ""."""
    entry = find_entry(request.model)
    if entry is None or entry.covers(request.scale):
        return ""
    return _(
        "A factor of {factor} is beyond what the model was trained for (up to {largest}, and {thick} along one axis "
        "alone): check the result carefully."
    ).format(
        factor=f"{max(request.scale):.3g}",
        largest=f"{entry.trained_scales[1]:g}",
        thick=f"{entry.trained_thick_scale:g}",
    )


def describeMemory(count: float) -> str:
    """Return a number of bytes as text."""
    return f"{count / 1e9:.1f} GB" if count >= 0.95e9 else f"{count / 1e6:.0f} MB"


def describeTime(seconds: float) -> str:
    """Return a duration as text."""
    if seconds < 90:
        return _("{count} s").format(count=max(1, round(seconds)))
    if seconds < 5400:
        return _("{count} min").format(count=round(seconds / 60))
    return _("{count} h").format(count=f"{seconds / 3600:.1f}")
