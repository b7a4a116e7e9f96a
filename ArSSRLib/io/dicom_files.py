"""The files of a DICOM series: images in a folder, their series, and duplicates.

pydicom reads the headers, with or without a preamble of 128 bytes. Voxels are only read to distinguish duplicates
from other images.
"""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import _read_file_meta_info, read_preamble
from pydicom.tag import Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from ArSSRLib.errors import InputError
from ArSSRLib.io.content import dicom_start, may_be_slice, refuse_unfetched
from ArSSRLib.io.dicom_profile import TAGS as PROFILE_TAGS
from ArSSRLib.io.formats import DICOM_SUFFIXES, suffix_of
from ArSSRLib.io.intensities import PRIVATE_TAGS

_TAGS = [
    Tag(name)
    for name in (
        "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "SeriesDescription", "Modality", "Manufacturer",
        "ImageType", "ComplexImageComponent", "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "Rows",
        "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue",
        "PixelPaddingRangeLimit", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "RescaleSlope",
        "RescaleIntercept", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", *PROFILE_TAGS,
    )
]  # fmt: skip
_PLAIN = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)
_LISTED_SERIES = 20
_VOXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
# Positions of copies that were written by two programs may differ in further digits.
_SAME_DECIMALS = 3


def headers_of(path: Path) -> dict[Path, Dataset]:
    """Return the headers of the images in a folder, or of one file, ordered by name.

    Raises:
        InputError: If there is no image, or a file is damaged.
    """
    candidates = [path] if path.is_file() else sorted(entry for entry in path.iterdir() if may_be_slice(entry))
    headers = {file: dataset for file in candidates if (dataset := _header(file)) is not None}
    if not headers:
        msg = f"contains no DICOM image{_advice(path)}"
        raise InputError(msg)
    return headers


def read_header(stream: BinaryIO, tags: list[int] | None = None) -> Dataset:
    """Return all or some attributes of the header of a DICOM file; the stream is then positioned before the voxels.

    Raises:
        InvalidDicomError: If it is not a DICOM file.
    """
    # Older archives wrote neither the 128 bytes of the preamble nor the following group of attributes.
    bare = dicom_start(stream) == "bare"
    dataset: Dataset = pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=tags, force=bare)
    if bare and not dataset.get("SOPClassUID"):
        raise InvalidDicomError
    return dataset


def choose(headers: dict[Path, Dataset], wanted: str | None) -> list[Path]:
    """Return the files of the only series or of the selected series, including duplicates.

    Raises:
        InputError: If there are several without a selection, or none matches it.
    """
    found: dict[str, list[Path]] = {}
    for file, dataset in headers.items():
        found.setdefault(str(dataset.get("SeriesInstanceUID", "")), []).append(file)
    descriptions = {uid: words(headers[files[0]].get("SeriesDescription")) for uid, files in found.items()}
    matching = [uid for uid in found if wanted is None or wanted in (uid, descriptions[uid])]
    if len(matching) == 1:
        return found[matching[0]]
    listed = [
        f"{uid} ({descriptions[uid] or 'no description'}, {_counted(files, headers)})" for uid, files in found.items()
    ]
    more = [f"and {len(listed) - _LISTED_SERIES} more"] if len(listed) > _LISTED_SERIES else []
    listing = "; ".join(listed[:_LISTED_SERIES] + more)
    which = "" if wanted is None else f', {len(matching) or "none"} of them "{wanted}"'
    msg = f"contains {len(found)} series{which}: {listing}; choose one by its UID with --series"
    raise InputError(msg)


def words(text: object) -> str:
    """Return a text of a header as one line."""
    return " ".join(str(text or "").split())


