"""The findings about one result: agreement with its record, geometry, figures and pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ArSSRLib.cohort.measures import GEOMETRY_TOLERANCE, measures_of
from ArSSRLib.cohort.report.pictures import Pictures, Shown, pictures_of
from ArSSRLib.errors import ArSSRError, one_line
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.io import read_volume
from ArSSRLib.record import read_record, sidecar_of, voxels_sha256

T = TypeVar("T")
RESULT, SCAN, RECORD, UNCERTAINTY = "The result", "The scan", "The record", "The uncertainty"


@dataclass(frozen=True)
class Item:
    """A result to report on.

    Attributes:
        title: Title for readers, such as "T1w, session a".
        kind: Kind of the result, such as "T1w"; results of one kind are compared with each other.
        subject: Label, without "sub-"; empty outside of a data set.
        scan: Path of the scan in its data set; empty outside of one.
        result: File of the result; None if there is none.
        source: File of the scan.
        uncertainty: File of the uncertainty; None if there is none.
        warnings: Warnings of the engine during the upsampling.
        problem: Reason for the absence of a valid result; empty if there is no problem so far.
        failure: Reason why upsampling the scan failed; empty if it did not.
        left: Reason why the scan was left out; empty if it was not.
        series: DICOM series of ``source``, if that is a folder with several; None for the only one.
    """

    title: str
    kind: str
    subject: str = ""
    scan: str = ""
    result: Path | None = None
    source: Path | None = None
    uncertainty: Path | None = None
    warnings: tuple[str, ...] = ()
    problem: str = ""
    failure: str = ""
    left: str = ""
    series: str | None = None


@dataclass(frozen=True)
class Finding:
    """The findings about a result.

    Attributes:
        item: The result.
        problems: Its problems, each a sentence; empty if there are none.
        figures: Figures by key of `outliers.FIGURES`.
        record: Content of its record; empty if that cannot be read.
        before: Grid of the scan.
        after: Grid of the result.
        ranges: Smallest and largest intensity before and after, in scanner units.
        pictures: Pictures of the result.
    """

    item: Item
    problems: tuple[str, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)
    before: VolumeGeometry | None = None
    after: VolumeGeometry | None = None
    ranges: tuple[tuple[float, float], tuple[float, float]] | None = None
    pictures: Pictures | None = None


def find(item: Item, largest: int) -> Finding:
    """Read a result and its source, and return the findings; files that cannot be read are reported as problems.

    Its pictures hold at most ``largest`` bytes.
    """
    problems = [item.problem] if item.problem else []
    if item.result is None:
        return Finding(item, tuple(problems))
    path = sidecar_of(item.result)
    # Outside of a data set, a result only has a record if it was requested.
    record = _taken(RECORD, path if item.scan or path.exists() else None, read_record, problems) or {}
    result = _taken(RESULT, item.result, read_volume, problems)
    scan = _taken(SCAN, item.source, partial(read_volume, series=item.series), problems)
    uncertainty = _taken(UNCERTAINTY, item.uncertainty, read_volume, problems)
    for name, volume, key in ((RESULT, result, "result_sha256"), (SCAN, scan, "input_sha256")):
        if record and volume is not None and voxels_sha256(volume.array) != record[key]:
            problems.append(f"{name} does not have the voxels stated in its record: it was changed or damaged.")
    if result is None:
        return Finding(item, tuple(problems), _recorded(record), record)
    if item.source is None and not item.problem:
        problems.append("The scan is unknown, so nothing can be compared.")
    return _compared(item, Shown(result, scan, uncertainty), record, (problems, largest))


def _taken(name: str, path: Path | None, read: Callable[[Path], T], problems: list[str]) -> T | None:
    """Read a file; errors become problems without folder names, which may contain names of people."""
    if path is None:
        return None
    try:
        return read(path)
    except ArSSRError as error:
        words = one_line(str(error)).removeprefix(f"{path}: ")
        problems.append(f"{name} cannot be used: {words}")
        return None


def _compared(item: Item, shown: Shown, record: Mapping[str, Any], rest: tuple[list[str], int]) -> Finding:
    """Return the findings that need the scan and the result; ``rest`` is the problems so far, and the picture bytes."""
    problems, largest = rest
    figures, before, ranges = _recorded(record), None, None
    pictures = pictures_of(shown, largest)
    if shown.scan is not None:
        measures = measures_of(shown.scan, shown.result)
        figures |= _measured(measures)
        before, ranges = shown.scan.geometry, (measures["range_before"], measures["range_after"])
        if not measures["geometry_kept"]:
            problems.append(
                f"The field of view is not that of the scan: its corners are up to {measures['shift_mm']:.3g} mm away, "
                f"but at most {GEOMETRY_TOLERANCE:g} mm are allowed."
            )
    if pictures.mean_difference is not None:
        figures["difference"] = pictures.mean_difference
    return Finding(item, tuple(problems), figures, record, before, shown.result.geometry, ranges, pictures)


def _recorded(record: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures from the record of a result."""
    figures = {}
    if isinstance(record.get("disagreement"), float | int):
        figures["disagreement"] = float(record["disagreement"])
    if gains := slice_gains(record):
        figures["gain"] = gains["largest"]
    return figures


def slice_gains(record: Mapping[str, Any]) -> dict[str, float]:
    """Return the brightness differences between slices in percent, "rms" and "largest"; empty if there are none."""
    gains = record.get("slice_gains")
    values = [gains.get(key) for key in ("rms", "largest")] if isinstance(gains, Mapping) else []
    numbers = [float(value) for value in values if isinstance(value, float | int) and math.isfinite(value)]
    return {"rms": numbers[0], "largest": numbers[1]} if len(numbers) == 2 else {}


def _measured(measures: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures from the measures of a result."""
    figures = {"shift": float(measures["shift_mm"])}
    if measures["ripple"] is not None:
        figures["ripple"] = float(measures["ripple"])
    (low, high), (least, largest) = measures["range_before"], measures["range_after"]
    if high > low:
        figures["overshoot"] = 100 * max(0.0, low - least, largest - high) / (high - low)
    return figures
