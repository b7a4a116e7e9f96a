"""Reading of DICOM series: headers by pydicom, voxels by SimpleITK (GDCM), which also decompresses.

The grid is computed from the positions of all slices, never from a slice thickness, so that a missing slice is detected
rather than stretched over. Nothing that identifies a patient leaves this room.
"""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import logging
import re
import tempfile
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pydicom
import SimpleITK as sitk  # noqa: N813 - the name everyone knows it by
from pydicom import Dataset

from ArSSRLib.errors import ArSSRError, InputError
from ArSSRLib.io import itk, quiet, voxels
from ArSSRLib.io.dicom_files import choose, headers_of, without_copies, words
from ArSSRLib.io.dicom_profile import profile_of
from ArSSRLib.io.digits import digits_of
from ArSSRLib.io.intensities import components_of, is_mosaic, padding_of
from ArSSRLib.io.stack import Plane, stack
from ArSSRLib.packages import require_package
from ArSSRLib.volume import FileHeader, Volume

LOGGER = logging.getLogger(__name__)

# Groups in the copy of a file for the decoder; they do not contain names of people.
_DECODED_GROUPS = (0x0018, 0x0020, 0x0028, 0x5200, 0x7FE0)
# Messages of libjpeg, which continues with wrong voxels after them. Superfluous bytes, of which it also complains, do
# no harm.
_DAMAGE = re.compile(rb"Corrupt JPEG data: (?:premature|bad|found)[ -~]{0,60}|Premature end of JPEG file")


def read(path: Path, series: str | None) -> Volume:
    """Read one series from a folder without its subfolders, or from a multi-frame file; arguments as for `find`.

    Raises:
        InputError: If there is no series, several without a selection, or its slices are not one evenly spaced stack.
    """
    # pydicom reports every deviation from the standard, and scanners often deviate.
    with quiet.forwarded("pydicom", LOGGER, logging.DEBUG, path), warnings.catch_warnings(action="ignore"):
        try:
            headers = headers_of(path)
            found = choose(headers, series)
            files = without_copies(found, headers)
            planes = {file: planes_of(headers[file], file) for file in files}
            component = _component(headers[file] for file in files)
        except (ArSSRError, OSError):
            raise
        except Exception as error:  # pydicom decodes values lazily, and its exceptions are not documented
            msg = f"has a DICOM header that cannot be interpreted ({error}); export the series again"
            raise InputError(" ".join(msg.split())) from error
    if len(files) < len(found):
        text = "%s: %d of %d files are copies of others, with the same position and voxels; each image is read once."
        LOGGER.warning(text, path, len(found) - len(files), len(found))
    order, geometry = stack([plane for file in files for plane in planes[file]])
    first = headers[files[0]]
    stored = _voxels({file: headers[file] for file in files}, geometry.shape)[order]
    dtype = _stored_type([headers[file] for file in files])
    # GDCM applies slope and intercept, and converts to integers if possible.
    scaled = stored.dtype.kind == "f" and dtype.itemsize <= 2
    header = FileHeader(
        dtype=dtype if scaled else stored.dtype,
        scaled=scaled,
        description=words(first.get("SeriesDescription")),
        padding=_union(padding_of(headers[file], {plane.rescale for plane in planes[file]}) for file in files),
        component=component,
        profile=profile_of([headers[file] for file in files], geometry, path),
        metadata={"Modality": words(first.get("Modality"))},
    )
    return Volume(voxels.in_memory(stored), geometry, header)


def _stored_type(headers: Sequence[Dataset]) -> np.dtype[Any]:
    """Return the stored type: the largest of the slices, signed if any of them is signed."""
    bits = max(int(header.get("BitsAllocated") or 16) for header in headers)
    signed = any(header.get("PixelRepresentation") for header in headers)
    return np.dtype(f"{'i' if signed else 'u'}{max(1, bits // 8)}")


def _component(headers: Iterable[Dataset]) -> str:
    """Return the part of a complex image that all slices contain; different parts are not a single volume."""
    found = sorted({part for header in headers for part in components_of(header)})
    if len(found) > 1:
        names = [part or "magnitude" for part in found]
        listed = f"{', '.join(names[:-1])} and {names[-1]}"
        msg = f"mixes the {listed} images of a complex scan; split it first, for example with dcm2niix"
        raise InputError(msg)
    return found[0]


def _union(ranges: Iterable[tuple[float, float] | None]) -> tuple[float, float] | None:
    """Return the smallest range that contains the ranges of all slices; None if no slice has one."""
    stated = [ends for ends in ranges if ends is not None]
    return (min(low for low, _ in stated), max(high for _, high in stated)) if stated else None


