"""Reading of DICOM series: headers by pydicom, voxels by SimpleITK (GDCM), which also decompresses.

The grid is computed from the positions of all slices, never from a slice thickness, so that a missing slice is detected
rather than stretched over. Nothing that identifies a patient leaves this room.
"""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
import SimpleITK as sitk  # noqa: N813 - the name everyone knows it by
from pydicom import Dataset

from ArSSRLib.errors import ArSSRError, InputError
from ArSSRLib.io import itk, quiet, voxels
from ArSSRLib.io.dicom_files import choose, headers_of, without_copies, words
from ArSSRLib.io.dicom_profile import profile_of
from ArSSRLib.io.intensities import component_of, is_mosaic, padding_of
from ArSSRLib.io.stack import Plane, stack
from ArSSRLib.packages import require_package
from ArSSRLib.volume import FileHeader, Volume

LOGGER = logging.getLogger(__name__)

# Groups in the copy of a file for the decoder; they do not contain names of people.
_DECODED_GROUPS = (0x0018, 0x0020, 0x0028, 0x5200, 0x7FE0)


def read(path: Path, series: str | None) -> Volume:
    """Read one series from a folder without its subfolders, or from a multi-frame file; arguments as for `find`.

    Raises:
        InputError: If there is no series, several without a selection, or its slices are not one evenly spaced stack.
    """
    # pydicom reports every deviation from the standard, and scanners often deviate.
    with quiet.forwarded("pydicom", LOGGER, logging.DEBUG, path), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            headers = headers_of(path)
            found = choose(headers, series)
            files = without_copies(found, headers)
            planes = [plane for file in files for plane in planes_of(headers[file], file)]
        except (ArSSRError, OSError):
            raise
        except Exception as error:  # pydicom decodes values lazily, and its exceptions are not documented
            msg = f"has a DICOM header that cannot be interpreted ({error}); export the series again"
            raise InputError(" ".join(msg.split())) from error
    if len(files) < len(found):
        text = "%s: %d of %d files are copies of others, with the same position and voxels; each image is read once"
        LOGGER.warning(text, path, len(found) - len(files), len(found))
    order, geometry = stack(planes)
    first = headers[files[0]]
    stored = _voxels(files, geometry.shape, inverted=first.get("PhotometricInterpretation") == "MONOCHROME1")[order]
    # GDCM applies slope and intercept, and converts to integers if possible.
    bits = int(first.get("BitsAllocated") or 16)
    scaled = stored.dtype.kind == "f" and bits in (8, 16)
    dtype = np.dtype(f"{'i' if first.get('PixelRepresentation') else 'u'}{bits // 8}") if scaled else stored.dtype
    header = FileHeader(
        dtype=dtype,
        scaled=scaled,
        description=words(first.get("SeriesDescription")),
        padding=padding_of(first, {plane.rescale for plane in planes}),
        component=component_of(first),
        profile=profile_of([headers[file] for file in files], geometry, path),
        metadata={"Modality": words(first.get("Modality"))},
    )
    return Volume(voxels.in_memory(stored), geometry, header)


def find(path: Path, series: str | None) -> list[Path]:
    """Return the files of one series in a folder, or of a file, ordered by name; ``series`` is a UID or a description.

    Raises:
        InputError: If there is no series, or several without a selection.
    """
    with quiet.forwarded("pydicom", LOGGER, logging.DEBUG, path), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        headers = headers_of(path)
        return without_copies(choose(headers, series), headers)


def planes_of(dataset: Dataset, file: Path) -> list[Plane]:
    """Return the slices of a file, in its order.

    Raises:
        InputError: If it is not a stack of grayscale slices with positions.
    """
    if int(dataset.get("SamplesPerPixel") or 1) != 1:
        msg = "has color images, but grayscale values are needed; export the original series"
        raise InputError(msg)
    if is_mosaic(dataset):
        msg = "is a mosaic, in which many slices are tiled into one image; convert it first, for example with dcm2niix"
        raise InputError(msg)
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or [dataset]
    if len(frames) != int(dataset.get("NumberOfFrames") or 1):
        msg = f"has frames without a position, in {file.name}; export it as single slices, or convert it with dcm2niix"
        raise InputError(msg)
    try:
        planes = [_plane((frame, shared, dataset)) for frame in frames]
    except ValueError as error:
        msg = f"has no usable {error} in {file.name}; export the original series, not screenshots"
        raise InputError(msg) from error
    # GDCM would apply the slope of the first frame to all frames.
    if len({plane.rescale for plane in planes}) > 1:
        msg = f"has frames with different rescale slopes ({file.name}); convert it first, for example with dcm2niix"
        raise InputError(msg)
    return planes


def _plane(groups: Sequence[Dataset]) -> Plane:
    """Return one slice, described by its own group of attributes, the shared group, and the file."""
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
        position_error=_rounding(groups, "PlanePositionSequence", "ImagePositionPatient"),
        orientation_error=_rounding(groups, "PlaneOrientationSequence", "ImageOrientationPatient"),
    )


def _numbers(groups: Sequence[Dataset], sequence: str, name: str, count: int, *, default: float | None = None) -> Any:  # noqa: ANN401 - a tuple of ``count`` floats, which types cannot say
    """Return the numbers of an attribute from the first group that has it, in its sequence or directly."""
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


def _rounding(groups: Sequence[Dataset], sequence: str, name: str) -> float:
    """Return half a unit of the last written digit of a numeric attribute."""
    texts = next(value for group in groups if (value := (group.get(sequence) or [group])[0].get(name)))
    try:
        exponents = [Decimal(str(text).strip()).as_tuple().exponent for text in texts]
    except InvalidOperation:
        return 0.0
    return 0.5 * 10.0 ** min(int(exponent) for exponent in exponents)


def _voxels(files: Sequence[Path], shape: tuple[int, int, int], *, inverted: bool) -> npt.NDArray[Any]:
    """Return the voxels of all slices in the order of the files, in the shape (k, j, i) given by the headers.

    With ``inverted``, small numbers are displayed bright; the decoder must not invert them.
    """
    undecoded = "has voxels that cannot be decoded; copy or export it again"
    try:
        with itk.silence():
            arrays = [_inverted(file) if inverted else _decoded(file) for file in files]
    except RuntimeError as error:
        raise InputError(undecoded) from error
    if any(array.shape[1:] != shape[1:] for array in arrays) or sum(map(len, arrays)) != shape[0]:
        raise InputError(undecoded)
    # Slices with different slopes may differ in type; concatenation uses the widest type.
    together: npt.NDArray[Any] = np.concatenate(arrays)
    return together


def _decoded(file: Path) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = sitk.GetArrayFromImage(itk.open_reader(file, "GDCMImageIO").Execute())
    return array


def _inverted(file: Path) -> npt.NDArray[Any]:
    """Return the stored voxels of a MONOCHROME1 file, which GDCM would invert.

    GDCM reads a copy without patient information that is labeled as MONOCHROME2.
    """
    require_package("pydicom", "Reading MONOCHROME1")
    source = pydicom.dcmread(file, force=True)
    copy = Dataset({tag: element for tag, element in source.items() if tag.group in _DECODED_GROUPS})
    copy.SOPClassUID, copy.PhotometricInterpretation = source.SOPClassUID, "MONOCHROME2"
    copy.file_meta = source.file_meta
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.dcm"
        little, implicit = source.is_little_endian, source.is_implicit_VR
        copy.save_as(path, little_endian=little, implicit_vr=implicit)
        return _decoded(path)
