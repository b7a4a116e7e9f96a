"""NIfTI-1, NIfTI-2 and MGH files, by nibabel.

Their affines map to RAS and their voxels are indexed ``[i, j, k]``; both are converted here.
"""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import logging
import math
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.arraywriters import SlopeInterArrayWriter
from nibabel.freesurfer.mghformat import MGHHeader, MGHImage
from nibabel.nifti1 import Nifti1Header, Nifti1Image, Nifti1Pair
from nibabel.nifti2 import Nifti2Header, Nifti2Image
from nibabel.openers import ImageOpener
from nibabel.volumeutils import array_to_file

from ArSSRLib.acquisition.profile import UNKNOWN
from ArSSRLib.errors import InputError, OutputError
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.io import quiet, voxels
from ArSSRLib.io.content import refuse_lone_half
from ArSSRLib.io.nifti_header import (
    NOT_GZIP,
    SPARE_BYTES,
    decompressed,
    first_voxel,
    is_compressed,
    place,
    raw_header,
)
from ArSSRLib.io.sidecar import stated_beside
from ArSSRLib.normalization import needs_double
from ArSSRLib.scratch import planes_of
from ArSSRLib.volume import FileHeader, Volume

LOGGER = logging.getLogger(__name__)

_MAXIMUM_NIFTI1_SIZE = 32767
_DESCRIPTION_BYTES = 79
# Messages of nibabel that are harmless, or that we state more precisely.
_UNTOLD = ("form_code", "non-zero", "setting to minimum", "divisible by 16")
_MGH_TYPES = (np.uint8, np.int16, np.int32, np.float32)


def read(path: Path) -> Volume:
    """Read a NIfTI or MGH file.

    The affine is the sform if it is set, otherwise the qform, otherwise the spacing alone, with a warning. If both are
    set and differ by more than 1e-3 mm, the sform is used, with a warning. A form with a negative code has the lowest
    priority.

    Raises:
        InputError: If the file is damaged or is not one 3-D grayscale volume.
    """
    refuse_lone_half(path)
    raw = raw_header(path)
    image = _open(path)
    size = _size(image.shape)
    dtype = image.get_data_dtype()
    if dtype.kind not in "iuf":
        if dtype.kind == "c":
            msg = "has complex voxels, but real values are needed; compute their magnitude first"
        else:
            what = "colors" if dtype.fields else f"voxels of type {dtype}"
            msg = f"has {what}, but real grayscale values are needed; convert it to a single grayscale channel first"
        raise InputError(msg)
    with np.errstate(over="ignore", invalid="ignore"):  # values that are not finite are refused there, with a message
        affine, header = place(image, raw, path)
        geometry = VolumeGeometry.from_ras_affine(size, affine)
    proxy = _proxy(image, size, raw)
    slope, intercept = float(proxy.slope), float(proxy.inter)
    profile, component = (UNKNOWN, "") if raw is None else stated_beside(path, geometry)
    array = voxels.in_memory(proxy.get_unscaled().T, slope=slope, intercept=intercept)
    scaled = voxels.is_scaled(slope, intercept)
    stored = FileHeader(dtype.newbyteorder("="), scaled=scaled, profile=profile, component=component, **header)
    return Volume(array, geometry, stored)


def write(volume: Volume, path: Path, description: str) -> None:
    """Write a NIfTI or MGH file, depending on the suffix.

    Raises:
        OutputError: If the format does not support the volume.
    """
    with _tidy():
        if path.suffix in (".mgh", ".mgz"):
            _mgh(volume).to_filename(path)
        else:
            _write_nifti(volume, path, description)


@contextmanager
def _tidy() -> Iterator[None]:
    """Suppress the warnings of nibabel, and close the files that it leaves open after an exception."""
    with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):
        try:
            yield
        except BaseException as error:
            # Its frames keep the file open as long as the exception exists, and Windows cannot delete open files.
            traceback.clear_frames(error.__traceback__)
            raise


def _open(path: Path) -> Nifti1Pair | MGHImage:
    """Read the header; all exceptions are caught, because those of nibabel for damaged headers are not documented."""
    try:
        with quiet.forwarded("nibabel.global", LOGGER, logging.WARNING, path, but=_UNTOLD), _tidy():
            image = nib.load(path, mmap=False)
    except Exception as error:
        if isinstance(error, InputError) or (isinstance(error, OSError) and error.errno is not None):
            raise  # our own exception, or one of the system, which is not about the content
        msg = f"is damaged, or not in the format of its extension ({_one_line(error)}); export it again"
        raise InputError(msg) from error
    if isinstance(image, Nifti1Pair | MGHImage):
        return image
    kind = type(image).__name__.removesuffix("Image")
    msg = f"is in the {kind} format, which does not define the orientation; convert it to NIfTI first"
    raise InputError(msg)


