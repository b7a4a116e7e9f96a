"""Statements of the header of a NIfTI or MGH file about position, units and the offset of the voxels.

Fields that nibabel corrects silently are read from the bytes: matrices with nonstandard codes may still be valid, and
an offset of 0 is not the start of the file.
"""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import gzip
import logging
import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from nibabel.freesurfer.mghformat import MGHImage
from nibabel.nifti1 import Nifti1Header, Nifti1Pair
from nibabel.nifti2 import Nifti2Header

from ArSSRLib.errors import InputError, one_line

LOGGER = logging.getLogger(__name__)

Affine = npt.NDArray[np.float64]

# Largest number of bytes before or after the voxels of a valid file.
SPARE_BYTES = 2**24
_MILLIMETERS = {"mm": 1.0, "meter": 1000.0, "micron": 1e-3, "unknown": 1.0}
# Headers are single precision; two forms of the same grid differ by less than this.
_FORMS_AGREE_MM = 1e-3
_KNOWN_CODES = range(6)
# "Aligned to something": written for a code that is not in the standard.
_ALIGNED = 2
# The two versions of the format, by the size of the header.
_HEADERS: dict[int, type[Nifti1Header]] = {348: Nifti1Header, 540: Nifti2Header}
_GOOD_RAS_FLAG = 28


def raw_header(path: Path) -> Nifti1Header | None:
    """Return the header of a file as written, or None if it is not a NIfTI file.

    Raises:
        InputError: If the file is damaged, or the offset of its voxels is so large that the behavior of nibabel is
            unknown.
    """
    if path.suffix.lower() == ".img":
        path = next((path.with_suffix(end) for end in (".hdr", ".HDR") if path.with_suffix(end).is_file()), path)
    start = _first_bytes(path, 544)
    if path.suffix.lower() in (".mgh", ".mgz") or len(start) < 348:
        return None
    for order in "<>":
        (size,) = struct.unpack_from(f"{order}i", start)
        if size not in _HEADERS or len(start) < size:
            continue
        raw = _HEADERS[size](start[:size], order, check=False)
        offset = raw["vox_offset"].item()
        if not offset <= SPARE_BYTES:
            msg = (
                f"states that its voxels begin at byte {offset:,.0f}, far beyond the end of any header; export it again"
            )
            raise InputError(msg)
        if first_voxel(raw) and offset == 0 and start[size : size + 1] > b"\0":
            msg = (
                "has a header extension but a vox_offset of 0, so the start of its voxels is unknown; export it "
                "again, or correct vox_offset in its header"
            )
            raise InputError(msg)
        return raw
    return None


def first_voxel(raw: Nifti1Header) -> int:
    """Return the default offset of the voxels in bytes; 0 if they are in another file."""
    return raw.single_vox_offset if raw["magic"].item().startswith(b"n+") else 0


def place(image: Nifti1Pair | MGHImage, raw: Nifti1Header | None, path: Path) -> tuple[Affine, dict[str, Any]]:
    """Return the affine to RAS mm, and the fields of the `FileHeader` that are specific to these formats.

    Missing and contradictory statements cause warnings.
    """
    header = image.header
    if not isinstance(header, Nifti1Header):
        if not _has_ras(path):
            LOGGER.warning(
                "%s: states neither voxel spacing nor orientation; 1 x 1 x 1 mm and coronal slices are assumed, "
                "so check the result.",
                path,
            )
        return np.array(image.affine, dtype=np.float64), {}
    codes = {name: 0 if raw is None else int(raw[f"{name}_code"]) for name in ("sform", "qform")}
    unit = _unit(header, path)
    # Only an sform does not need the spacing.
    needed = not codes["sform"] or _sound(header.get_sform) is None
    if raw is not None and needed and not all(raw["pixdim"][1:4]):
        text = "%s: states no voxel spacing along an axis; %g mm is assumed, so check the size of the result."
        LOGGER.warning(text, path, unit)
    affine, codes = _affine(header, codes, path, unit=unit)
    affine[:3] *= unit
    window = {name: float(header[name]) for name in ("cal_min", "cal_max")}
    return affine, {
        "description": " ".join(header["descrip"].item().split(b"\0")[0].decode("utf-8", "replace").split()),
        # A form that was not set is written like the other one, with its code; if neither was set, neither is written.
        "qform_code": codes["qform"] or codes["sform"],
        "sform_code": codes["sform"] or codes["qform"],
        "metadata": {name: repr(value) for name, value in window.items() if value and math.isfinite(value)},
    }


