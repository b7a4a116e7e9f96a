"""The sidecar of a NIfTI file according to the Brain Imaging Data Structure: a JSON file of the same name.

If the file was resampled, its sidecar may describe another grid; then the file prevails.
"""

from __future__ import annotations

import itertools
import json
import logging
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ArSSRLib.acquisition.profile import UNKNOWN, AxisProfile, SliceProfile
from ArSSRLib.acquisition.stated import AGREE, along_slices, in_plane
from ArSSRLib.complex_parts import component_by_type
from ArSSRLib.errors import InputError, reason_of, shown
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.io.content import refuse_unfetched

LOGGER = logging.getLogger(__name__)

# Programs that embed whole DICOM headers write several megabytes.
_LONGEST = 2**24
_NUMBERS = ("SliceThickness", "SpacingBetweenSlices", "AcquisitionMatrixPE", "BaseResolution", "ReconMatrixPE")
# Every spelling of the suffix, the usual one first: listing the folder would be slow if it contains many volumes.
_JSON = tuple(itertools.product("jJ", "sS", "oO", "nN"))
# Without a stated distance, slices with a larger overlap were resampled.
_OVERLAP = 1.2


def stated_beside(path: Path, geometry: VolumeGeometry) -> tuple[SliceProfile, str]:
    """Return the slice profiles and the part of a complex image stated by the sidecar of a NIfTI file, if any."""
    stem = path.name[: -len(".gz")] if path.name.lower().endswith(".gz") else path.name
    spellings = [path.with_name(f"{stem.rpartition('.')[0]}.{''.join(letters)}") for letters in _JSON]
    sidecar = next((spelling for spelling in spellings if os.path.lexists(spelling)), spellings[0])
    table = _table(sidecar)
    return profile_stated(table, geometry, sidecar), component_stated(table)


def component_stated(table: Mapping[str, Any]) -> str:
    """Return the part of a complex image stated by the content of a sidecar; empty if there is none."""
    types = [table.get(name) for name in ("ImageType", "ImageTypeText")]
    lists = [image_type.split("\\") if isinstance(image_type, str) else image_type for image_type in types]
    words = [str(word) for image_type in lists if isinstance(image_type, list) for word in image_type[2:]]
    return component_by_type([*words, str(table.get("ComplexImageComponent", ""))])


def profile_stated(table: Mapping[str, Any], geometry: VolumeGeometry, sidecar: Path) -> SliceProfile:
    """Return the slice profiles stated by the content of a sidecar, whose path is for the log."""
    if not table:
        return UNKNOWN
    table = {**table, **{name: _as_number(table[name], name, sidecar) for name in _NUMBERS if name in table}}
    axis = _slice_axis(table, geometry, sidecar)
    if axis is None:
        return UNKNOWN
    profiles: list[AxisProfile | None] = [None] * 3
    for other, acquired in _acquired(table, axis, geometry, sidecar).items():
        profiles[other] = in_plane(acquired, geometry.size[other], "ijk"[other], source="sidecar", origin=sidecar)
    kind = str(table.get("MRAcquisitionType", "")).strip().upper()
    thickness, spacing = _number(table, "SliceThickness"), geometry.spacing[axis]
    unstated = _number(table, "SpacingBetweenSlices") is None
    if kind == "2D" and unstated and thickness is not None and _OVERLAP * spacing < thickness:
        _contradicted(sidecar, f"slices of {thickness:.6g} mm", f"voxels of {spacing:.6g} mm")
        return UNKNOWN
    profiles[axis] = along_slices(thickness, spacing, kind, source="sidecar", origin=sidecar)
    return SliceProfile((profiles[0], profiles[1], profiles[2]))


def _table(sidecar: Path) -> dict[str, Any]:
    """Return the content of a sidecar; empty if there is none, or it is malformed."""
    try:
        refuse_unfetched(sidecar)
        with sidecar.open("rb") as file:
            content = file.read(_LONGEST + 1)
        if len(content) > _LONGEST:
            LOGGER.warning("%s: exceeds %d MB, unlike any sidecar file, and is ignored.", sidecar, _LONGEST >> 20)
            return {}
        table = json.loads(content.decode("utf-8-sig"))
    except FileNotFoundError:
        return {}
    except InputError as error:
        LOGGER.warning("%s: %s; without it, the slice profile is unknown.", sidecar.parent, error)
        return {}
    except (OSError, ValueError, RecursionError) as error:
        LOGGER.warning("%s: cannot be read as a sidecar file (%s) and is ignored.", sidecar, reason_of(error))
        return {}
    if not isinstance(table, dict):
        LOGGER.warning(
            "%s: is not a JSON object of names and values, as a sidecar file should be, and is ignored.", sidecar
        )
        return {}
    return table


def _slice_axis(table: Mapping[str, Any], geometry: VolumeGeometry, sidecar: Path) -> int | None:
    """Return the slice axis, or None if the sidecar describes another grid."""
    said = str(table.get("SliceEncodingDirection", ""))[:1]
    distance = _number(table, "SpacingBetweenSlices")
    named = ["ijk".index(said)] if said and said in "ijk" else [2, 1, 0]
    if distance is None or distance == 0:
        thickest = max(range(3), key=lambda n: (geometry.spacing[n], n))
        return named[0] if len(named) == 1 else thickest
    for axis in named:
        if math.isclose(abs(distance), geometry.spacing[axis], rel_tol=AGREE):
            return axis
    spacing = " x ".join(f"{s:.6g}" for s in geometry.spacing)
    _contradicted(sidecar, f"slices {abs(distance):.6g} mm apart", f"voxels of {spacing} mm")
    return None


def _acquired(table: Mapping[str, Any], slices: int, geometry: VolumeGeometry, sidecar: Path) -> dict[int, int | None]:
    """Return the k-space samples along the two in-plane axes, as far as known."""
    phase, frequency = (_number(table, name) for name in ("AcquisitionMatrixPE", "BaseResolution"))
    plane = [axis for axis in range(3) if axis != slices]
    said = str(table.get("PhaseEncodingDirection", table.get("PhaseEncodingAxis", "")))[:1]
    if phase is None or not said or said not in "ijk" or "ijk".index(said) == slices:
        return {}
    along = "ijk".index(said)
    stored = _number(table, "ReconMatrixPE")
    if stored is not None and int(stored) != geometry.size[along]:
        _contradicted(sidecar, f"{stored:.0f} voxels along {said}", f"{geometry.size[along]}")
        return {}
    other = next(axis for axis in plane if axis != along)
    return {along: int(phase), other: None if frequency is None else int(frequency)}


def _as_number(value: Any, name: str, sidecar: Path) -> float | None:  # noqa: ANN401 - whatever JSON holds
    """Return the value of a numeric key, which some programs write as text; a value that is no number is ignored."""
    if value is None or value in ("", "n/a"):
        return None
    try:
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            return float(value)
    except OverflowError:  # an integer beyond every float
        return math.inf
    except ValueError:
        pass
    LOGGER.warning("%s: states %s as %s, but a number is expected; it is ignored.", sidecar, name, shown(value))
    return None


def _number(table: Mapping[str, Any], name: str) -> float | None:
    value = table.get(name)
    # A thickness that is not finite is kept, so that the log reports it as impossible.
    return value if value is None or name == "SliceThickness" or math.isfinite(value) else None


def _contradicted(sidecar: Path, stated: str, found: str) -> None:
    LOGGER.warning(
        "%s: states %s, but the volume beside it has %s; the volume is used, and its slice profile is unknown.",
        sidecar,
        stated,
        found,
    )
