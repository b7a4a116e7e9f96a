"""Volumes as DICOM: a derived series of single MR slices that refers to its source.

The grid is that of the volume, not of the source. Voxels of 16 bits are stored unchanged; anything else gets a slope
and an intercept that cover its range in 65536 steps. `mr_header` defines the other attributes of the slices.
"""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid
from pydicom.valuerep import format_number_as_ds

from ArSSRLib.errors import InputError, OutputError
from ArSSRLib.io import dicom, quiet, voxels
from ArSSRLib.io.derivation import Derivation
from ArSSRLib.io.dicom_files import read_header
from ArSSRLib.io.files import SLICE_NAME
from ArSSRLib.io.mr_header import references, series_header, slice_header
from ArSSRLib.io.stack import Plane
from ArSSRLib.volume import Volume

LOGGER = logging.getLogger(__name__)

_LEGACY_CONVERTED = "1.2.840.10008.5.1.4.1.1.4.4"
_SOURCES = (MRImageStorage, EnhancedMRImageStorage, _LEGACY_CONVERTED)
_MOST_ROWS = 65535
_STEPS = 65535
# A slice that is closer than this to one slice of the source, relative to the spacing, is not between two slices.
_ON_A_SLICE = 0.01


@dataclass(frozen=True)
class _SourceSlice:
    """A slice of the source: its file, the number of its frame there (or None), its groups and its position."""

    file: Dataset
    frame: int | None
    groups: tuple[Dataset, ...]
    plane: Plane


@dataclass(frozen=True)
class _Stored:
    """Voxels as stored in DICOM, shape (k, j, i), with the slope and the intercept for the intensities."""

    array: npt.NDArray[Any]
    slope: str = ""
    intercept: str = ""


def require_mr(files: Sequence[Path]) -> None:
    """Refuse a source that does not allow a derived series, before the computation, which may take hours.

    Raises:
        InputError: If it is not MR, or several series, or lacks attributes of its study.
    """
    _read_headers(files)


def write(volume: Volume, folder: Path, files: Sequence[Path], derivation: Derivation) -> list[str]:
    """Write one file per slice into an empty folder, and return their names in the order of k.

    Raises:
        InputError: If the source is not usable; see `require_mr`.
        OutputError: If the voxels cannot be stored.
    """
    with quiet.forwarded("pydicom", LOGGER, logging.DEBUG, folder), warnings.catch_warnings(action="ignore"):
        slices = [part for file, header in _read_headers(files) for part in _slices(header, file)]
        common = _image_header(volume, slices, derivation)
        stored = _stored(volume)
        padding = _stored_padding(volume, stored)
        if padding is not None:
            common.PixelPaddingValue = padding
        names = []
        for k in range(volume.geometry.size[2]):
            dataset = _slice(volume, k, stored, slices)
            dataset.update(common)
            dataset.InstanceNumber = k + 1
            dataset.file_meta = FileMetaDataset()
            dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            names.append(SLICE_NAME.format(k + 1))
            dataset.save_as(folder / names[-1], enforce_file_format=True)
    return names


def _read_headers(files: Sequence[Path]) -> list[tuple[Path, Dataset]]:
    if not files:
        msg = "has no source images; specify the files of the series from which it was made"
        raise InputError(msg)
    headers: list[tuple[Path, Dataset]] = []
    with warnings.catch_warnings(action="ignore"):
        for file in files:
            try:
                with file.open("rb") as stream:
                    headers.append((file, read_header(stream)))
            except OSError:
                raise
            except Exception as error:  # the exceptions of pydicom for damaged bytes are not documented
                msg = f"has a source that is not a readable DICOM file, {file.name}; export the series again"
                raise InputError(msg) from error
    _require_usable([header for _, header in headers])
    return headers


def _require_usable(headers: Sequence[Dataset]) -> None:
    modality = str(headers[0].get("Modality") or "no modality")
    kinds = {str(header.get("SOPClassUID", "")) for header in headers}
    if modality != "MR" or not kinds <= set(_SOURCES):
        what = modality if modality != "MR" else f"MR of the kind {pydicom.uid.UID(sorted(kinds)[0]).name}"
        msg = f"comes from {what}, but a derived series can only be made from MR images; write .nii.gz or .nrrd instead"
        raise InputError(msg)
    series = {str(header.get("SeriesInstanceUID", "")) for header in headers}
    if len(series) != 1:
        msg = f"has sources from {len(series)} series, but exactly one is needed; specify the files of a single series"
        raise InputError(msg)
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        if not all(header.get(name) for header in headers):
            msg = f"has a source without {name}, so its study cannot be identified; export the series again"
            raise InputError(msg)