def _one_line(error: Exception) -> str:
    """Return the last line of an exception, which has the relevant information."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else type(error).__name__


def _size(shape: Sequence[int]) -> tuple[int, int, int]:
    size = [int(n) for n in shape]
    while len(size) > 3 and size[-1] in (0, 1):  # a length of 0 means that the axis does not exist
        size.pop()
    times = " x ".join(str(n) for n in size)
    advice = "split it first, for example with fslsplit" if len(size) > 3 else "stack the slices into a volume first"
    if len(size) != 3:
        msg = f"has {len(size)} dimensions ({times}), but 3 are needed; {advice}"
        raise InputError(msg)
    if min(size) < 1:
        msg = f"has no voxels ({times}); export it again"
        raise InputError(msg)
    return (size[0], size[1], size[2])


def _proxy(image: Nifti1Pair | MGHImage, size: tuple[int, int, int], raw: Nifti1Header | None) -> ArrayProxy:
    """Return the voxels, still in the file, after verifying that they are complete."""
    said: Any = image.dataobj
    path = image.file_map["image"].filename or ""
    offset = said.offset if raw is None or raw["vox_offset"] else first_voxel(raw)
    promised = offset + math.prod(size) * said.dtype.itemsize
    found = _bytes_in(Path(path), promised, promised + SPARE_BYTES)
    if found < promised:
        msg = (
            f"is truncated: its header specifies {promised:,} bytes, but only {found:,} are present; copy or export "
            "it again"
        )
        raise InputError(msg)
    return ArrayProxy(path, (size, said.dtype, offset, said.slope, said.inter), mmap=False)


def _bytes_in(path: Path, least: int, most: int) -> int:
    """Return the size of a file after decompression, by reading to the end, which verifies the checksum."""
    if not is_compressed(path):
        return path.stat().st_size
    total = 0
    try:
        with decompressed(path) as file:
            # At most one block, so that no voxel is lost where something else follows.
            while block := file.read1(2**20):
                total += len(block)
                if total > most:
                    msg = "decompresses to far more data than its header specifies; export it again"
                    raise InputError(msg)
    except InputError as error:
        if NOT_GZIP not in str(error.__cause__) or total < least:
            raise
        LOGGER.warning("%s: has further data after its compressed voxels, which is ignored.", path)
    return total


def _write_nifti(volume: Volume, path: Path, description: str) -> None:
    """Write plane by plane, so that a volume on disk may exceed the memory."""
    said = volume.header
    if said.scaled and said.dtype is not None and said.dtype.kind in "iu":
        _write_scaled(volume, path, description, said.dtype)
        return
    dtype = voxels.storage_type(volume.array, said)
    header = _nifti_header(volume, description, dtype)
    header.set_slope_inter(1.0, 0.0)
    with ImageOpener(str(path), "wb") as file:
        header.write_to(file)
        for plane in planes_of(volume.array):
            file.write(np.ascontiguousarray(voxels.converted(plane, dtype)).tobytes())


def _write_scaled(volume: Volume, path: Path, description: str, dtype: np.dtype[Any]) -> None:
    """Write integers with a slope and an intercept, which nibabel computes from the extremes alone."""
    writer = SlopeInterArrayWriter(voxels.extremes(volume.array), dtype)
    header = _nifti_header(volume, description, dtype)
    header.set_slope_inter(writer.slope, writer.inter)
    low, high = writer.finite_range() if volume.array.dtype.kind == "f" else (None, None)
    how: dict[str, Any] = {"intercept": writer.inter, "divslope": writer.slope, "mn": low, "mx": high, "offset": None}
    with ImageOpener(str(path), "wb") as file:
        header.write_to(file)
        how |= {"fileobj": file, "out_dtype": dtype, "nan2zero": writer.has_nan}
        for plane in planes_of(volume.array):
            array_to_file(plane.T, **how)


def _nifti_header(volume: Volume, description: str, dtype: np.dtype[Any]) -> Nifti1Header:
    said, large = volume.header, max(volume.geometry.size) > _MAXIMUM_NIFTI1_SIZE
    header = Nifti2Header() if large else Nifti1Header()
    header.set_data_dtype(dtype)
    header.set_xyzt_units("mm")
    header["descrip"] = description.encode()[:_DESCRIPTION_BYTES].decode(errors="ignore").encode()
    for name in ("cal_min", "cal_max"):
        header[name] = float(said.metadata.get(name, 0))
    # The image only needs the shape of the array to create a header.
    image = (Nifti2Image if large else Nifti1Image)(np.broadcast_to(dtype.type(0), volume.geometry.size), None, header)
    affine = volume.geometry.ras_affine
    image.set_sform(affine, code=max(said.sform_code, 0))
    image.set_qform(affine, code=max(said.qform_code, 0), strip_shears=True)
    image.update_header()
    image.header["sform_code"], image.header["qform_code"] = said.sform_code, said.qform_code
    return image.header


def _mgh(volume: Volume) -> MGHImage:
    """Return an MGH image with the smallest supported type for the voxels."""
    array = voxels.for_storage(volume.array, volume.header)
    dtype = next((np.dtype(t) for t in _MGH_TYPES if np.can_cast(array.dtype, t)), np.dtype(np.float32))
    inexact = dtype == np.float32 and array.dtype != dtype
    if inexact and (array.dtype.kind == "f" or needs_double(*map(float, voxels.extremes(array)[[0, -1]]))):
        msg = (
            "has values beyond the range or the precision of float32, the only floating-point type of MGH; use .nii.gz "
            "or .nrrd"
        )
        raise OutputError(msg)
    header = MGHHeader()
    header.set_data_dtype(dtype)
    return MGHImage(array.T, volume.geometry.ras_affine, header)