def _unit(header: Nifti1Header, path: Path) -> float:
    """Return the unit of lengths in mm."""
    try:
        return _MILLIMETERS[header.get_xyzt_units()[0]]
    except KeyError:
        LOGGER.warning(
            "%s: states lengths in a unit that NIfTI does not define; mm is assumed, so check the size of the result.",
            path,
        )
        return 1.0


def _affine(header: Nifti1Header, codes: dict[str, int], path: Path, *, unit: float) -> tuple[Affine, dict[str, int]]:
    """Return the affine in a unit of this length in mm, from sform, qform or spacing, and the codes used."""
    # ITK, and therefore Slicer, treats a form with a negative code as not set; other forms have priority.
    given = sorted((name for name, code in codes.items() if code), key=lambda name: codes[name] < 0)
    if not given:
        return _spacing_alone(header, path), codes
    written = {name: _written_code(name, codes[name], path) for name in given}
    forms = {"sform": _sound(header.get_sform), "qform": _sound(header.get_qform)}
    usable = {name: form for name in given if (form := forms[name]) is not None}
    if not usable:
        # Refused when the grid is created, with a message about the matrix.
        return np.asarray(header.get_sform() if "sform" in given else np.zeros((4, 4)), dtype=np.float64), codes
    used, affine = next(iter(usable.items()))
    for name in given:
        if name not in usable:
            LOGGER.warning("%s: its %s is singular or not finite; the %s is used instead.", path, name, used)
            written[name] = 0
        elif np.abs(affine - usable[name]).max() * unit > _FORMS_AGREE_MM:
            LOGGER.warning(
                "%s: its sform and its qform place the voxels differently; the %s is used, so check the orientation.",
                path,
                used,
            )
            written[name] = written[used]
    return np.array(affine, dtype=np.float64), {"sform": 0, "qform": 0, **written}


def _written_code(name: str, code: int, path: Path) -> int:
    """Return the code for the result; a code that NIfTI does not define causes a warning."""
    if code in _KNOWN_CODES:
        return code
    more = ", although other programs may ignore it" if code < 0 else ""
    text = "%s: its %s_code, %d, is not defined by NIfTI; its matrix is used nevertheless%s."
    LOGGER.warning(text, path, name, code, more)
    # A negative code is kept, so that programs that ignore the matrix of the source also ignore that of the result.
    return code if code < 0 else _ALIGNED


def _spacing_alone(header: Nifti1Header, path: Path) -> Affine:
    """Return the affine of a file without a stated position, as in ITK, and therefore in Slicer."""
    LOGGER.warning("%s: has neither sform nor qform, so left and right are a guess; check the orientation.", path)
    spacing = np.abs(np.asarray(header["pixdim"][1:4], dtype=np.float64))
    spacing[spacing == 0] = 1.0
    return np.asarray(np.diag([-spacing[0], -spacing[1], spacing[2], 1.0]))


def _sound(get: Any) -> Affine | None:  # noqa: ANN401 - a method of nibabel
    """Return a form that defines a grid, or None."""
    try:
        affine = np.asarray(get(), dtype=np.float64)
    except ValueError:  # a quaternion with a norm above 1
        return None
    with np.errstate(all="ignore"):
        sound = np.isfinite(affine).all() and np.linalg.norm(affine[:3, :3], axis=0).all()
        return affine if sound and np.linalg.matrix_rank(affine[:3, :3]) == 3 else None


# Python's message about data after a gzip file, which gunzip ignores.
NOT_GZIP = "Not a gzipped file"


def is_compressed(path: Path) -> bool:
    """Return whether a file is compressed by gzip, by its name."""
    return path.suffix.lower() in (".gz", ".mgz")


@contextmanager
def decompressed(path: Path) -> Iterator[BufferedIOBase]:
    """Open a file that may be compressed by gzip.

    Raises:
        InputError: If decompression fails.
    """
    try:
        with gzip.open(path) if is_compressed(path) else path.open("rb") as file:
            yield cast("BufferedIOBase", file)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        msg = f"is damaged or truncated ({one_line(error)}); copy or export it again"
        raise InputError(msg) from error


def _first_bytes(path: Path, count: int) -> bytes:
    with decompressed(path) as file:
        return file.read(count)


def _has_ras(path: Path) -> bool:
    """Return whether an MGH file states spacing and orientation."""
    start = _first_bytes(path, _GOOD_RAS_FLAG + 2)
    return len(start) < _GOOD_RAS_FLAG + 2 or struct.unpack_from(">h", start, _GOOD_RAS_FLAG) != (0,)
