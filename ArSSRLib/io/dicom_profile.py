"""Statements of DICOM headers about the slice profile."""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset

from ArSSRLib.acquisition.profile import UNKNOWN, SliceProfile
from ArSSRLib.acquisition.stated import along_slices, in_plane
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.io.intensities import image_types

LOGGER = logging.getLogger(__name__)

# Attributes that are used here.
TAGS = ("SliceThickness", "MRAcquisitionType", "AcquisitionMatrix", "InPlanePhaseEncodingDirection")
_THICKNESS_AGREES_MM = 1e-3


def profile_of(headers: Sequence[Dataset], geometry: VolumeGeometry, path: Path) -> SliceProfile:
    """Return the slice profiles stated by the headers of a series on the grid of its slices, which are along k.

    The phase-encoding direction, if stated, assigns the counts of the acquisition matrix to rows and columns.
    """
    kinds = [word.upper() for word in image_types(headers[0])]
    if kinds[:1] == ["DERIVED"]:
        LOGGER.info(
            "%s: is derived from other images, so what it states about the acquisition is not used; the slice "
            "profile is unknown.",
            path,
        )
        return UNKNOWN
    groups = [_groups(header) for header in headers]
    acquisition = str(_find(groups[0], "MRAcquisitionType") or "").strip().upper()
    thickness = _thickness(groups, path)
    rows, columns = _acquired(groups[0], path)
    i = in_plane(rows, geometry.size[0], "i", source="DICOM", origin=path)
    j = in_plane(columns, geometry.size[1], "j", source="DICOM", origin=path)
    k = along_slices(thickness, geometry.spacing[2], acquisition, source="DICOM", origin=path)
    return SliceProfile((i, j, k))


def _thickness(groups: Sequence[Sequence[Dataset]], path: Path) -> float | None:
    """Return the slice thickness that all files state, in mm; None if there is none, or they differ."""
    texts = {str(value): _number(value) for group in groups for value in _all(group, "SliceThickness")}
    values = [value for value in texts.values() if value is not None]
    alike = len(values) == len(texts) and np.ptp(values or [0]) <= _THICKNESS_AGREES_MM
    if len(texts) > 1 and not alike:
        LOGGER.warning("%s: states different slice thicknesses; the slice profile is unknown.", path)
        return None
    return values[0] if values else None


def _acquired(groups: Sequence[Dataset], path: Path) -> tuple[int | None, int | None]:
    """Return the k-space samples along a row (i) and along a column (j); None if unknown."""
    direction = str(_find(groups, "InPlanePhaseEncodingDirection") or "").strip().upper()
    frequency = _find(groups, "MRAcquisitionFrequencyEncodingSteps")
    phase = _find(groups, "MRAcquisitionPhaseEncodingStepsInPlane")
    if frequency and phase and direction in ("ROW", "COL", "COLUMN"):
        pair = (int(frequency), int(phase))
        return pair if direction.startswith("COL") else pair[::-1]
    try:
        numbers = [int(n) for n in _find(groups, "AcquisitionMatrix")]
    except (TypeError, ValueError):  # it is absent, or malformed
        return None, None
    return _of_matrix(numbers, direction, path) if len(numbers) == 4 else (None, None)


def _of_matrix(numbers: Sequence[int], direction: str, path: Path) -> tuple[int | None, int | None]:
    """Return the samples along a row and along a column by an acquisition matrix; None if it is contradictory."""
    # Frequency along a row, along a column, phase along a row, along a column: one of each pair is 0.
    row, column = numbers[0] or numbers[2], numbers[1] or numbers[3]
    stated = {"ROW": numbers[2], "COL": numbers[3]}.get(direction, row)
    if not row or not column or min(numbers) < 0 or sum(map(bool, numbers)) != 2 or (not stated and row != column):
        LOGGER.warning(
            "%s: states an acquisition matrix of %s and phase encoding along %s, which contradict each other; the "
            "profiles in the plane are unknown.",
            path,
            numbers,
            direction or "an unnamed axis",
        )
        return None, None
    return row, column


def _groups(header: Dataset) -> list[Dataset]:
    """Return the groups of attributes of a file: top level, shared functional groups, and those of its frames."""
    outer = [*(header.get("SharedFunctionalGroupsSequence") or [])]
    outer += [*(header.get("PerFrameFunctionalGroupsSequence") or [])]
    names = ("PixelMeasuresSequence", "MRFOVGeometrySequence")
    return [header, *(item for group in outer for name in names for item in group.get(name) or [])]


def _all(groups: Sequence[Dataset], name: str) -> list[Any]:
    return [value for group in groups if (value := _value(group, name)) not in (None, "")]


def _value(group: Dataset, name: str) -> Any:  # noqa: ANN401 - a value of any type
    try:
        return group.get(name)
    except Exception:  # pydicom decodes values lazily, and its exceptions are not documented
        LOGGER.warning("The attribute %s cannot be interpreted and is ignored.", name)
        return None


def _find(groups: Sequence[Dataset], name: str) -> Any:  # noqa: ANN401 - a value of any type
    return next(iter(_all(groups, name)), None)


def _number(value: Any) -> float | None:  # noqa: ANN401 - as a header has it
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
