"""DICOM series, reading: headers by pydicom, voxels by SimpleITK (GDCM), which also decompresses.

The grid is computed from the position of every slice, never from a slice thickness, so a missing slice is found
instead of being stretched over. Nothing that identifies a patient leaves this room.
"""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pydicom
import SimpleITK as sitk  # noqa: N813 - the name everyone knows it by
from pydicom import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import _read_file_meta_info, read_preamble
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from ArSSRLib.errors import ArSSRError, InputError
from ArSSRLib.io import itk, quiet, voxels
from ArSSRLib.io.files import suffix_of
from ArSSRLib.io.stack import Plane, stack
from ArSSRLib.volume import FileHeader, Volume

LOGGER = logging.getLogger(__name__)

_TAGS = [
    "SOPClassUID", "SeriesInstanceUID", "SeriesDescription", "Modality", "ImageType", "SamplesPerPixel",
    "NumberOfFrames", "Rows", "Columns", "BitsAllocated", "PixelRepresentation", "PixelSpacing",
    "ImagePositionPatient", "ImageOrientationPatient", "RescaleSlope", "RescaleIntercept",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
]  # fmt: skip
_PLAIN = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)
_LISTED_SERIES = 20


def read(path: Path, series: str | None) -> Volume:
    """Read one series from a folder, or from a multi-frame file.

    Args:
        path: A folder, which is searched without its subfolders, or a file.
        series: Series instance UID or description; needed where there are several.

    Raises:
        InputError: If there is no series, or several to choose from, or its slices are not one evenly spaced stack.
    """
    # pydicom reports every departure from the standard, and scanners depart from it a lot.
    with quiet.forwarded("pydicom", LOGGER, logging.DEBUG, path), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            headers = _headers(path)
            files = _choose(headers, series)
            planes = [plane for file in files for plane in planes_of(headers[file], file)]
        except (ArSSRError, OSError):
            raise
        except Exception as error:  # pydicom decodes a value when it is asked for, and raises what it likes
            msg = f"has a DICOM header that cannot be understood ({error}); export the series again"
            raise InputError(" ".join(msg.split())) from error
    order, geometry = stack(planes)
    stored = _voxels(files, geometry.shape)[order]
    first = headers[files[0]]
    # GDCM applies slope and intercept, and makes integers of them where it can.
    bits = int(first.get("BitsAllocated") or 16)
    scaled = stored.dtype.kind == "f" and bits in (8, 16)
    dtype = np.dtype(f"{'i' if first.get('PixelRepresentation') else 'u'}{bits // 8}") if scaled else stored.dtype
    header = FileHeader(
        dtype=dtype,
        scaled=scaled,
        description=_words(first.get("SeriesDescription")),
        metadata={"Modality": _words(first.get("Modality"))},
    )
    return Volume(voxels.in_memory(stored), geometry, header)


def find(path: Path, series: str | None) -> list[Path]:
    """Return the files of one series, in the order of their names.

    Args:
        path: A folder, which is searched without its subfolders, or a file.
        series: Series instance UID or description; needed where there are several.

    Raises:
        InputError: If there is no series, or several to choose from.
    """
    with quiet.forwarded("pydicom", LOGGER, logging.DEBUG, path), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _choose(_headers(path), series)


def _headers(path: Path) -> dict[Path, Dataset]:
    """Return the headers of the images in a folder, or of one file, in the order of the names."""
    if path.is_file():
        candidates = [path]
    else:
        candidates = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
    headers = {file: dataset for file in candidates if (dataset := _header(file)) is not None}
    if not headers:
        msg = "holds no DICOM image; name a volume, or the folder in which the slices of a series lie directly"
        raise InputError(msg)
    return headers


def _header(file: Path) -> Dataset | None:
    """Return the header of a file, or None if it is not an image at all."""
    damaged = f"has a damaged slice, {file.name}; copy or export the series again"
    try:
        with file.open("rb") as stream:
            _refuse_deflated(stream)
            dataset = pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=list(_TAGS))
            remaining = file.stat().st_size - stream.tell()
    except InvalidDicomError as error:
        if suffix_of(file) == ".dcm":
            raise InputError(damaged) from error
        return None
    except (OSError, InputError):
        raise
    except Exception as error:  # what pydicom raises on damaged bytes is not documented
        raise InputError(damaged) from error
    if dataset.get("Rows") and dataset.get("Columns"):
        if remaining < _voxel_bytes(dataset):
            raise InputError(damaged)
        return dataset
    # A report or a directory has no rows; an image without them was cut short.
    if "Image Storage" in getattr(dataset.file_meta.get("MediaStorageSOPClassUID"), "name", ""):
        raise InputError(damaged)
    return None


def _refuse_deflated(stream: BinaryIO) -> None:
    """Refuse a file that is deflated as a whole: pydicom unpacks all of it at once, whatever that comes to.

    Raises:
        InputError: If it is.
    """
    read_preamble(stream, False)
    if _read_file_meta_info(stream).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        msg = "has a slice that is deflated as a whole, which is not read; export the series again, uncompressed"
        raise InputError(msg)
    stream.seek(0)


def _voxel_bytes(dataset: Dataset) -> int:
    """Return how many bytes the voxels of a file must have at least; GDCM does not mind if there are fewer."""
    if dataset.file_meta.get("TransferSyntaxUID") not in _PLAIN:
        return 1
    voxels_in_file = int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("NumberOfFrames") or 1)
    return voxels_in_file * int(dataset.get("BitsAllocated") or 16) // 8