def _slices(header: Dataset, file: Path) -> list[_SourceSlice]:
    planes = dicom.planes_of(header, file)
    frames = header.get("PerFrameFunctionalGroupsSequence")
    if not frames:
        return [_SourceSlice(header, None, (header,), planes[0])]
    shared = (header.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    return [
        _SourceSlice(header, number, (frame, shared, header), plane)
        for number, (frame, plane) in enumerate(zip(frames, planes, strict=True), start=1)
    ]


def _image_header(volume: Volume, slices: Sequence[_SourceSlice], derivation: Derivation) -> Dataset:
    """Return the common attributes of all slices: the series, the in-plane grid, and the voxel type."""
    common = series_header(slices[0].file, derivation)
    geometry = volume.geometry
    columns, rows, _ = geometry.size
    if max(columns, rows) > _MOST_ROWS:
        msg = (
            f"has slices of {columns} x {rows} voxels, but DICOM allows at most {_MOST_ROWS} along an axis; write "
            ".nii.gz instead"
        )
        raise OutputError(msg)
    axes = np.reshape(geometry.direction, (3, 3)).T
    common.ImageOrientationPatient = _decimal([*axes[0], *axes[1]])
    # Spacing between rows first, then between columns, as defined by DICOM.
    common.PixelSpacing = _decimal([geometry.spacing[1], geometry.spacing[0]])
    common.SliceThickness = common.SpacingBetweenSlices = _decimal([geometry.spacing[2]])[0]
    common.Rows, common.Columns = rows, columns
    common.SamplesPerPixel = 1
    common.BitsAllocated = common.BitsStored = 16
    common.HighBit = 15
    return common


def _slice(volume: Volume, k: int, stored: _Stored, slices: Sequence[_SourceSlice]) -> Dataset:
    """Return the attributes of one slice: position, voxels, sources, and copied attributes."""
    geometry = volume.geometry
    columns, rows, _ = geometry.size
    center = (geometry.affine @ [(columns - 1) / 2, (rows - 1) / 2, k, 1])[:3]
    nearest = _nearest(center, slices)
    dataset = slice_header(nearest[0].groups)
    if not dataset.get("PhotometricInterpretation"):
        dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.update(references((part.file, part.frame) for part in nearest))
    dataset.ImagePositionPatient = _decimal((geometry.affine @ [0, 0, k, 1])[:3])
    dataset.PixelRepresentation = int(stored.array.dtype.kind == "i")
    if stored.slope:
        dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = stored.slope, stored.intercept, "US"
    dataset.PixelData = stored.array[k].astype(stored.array.dtype.newbyteorder("<"), copy=False).tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.SOPInstanceUID = generate_uid(prefix=None)
    dataset.remove_private_tags()
    return dataset


def _nearest(center: npt.NDArray[np.float64], slices: Sequence[_SourceSlice]) -> list[_SourceSlice]:
    """Return the slice of the source at a position in LPS mm, or the two around it, the nearest first."""
    plane = slices[0].plane
    normal = np.cross(plane.orientation[:3], plane.orientation[3:])
    depths = np.array([np.dot(part.plane.position, normal) for part in slices]) - float(center @ normal)
    order = np.argsort(np.abs(depths), kind="stable")
    first = slices[order[0]]
    spacing = float(np.median(np.diff(np.sort(depths)))) if len(slices) > 1 else 0.0
    if abs(depths[order[0]]) <= _ON_A_SLICE * spacing:
        return [first]
    beyond = [n for n in order[1:] if depths[n] * depths[order[0]] < 0]
    return [first, *(slices[n] for n in beyond[:1])]


def _stored(volume: Volume) -> _Stored:
    """Return the voxels as 16-bit integers: unchanged if possible, otherwise in steps of a stated slope."""
    array = voxels.for_storage(volume.array, volume.header)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        msg = "has voxels that are NaN or infinite, which DICOM cannot store; write .nii.gz or .nrrd instead"
        raise OutputError(msg)
    low, high = array.min(), array.max()
    if array.dtype.kind in "iu":
        own = volume.header.dtype
        unsigned = own is not None and own.kind == "u"
        for dtype in (np.uint16, np.int16) if unsigned else (np.int16, np.uint16):
            if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
                return _Stored(array.astype(dtype, copy=False))
    return _scaled(array, float(low), float(high))


def _stored_padding(volume: Volume, stored: _Stored) -> int | None:
    """Return the stored value of voxels that the source declares as padding, or None if there are none."""
    if volume.header.padding is None:
        return None
    middle = sum(volume.header.padding) / 2
    number = round((middle - float(stored.intercept or 0)) / float(stored.slope or 1))
    return number if (stored.array == number).any() else None


def _scaled(array: npt.NDArray[Any], low: float, high: float) -> _Stored:
    """Return voxels as multiples of the slope after rounding to its stored text, which has at most 16 characters."""
    slope, intercept = _decimal([(high - low) / _STEPS or 1.0, low])
    if float(slope) * _STEPS + float(intercept) < high:  # the text of the slope was rounded down
        slope = _decimal([np.nextafter(float(slope), np.inf) * (1 + 1e-9)])[0]
    stored = np.empty(array.shape, dtype=np.uint16)
    for plane, source in zip(stored, array, strict=True):
        steps = (source.astype(np.float64) - float(intercept)) / float(slope)
        plane[...] = np.rint(steps).clip(0, _STEPS)
    return _Stored(stored, slope, intercept)


def _decimal(values: Sequence[float] | npt.NDArray[np.float64]) -> list[str]:
    """Return numbers as decimal text with as many digits as 16 characters allow."""
    return [format_number_as_ds(float(value)) for value in values]
