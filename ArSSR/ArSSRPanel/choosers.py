"""The combo boxes for scales, models and devices: their items and descriptions."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from ArSSRLib.checkpoint import DEFAULT_MODELS, find_entry, installed_models, sha256_of
from ArSSRLib.options import AS_FILED, POINT_SAMPLES, UNKNOWN_THICKNESS
from ArSSRPanel.estimate import chosenDevice, describeMemory

AUTOMATIC = "auto"


class ScaleMode(enum.Enum):
    """Ways of specifying the new voxel size."""

    FACTOR = "factor"
    AXES = "axes"
    SPACING = "spacing"
    ISOTROPIC = "isotropic"

    def label(self) -> str:
        """Return the text in the panel."""
        return {
            ScaleMode.FACTOR: _("Isotropic factor"),
            ScaleMode.AXES: _("Per axis"),
            ScaleMode.SPACING: _("Target spacing"),
            ScaleMode.ISOTROPIC: _("Make isotropic"),
        }[self]


class Quality(enum.Enum):
    """Trade-off between time and detail; the values are those of the option of the engine."""

    DRAFT = "draft"
    STANDARD = "standard"
    BEST = "best"

    def label(self) -> str:
        """Return the text in the panel."""
        return {
            Quality.DRAFT: _("Draft"),
            Quality.STANDARD: _("Standard"),
            Quality.BEST: _("Best: about 8 times as long"),
        }[self]


class ThicknessSource(enum.Enum):
    """Ways of determining the slice thickness; values of the engine's option where there is one."""

    AUTOMATIC = "automatic"
    FILE = AS_FILED
    STATED = "stated"
    POINTS = POINT_SAMPLES
    UNKNOWN = UNKNOWN_THICKNESS

    def label(self) -> str:
        """Return the text in the panel."""
        return {
            ThicknessSource.AUTOMATIC: _("As stated in the file, or estimated"),
            ThicknessSource.FILE: _("As stated in the file"),
            ThicknessSource.STATED: _("As stated here:"),
            ThicknessSource.POINTS: _("Point samples, for smooth volumes"),
            ThicknessSource.UNKNOWN: _("Unknown"),
        }[self]

    def option(self, millimeters: float) -> str | None:
        """Return the slice thickness as the option of the engine; 0 mm means that it is not stated."""
        if self is ThicknessSource.STATED:
            return f"{millimeters:.6g}" if millimeters else None
        return None if self is ThicknessSource.AUTOMATIC else self.value


def updateThicknessSource(node: Any) -> Any:
    """State the thickness of a parameter node that was saved before its source could be chosen; return the node."""
    if float(node.GetParameter("sliceThickness") or 0) and not node.GetParameter("thicknessSource"):
        node.SetParameter("thicknessSource", ThicknessSource.STATED.name)
    return node


def coupleScale(slider: Any, spinBox: Any) -> None:
    """Synchronize a slider and a spin box for the scale; the range of the slider is smaller."""

    def toNumber(value: float) -> None:
        """Copy the value of the slider to the spin box."""
        spinBox.value = round(value, 2)

    def toSlider(value: float) -> None:
        """Copy the value of the spin box to the slider."""
        blocked = slider.blockSignals(True)
        slider.value = min(value, slider.maximum)
        slider.blockSignals(blocked)

    slider.valueChanged.connect(toNumber)
    spinBox.valueChanged.connect(toSlider)


def fillModels(comboBox: Any, current: str, quality: Quality) -> str:
    """Fill a combo box with the model of the quality, the installed models, and the selected file.

    The data of its items is the name of a model or the path of a file, or "" for the first, the model of the quality.

    Returns:
        The new selection; "" if the current model no longer exists.
    """
    offered = {"": _("By quality: {model}").format(model=DEFAULT_MODELS[quality.value])}
    offered |= {entry.name: f"{entry.name}: {entry.title}" for entry in installed_models()}
    if current and current not in offered and Path(current).is_file():
        offered[current] = Path(current).name
    chosen = current if current in offered else ""
    _fill(comboBox, offered, chosen)
    return chosen


def fillDevices(comboBox: Any, facts: Mapping[str, Any] | None, current: str) -> str:
    """Fill a combo box with the devices found by the probe; before that, only the automatic choice and the CPU.

    Returns:
        The new selection; a device that no longer exists is replaced by the automatic choice.
    """
    offered = {AUTOMATIC: _("Automatic (the fastest)")}
    if facts is None or not facts["devices"]:
        offered["cpu"] = _("CPU")
        offered.setdefault(current, current)  # a device of a loaded scene, which may exist here
    else:
        for device in facts["devices"]:
            offered[device["id"]] = device["name"] if device["id"] == "cpu" else f"{device['name']} ({device['id']})"
    chosen = current if current in offered else AUTOMATIC
    _fill(comboBox, offered, chosen)
    return chosen


def describeDevices(facts: Mapping[str, Any], device: str) -> str:
    """Return the findings of the probe as text: PyTorch, memory and test of the selected device, and failed tests."""
    if not facts["torch"]:
        return facts["problem"] or _("PyTorch is not installed.")
    build = _("built for CUDA {version}").format(version=facts["cuda_build"]) if facts["cuda_build"] else _("CPU build")
    lines = [_("PyTorch {version}, {build}.").format(version=facts["torch"], build=build)]
    chosen = chosenDevice(device, facts)
    if chosen["smoke"] == "ok":
        memory = describeMemory(chosen["free_memory"])
        lines.append(_("{name}, {memory} free, passed the test.").format(name=chosen["name"], memory=memory))
    for broken in facts["devices"]:
        if broken["smoke"] != "ok":
            reason = f"{broken['smoke'].rstrip('. ')}."
            lines.append(_("{name} failed the test: {reason}").format(name=broken["name"], reason=reason))
    if chosen["id"] == "cpu":
        graphics = [other["name"] for other in facts["devices"] if other["id"] != "cpu"]
        if graphics:
            lines.append(_("The CPU is used although {name} is available.").format(name=", ".join(graphics)))
        elif facts["cuda_build"]:
            lines.append(_("No GPU was found, so the CPU is used, which is slower."))
        else:
            lines.append(
                _(
                    "The CPU is used, which is slower. If this computer has an NVIDIA GPU, reinstall PyTorch with a "
                    "CUDA backend in the module PyTorch Utils."
                )
            )
    return " ".join(lines)


def modelCard(name: str) -> str:
    """Return the description of a model as Markdown: checksum, license and contrast, then its card."""
    entry = find_entry(name)
    if entry is None:
        checksum = sha256_of(Path(name)) if Path(name).is_file() else _("the file no longer exists")
        return _("**{name}**: weights from a file, without a card. Ask its author.\n\nSHA-256 `{checksum}`").format(
            name=Path(name).name, checksum=checksum
        )
    least, largest = entry.trained_scales
    head = _(
        "License {license}; made for {contrast}; factors {least} to {largest}, up to {thick} along one axis; "
        "SHA-256 `{checksum}`"
    ).format(
        license=entry.license,
        contrast=entry.contrast,
        least=f"{least:g}",
        largest=f"{largest:g}",
        thick=f"{entry.trained_thick_scale:g}",
        checksum=entry.sha256,
    )
    return f"{head}\n\n{entry.card_text()}"


def _fill(comboBox: Any, offered: Mapping[str, str], chosen: str) -> None:
    """Replace the items of a combo box without signals."""
    blocked = comboBox.blockSignals(True)
    comboBox.clear()
    for value, text in offered.items():
        comboBox.addItem(text, value)
    comboBox.currentIndex = list(offered).index(chosen)
    comboBox.blockSignals(blocked)