def _choose(headers: dict[Path, Dataset], wanted: str | None) -> list[Path]:
    """Return the files of the one series there is, or of the one that is wanted."""
    found: dict[str, list[Path]] = {}
    for file, dataset in headers.items():
        found.setdefault(str(dataset.get("SeriesInstanceUID", "")), []).append(file)
    descriptions = {uid: _words(headers[files[0]].get("SeriesDescription")) for uid, files in found.items()}
    matching = [uid for uid in found if wanted is None or wanted in (uid, descriptions[uid])]
    if len(matching) == 1:
        return found[matching[0]]
    listed = [
        f"{uid} ({descriptions[uid] or 'no description'}, {_counted(files, headers)})" for uid, files in found.items()
    ]
    more = [f"and {len(listed) - _LISTED_SERIES} more"] if len(listed) > _LISTED_SERIES else []
    listing = "; ".join(listed[:_LISTED_SERIES] + more)
    which = "" if wanted is None else f", {len(matching) or 'none'} of them {wanted!r}"
    msg = f"holds {len(found)} series{which}: {listing}; choose one by its UID with --series"
    raise InputError(msg)


def _counted(files: Sequence[Path], headers: dict[Path, Dataset]) -> str:
    count = sum(int(headers[file].get("NumberOfFrames") or 1) for file in files)
    return f"{count} slice{'s' * (count != 1)}"


def planes_of(dataset: Dataset, file: Path) -> list[Plane]:
    """Return the slices of a file, in its order.

    Args:
        dataset: Its header.
        file: Its name, for the message.

    Raises:
        InputError: If it is no stack of gray-scale slices with a place each.
    """
    if int(dataset.get("SamplesPerPixel") or 1) != 1:
        msg = "has colors; real gray-scale values are needed: export the original series"
        raise InputError(msg)
    if "MOSAIC" in (dataset.get("ImageType") or ()):
        msg = "is a mosaic, many slices tiled into one image; convert it first, for example with dcm2niix"
        raise InputError(msg)
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or [dataset]
    if len(frames) != int(dataset.get("NumberOfFrames") or 1):
        msg = f"has frames without a position, in {file.name}; export it as single slices or convert it with dcm2niix"
        raise InputError(msg)
    try:
        planes = [_plane((frame, shared, dataset)) for frame in frames]
    except ValueError as error:
        msg = f"has no usable {error} in {file.name}; export the original series, not screenshots"
        raise InputError(msg) from error
    # GDCM would apply the slope of the first frame to all of them.
    if len({plane.rescale for plane in planes}) > 1:
        msg = f"has frames with different intensity slopes, in {file.name}; convert it first, for example with dcm2niix"
        raise InputError(msg)
    return planes


def _plane(groups: Sequence[Dataset]) -> Plane:
    """Return one slice, described by its own group of attributes, the shared one, and the file."""
    transform = "PixelValueTransformationSequence"
    return Plane(
        position=_numbers(groups, "PlanePositionSequence", "ImagePositionPatient", 3),
        orientation=_numbers(groups, "PlaneOrientationSequence", "ImageOrientationPatient", 6),
        spacing=_numbers(groups, "PixelMeasuresSequence", "PixelSpacing", 2),
        size=(int(groups[-1].Columns), int(groups[-1].Rows)),
        rescale=(
            *_numbers(groups, transform, "RescaleSlope", 1, default=1.0),
            *_numbers(groups, transform, "RescaleIntercept", 1, default=0.0),
        ),
    )


def _numbers(groups: Sequence[Dataset], sequence: str, name: str, count: int, *, default: float | None = None) -> Any:  # noqa: ANN401 - a tuple of ``count`` floats, which types cannot say
    """Return the numbers of an attribute from the first group that has it, inside its sequence or not."""
    for group in groups:
        try:
            value = (group.get(sequence) or [group])[0].get(name)
            numbers = np.atleast_1d(np.asarray([] if value in (None, "") else value, dtype=np.float64))
        except (ValueError, TypeError) as error:
            raise ValueError(name) from error
        if not numbers.size:
            continue
        if numbers.shape != (count,) or not np.isfinite(numbers).all():
            raise ValueError(name)
        return tuple(float(x) for x in numbers)
    if default is None:
        raise ValueError(name)
    return (default,) * count


def _voxels(files: Sequence[Path], shape: tuple[int, int, int]) -> npt.NDArray[Any]:
    """Return the voxels of all slices in the order of the files, shape (k, j, i) as the headers promise."""
    undecoded = "has voxels that cannot be decoded; copy or export it again"
    try:
        with itk.silence():
            arrays = [sitk.GetArrayFromImage(itk.open_reader(file, "GDCMImageIO").Execute()) for file in files]
    except RuntimeError as error:
        raise InputError(undecoded) from error
    if any(array.shape[1:] != shape[1:] for array in arrays) or sum(map(len, arrays)) != shape[0]:
        raise InputError(undecoded)
    # Slices may differ in type, where each has a slope of its own: concatenating takes the widest.
    together: npt.NDArray[Any] = np.concatenate(arrays)
    return together


def _words(text: object) -> str:
    return " ".join(str(text or "").split())
