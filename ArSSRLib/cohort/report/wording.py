"""Records as text for readers: labels and values, in reading order."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ArSSRLib.acquisition.profile import SliceProfile
from ArSSRLib.cohort.report.findings import Finding, slice_gains
from ArSSRLib.cohort.report.pictures import Pictures
from ArSSRLib.geometry import scale_label
from ArSSRLib.options import OPTIONS

TIMES = " \N{MULTIPLICATION SIGN} "
SOURCES = {
    "stated": "stated by the user",
    "DICOM": "from the DICOM header",
    "sidecar": "from the sidecar",
    "estimated": "estimated from the volume",
}
KINDS = {"point": "point samples", "gaussian": "Gaussian", "box": "box", "kspace": "truncated k-space"}


def making(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return how a result was created."""
    if not record:
        return []
    options = [
        (option.name.replace("_", " ").capitalize(), _plain(record[option.name]))
        for option in OPTIONS
        if option.name in record and record[option.name] not in (None, False)
    ]
    return [
        ("Model", f"{record['model']} (SHA-256 {record['model_sha256'][:12]}\N{HORIZONTAL ELLIPSIS})"),
        ("Scale along i, j, k", scale_label(record["scale"]).replace("x", TIMES)),
        *options,
        ("Versions", f"ArSSR {record['version']}, PyTorch {record['torch']}"),
    ]


def profiles(finding: Finding) -> list[str]:
    """Return the slice profile along i, j, k, and the source of each."""
    if not finding.record or finding.before is None:
        return []
    axes = SliceProfile.from_table(finding.record["profile"]).axes
    return [
        f"Axis {name}: unknown"
        if axis is None
        else f"Axis {name}: {KINDS[axis.kind]}, {axis.width * spacing:.3g} mm wide at {spacing:.3g} mm spacing, "
        f"{SOURCES.get(axis.source, axis.source)}"
        for name, axis, spacing in zip("ijk", axes, finding.before.spacing, strict=True)
    ]


def gains(record: Mapping[str, Any]) -> str:
    """Return the brightness differences between the slices of the scan; empty if not measured."""
    values = slice_gains(record)
    return f"{values['rms']:.2g} % (root mean square), {values['largest']:.2g} % at most" if values else ""


def lengths(values: Sequence[float]) -> str:
    """Return lengths along i, j, k as text."""
    return TIMES.join(f"{value:.4g}" for value in values)


def _plain(value: object) -> str:
    return "yes" if value is True else f"{value:g}" if isinstance(value, float) else str(value)


def whole(record: Mapping[str, Any]) -> str:
    """Return a record as the text of its file."""
    return json.dumps(record, indent=1)


def lines(pictures: Pictures) -> str:
    """Return the intersections of the slices of the planes, for the script of the page."""
    return json.dumps([{"column": asdict(plane.columns), "row": asdict(plane.rows)} for plane in pictures.planes])


def bar(width: float) -> int:
    """Return the length of a scale bar for a picture of a given width, both in mm."""
    return max(n for n in (1, 2, 5, 10, 20, 50, 100) if n == 1 or n < width / 3)