def find(path: Path, series: str | None) -> list[Path]:
    """Return the files of one series in a folder, or of a file, ordered by name; ``series`` is a UID or a description.

    Raises:
        InputError: If there is no series, or several without a selection.
    """
    with quiet.forwarded("pydicom", LOGGER, logging.DEBUG, path), warnings.catch_warnings(action="ignore"):
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
        position_digits=_digits(groups, "PlanePositionSequence", "ImagePositionPatient"),
        orientation_digits=_digits(groups, "PlaneOrientationSequence", "ImageOrientationPatient"),
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


def _digits(groups: Sequence[Dataset], sequence: str, name: str) -> tuple[int, ...]:
    """Return the number of decimals of each number of a numeric attribute, as written."""
    texts = next(value for group in groups if (value := (group.get(sequence) or [group])[0].get(name)))
    return tuple(digits_of(str(text)) for text in texts)


def _voxels(headers: Mapping[Path, Dataset], shape: tuple[int, int, int]) -> npt.NDArray[Any]:
    """Return the voxels of all files in their order, shape (k, j, i); slices may be stored differently."""
    undecoded = "has voxels that cannot be decoded; copy or export it again"
    try:
        with itk.silence() as written:
            arrays = [_checked(_decoded(file, header), file, written) for file, header in headers.items()]
    except RuntimeError as error:
        raise InputError(undecoded) from error
    if any(array.shape[1:] != shape[1:] for array in arrays) or sum(map(len, arrays)) != shape[0]:
        raise InputError(undecoded)
    # Slices with different slopes may differ in type; concatenation uses the widest type.
    together: npt.NDArray[Any] = np.concatenate(arrays)
    return together


def _checked(array: npt.NDArray[Any], file: Path, written: IO[bytes]) -> npt.NDArray[Any]:
    """Refuse an array whose decoder wrote, instead of failing, that the compressed voxels are damaged."""
    written.seek(0)
    damage = _DAMAGE.search(written.read())
    if damage:
        said = damage[0].decode("ascii")
        msg = f"has damaged voxels in {file.name}, according to the JPEG decoder ({said}); copy or export it again"
        raise InputError(msg)
    return array


def _decoded(file: Path, header: Dataset) -> npt.NDArray[Any]:
    """Return the intensities of a file, shape (frames, rows, columns)."""
    allocated, stored, highest = (int(header.get(name) or 0) for name in ("BitsAllocated", "BitsStored", "HighBit"))
    unused = max(0, highest + 1 - stored) if stored and highest < allocated else 0
    if not unused and header.get("PhotometricInterpretation") != "MONOCHROME1":
        return _by_gdcm(file)
    return _corrected(file, unused)


def _by_gdcm(file: Path) -> npt.NDArray[Any]:
    array: npt.NDArray[Any]
    try:
        array = sitk.GetArrayFromImage(itk.open_reader(file, "GDCMImageIO").Execute())
    except RuntimeError:
        dataset = pydicom.dcmread(file, force=True)
        # Floating-point voxels have a separate attribute, which GDCM does not know, and no slope.
        if not {"FloatPixelData", "DoubleFloatPixelData"} & set(dataset.dir()):
            raise
        array = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)
    return array


def _corrected(file: Path, unused: int) -> npt.NDArray[Any]:
    """Return the stored voxels of a file that GDCM would invert, or whose highest bits GDCM would discard.

    GDCM reads a copy without patient information that is labeled as MONOCHROME2, with its voxels in the lowest bits,
    of which ``unused`` are below them in the file.
    """
    require_package("pydicom", "Reading MONOCHROME1")
    source = pydicom.dcmread(file, force=True)
    copy = Dataset({tag: element for tag, element in source.items() if tag.group in _DECODED_GROUPS})
    copy.SOPClassUID, copy.PhotometricInterpretation = source.SOPClassUID, "MONOCHROME2"
    copy.file_meta = source.file_meta
    little, implicit = source.is_little_endian, source.is_implicit_VR
    if unused:
        if getattr(source.file_meta.get("TransferSyntaxUID"), "is_compressed", False):
            msg = f"has compressed voxels above {unused} unused bits, in {file.name}; export it again uncompressed"
            raise InputError(msg)
        words_of = np.frombuffer(source.PixelData, f"{'<' if little else '>'}u{int(source.BitsAllocated) // 8}")
        copy.PixelData, copy.HighBit = (words_of >> unused).tobytes(), int(source.BitsStored) - 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.dcm"
        copy.save_as(path, little_endian=little, implicit_vr=implicit)
        return _by_gdcm(path)