def without_copies(files: Sequence[Path], headers: dict[Path, Dataset]) -> list[Path]:
    """Return the files, ordered by name, without those that repeat the position and the voxels of another file."""
    alike: dict[str, list[Path]] = {}
    for file in files:
        place = [headers[file].get(name) for name in ("ImagePositionPatient", "ImageOrientationPatient")]
        # A multi-frame file has positions in its frames, and is only compared with files of the same UID.
        rounded = [_rounded(numbers) for numbers in place if numbers]
        alike.setdefault(str(rounded if all(place) else headers[file].get("SOPInstanceUID")), []).append(file)
    kept: list[Path] = []
    for group in alike.values():
        seen = {_voxel_hash(file): file for file in reversed(group)} if len(group) > 1 else {"": group[0]}
        kept += seen.values()
    return sorted(kept)


def _rounded(numbers: Any) -> Any:  # noqa: ANN401 - whatever a header has; text that is no number is refused later
    try:
        return np.round(np.asarray(numbers, dtype=np.float64), _SAME_DECIMALS) + 0.0
    except (TypeError, ValueError):
        return numbers


def _voxel_hash(file: Path) -> str:
    with file.open("rb") as stream:
        dataset = pydicom.dcmread(stream, specific_tags=list(_VOXELS), force=True)
    return hashlib.sha256(b"".join(dataset.get(name) or b"" for name in _VOXELS)).hexdigest()


def _header(file: Path) -> Dataset | None:
    """Return the header of a file, or None if it is not an image."""
    damaged = f"has a damaged slice, {file.name}; copy or export the series again"
    refuse_unfetched(file)
    try:
        with file.open("rb") as stream:
            start = dicom_start(stream)
            if start == "preamble":
                _refuse_deflated(stream)
            dataset = read_header(stream, [*_TAGS, *PRIVATE_TAGS])
            remaining = file.stat().st_size - stream.tell()
    except InvalidDicomError as error:
        if suffix_of(file) in DICOM_SUFFIXES:
            raise InputError(damaged) from error
        return None
    except (OSError, InputError):
        raise
    except Exception as error:  # the exceptions of pydicom for damaged bytes are not documented
        if start == "bare" and suffix_of(file) not in DICOM_SUFFIXES:
            return None
        raise InputError(damaged) from error
    if dataset.get("Rows") and dataset.get("Columns"):
        if remaining < _voxel_bytes(dataset):
            raise InputError(damaged)
        return dataset
    # A report or a directory has no rows; an image without rows is truncated.
    if "Image Storage" in getattr(dataset.file_meta.get("MediaStorageSOPClassUID"), "name", ""):
        raise InputError(damaged)
    return None


def _refuse_deflated(stream: BinaryIO) -> None:
    """Refuse a file that is deflated as a whole, because pydicom would decompress it to any size at once."""
    read_preamble(stream, False)
    if _read_file_meta_info(stream).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        msg = "has a slice in a deflated transfer syntax, which is not supported; export the series again, uncompressed"
        raise InputError(msg)
    stream.seek(0)


def _voxel_bytes(dataset: Dataset) -> int:
    """Return the smallest size of the voxels of a file in bytes; GDCM does not report missing bytes."""
    # A file without this group is not compressed.
    if dataset.file_meta.get("TransferSyntaxUID", ExplicitVRLittleEndian) not in _PLAIN:
        return 1
    voxels_in_file = int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("NumberOfFrames") or 1)
    return voxels_in_file * int(dataset.get("BitsAllocated") or 16) // 8


def _counted(files: Sequence[Path], headers: dict[Path, Dataset]) -> str:
    count = sum(int(headers[file].get("NumberOfFrames") or 1) for file in files)
    return f"{count} slice{'s' * (count != 1)}"


def _advice(path: Path) -> str:
    """Return advice on a folder without images: where there are some, or what is expected."""
    expected = "; specify a volume, or the folder that directly contains the slices of a series"
    if (path / "dataset_description.json").is_file():
        every = f"upsample all of them with: arssr bids {path} OUTPUT_DIR participant --isotropic"
        return f", because it is a BIDS data set, whose scans lie in subfolders; specify one of them, or {every}"
    if not path.is_dir():
        return expected
    for deeper in sorted(folder for folder in path.iterdir() if folder.is_dir() and not folder.name.startswith(".")):
        if any(True for _ in deeper.iterdir()):
            return f", and its subfolders, such as {deeper.name}, are not searched{expected}"
    return expected
