"""NRRD and MetaImage files, by SimpleITK.

Their conventions are those of the engine: arrays ``[k, j, i]``, geometry in LPS mm, in double precision.
"""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import bz2
import logging
import math
import re
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name everyone knows it by

from ArSSRLib.errors import InputError
from ArSSRLib.geometry import LPS_TO_RAS, VolumeGeometry
from ArSSRLib.io import quiet, voxels
from ArSSRLib.io.formats import format_of
from ArSSRLib.io.text_headers import LONGEST_HEADER, TextHeader, read_text_header, require_data_files
from ArSSRLib.volume import FileHeader, Volume

LOGGER = logging.getLogger(__name__)

_COMPLEX = (sitk.sitkComplexFloat32, sitk.sitkComplexFloat64)
_READERS = {"NRRD": "NrrdImageIO", "MetaImage": "MetaImageIO"}
# Largest number of bytes after the voxels of a valid file.
SPARE_BYTES = 2**24
# Lines of NRRD that describe the location and encoding of the voxels.
_ABOUT_DATA = re.compile(rb"(data ?file|encoding|line ?skip|byte ?skip):", re.IGNORECASE)
# Fields for the free text of both formats.
_DESCRIPTION_KEYS = {".nrrd": "NRRD_content", ".mha": "Comment"}


def read(path: Path) -> Volume:
    """Read a NRRD or MetaImage file, with the voxels in the same file or in a second one.

    Raises:
        InputError: If the file is damaged or is not one 3-D grayscale volume.
    """
    known = format_of(path)
    header = read_text_header(path)
    require_data_files(header)
    if header.frames() > 1:
        msg = f"is a sequence of {header.frames()} volumes; split it first, for example with Slicer's Sequences module"
        raise InputError(msg)
    try:
        with silence(), unpacked(header) as plain:
            reader = open_reader(plain.path, _READERS[known.name if known else "NRRD"])
            _require_gray_volume(reader)
            voxel = sitk.Image([1, 1, 1], reader.GetPixelIDValue())
            _require_voxels(plain, math.prod(reader.GetSize()) * voxel.GetSizeOfPixelComponent())
            image = reader.Execute()
    except (RuntimeError, zlib.error) as error:
        # The cause given by ITK is often wrong ("No such file or directory" for a truncated file); it stays in the
        # chain.
        msg = "is damaged, truncated, or not in the format of its extension; copy or export it again"
        if re.search(r"zero-valued spacing|spacing \(0\)", str(error), re.IGNORECASE):
            msg = "states a voxel spacing of 0; correct its header"
        raise InputError(msg) from error
    # A copy of a view is the only copy; the view is released with the image.
    stored = sitk.GetArrayViewFromImage(image)
    array = voxels.in_memory(stored.reshape(stored.shape[-3:]))
    description = next((image.GetMetaData(k) for k in _DESCRIPTION_KEYS.values() if image.HasMetaDataKey(k)), "")
    kept = FileHeader(dtype=stored.dtype.newbyteorder("="), description=" ".join(description.split()))
    return Volume(array, _geometry(image, header), kept)


def write(volume: Volume, path: Path, description: str, *, compress: bool = True) -> None:
    """Write a NRRD or MetaImage file.

    Raises:
        OSError: If the system cannot write the file.
    """
    geometry = volume.geometry
    try:
        with silence():
            image = sitk.GetImageFromArray(voxels.for_storage(volume.array, volume.header))
            image.SetSpacing(geometry.spacing)
            image.SetOrigin(geometry.origin)
            image.SetDirection(geometry.direction)
            image.SetMetaData(_DESCRIPTION_KEYS[path.suffix], description)
            sitk.WriteImage(image, str(path), useCompression=compress)
    except RuntimeError as error:
        # The message of ITK only contains the location in its source code.
        msg = "the disk may be full"
        raise OSError(msg) from error


@contextmanager
def silence() -> Iterator[IO[bytes]]:
    """Prevent ITK, GDCM and MetaIO from writing to the standard error; yields what they wrote."""
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        with quiet.native_stderr() as written:
            yield written
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)


def open_reader(path: Path, image_io: str) -> sitk.ImageFileReader:
    """Return a reader that has read the header of a file; ``image_io`` is ITK's name of the format.

    Left to itself, ITK guesses, and does not recognize suffixes in upper case.

    Raises:
        RuntimeError: If the file is not of that format.
    """
    reader = sitk.ImageFileReader()
    reader.SetImageIO(image_io)
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return reader


def _require_voxels(header: TextHeader, promised: int) -> None:
    """Verify that the voxels of a one-file volume, ``promised`` bytes, are complete before memory is allocated.

    Compressed voxels are decompressed once to verify the checksum at their end, which ITK ignores.
    """
    fields = header.fields
    elsewhere = bool(header.data_files) or {"line skip", "lineskip", "byte skip", "byteskip"} & set(fields)
    if header.end is None or elsewhere:
        return
    encoding = fields.get("encoding", "").lower()
    with header.path.open("rb") as file:
        file.seek(header.end)
        if encoding in ("gz", "gzip") or fields.get("compresseddata", "").lower() == "true":
            found = sum(_decompressed(file, promised + SPARE_BYTES))
        elif encoding == "raw" or fields.get("binarydata", "").lower() == "true":
            found = header.path.stat().st_size - header.end
        else:
            return
    if found < promised:
        msg = (
            f"is truncated: its header specifies {promised:,} bytes of voxels, but only {found:,} are present; copy "
            "or export it again"
        )
        raise InputError(msg)


@contextmanager
def unpacked(header: TextHeader) -> Iterator[TextHeader]:
    """Provide a file that ITK can read: the same one, or a temporary unpacked copy for NRRD packed by bzip2.

    Raises:
        InputError: If the voxels are damaged, or far more than the header states.
    """
    if header.fields.get("encoding", "").lower() not in ("bzip2", "bz2"):
        yield header
        return
    data = header.data_files[0] if len(header.data_files) == 1 else header.path
    sizes = [int(n) for n in header.fields.get("sizes", "").split() if n.isdecimal()]
    with tempfile.TemporaryDirectory() as folder, data.open("rb") as packed:
        if data == header.path:
            packed.seek(header.end or 0)
        plain = Path(folder) / "volume.nrrd"
        with header.path.open("rb") as source, plain.open("wb") as target:
            lines = source.read(header.end or LONGEST_HEADER).splitlines()
            kept = [line for line in lines if line and not _ABOUT_DATA.match(line)]
            target.write(b"\n".join([*kept, b"encoding: raw", b"", b""]))
            _unpack(packed, target, 16 * math.prod(sizes) + SPARE_BYTES)
        yield read_text_header(plain)


def _unpack(packed: IO[bytes], target: IO[bytes], most: int) -> None:
    """Unpack bzip2 data to another file, in small steps, up to a limit of ``most`` bytes."""
    total = 0
    try:
        with bz2.open(packed) as source:
            while block := source.read(2**20):
                total += len(block)
                if total > most:
                    msg = "decompresses to far more data than its header specifies; export it again"
                    raise InputError(msg)
                target.write(block)
    except (EOFError, OSError) as error:
        msg = "has bzip2-compressed voxels that are damaged or truncated; copy or export it again"
        raise InputError(msg) from error


def _decompressed(file: IO[bytes], most: int) -> Iterator[int]:
    """Yield the bytes of each step of decompressing a file, which may expand to millions of times its size."""
    stream, total = zlib.decompressobj(wbits=32 + zlib.MAX_WBITS), 0  # accepts zlib and gzip
    while not stream.eof:
        block = stream.unconsumed_tail or file.read(2**20)
        if not block:
            msg = "the compressed voxels end too early"
            raise zlib.error(msg)
        count = len(stream.decompress(block, 2**20))
        total += count
        if total > most:
            msg = "decompresses to far more data than its header specifies; export it again"
            raise InputError(msg)
        yield count


def _require_gray_volume(reader: sitk.ImageFileReader) -> None:
    size = list(reader.GetSize())
    while len(size) > 3 and size[-1] == 1:
        size.pop()
    if len(size) != 3:
        times = " x ".join(str(n) for n in size)
        advice = "split it first" if len(size) > 3 else "stack the slices into a volume first"
        msg = f"has {len(size)} dimensions ({times}), but 3 are needed; {advice}"
        raise InputError(msg)
    channels = reader.GetNumberOfComponents()
    if channels != 1 or reader.GetPixelIDValue() in _COMPLEX:
        if channels != 1:
            msg = (
                f"has {channels} channels, but a single grayscale channel is needed; extract one of them, or combine "
                "them first"
            )
        else:
            msg = "has complex voxels, but real values are needed; compute their magnitude first"
        raise InputError(msg)


def _geometry(image: sitk.Image, header: TextHeader) -> VolumeGeometry:
    """Return the grid in mm, regardless of the unit in the header; warn about missing statements."""
    if not header.states_spacing:
        LOGGER.warning(
            "%s: states no voxel spacing; 1 x 1 x 1 mm is assumed, so check the size of the result.", header.path
        )
    factors, wrong = header.millimeters()
    if wrong:
        LOGGER.warning("%s: states %s; mm is assumed, so check the size of the result.", header.path, wrong)
    if not header.states_orientation:
        text = "%s: does not relate its axes to the patient, so left and right are a guess; check the orientation."
        LOGGER.warning(text, header.path)
    dimension = image.GetDimension()
    affine = np.eye(4)
    direction = np.reshape(image.GetDirection(), (dimension, dimension))[:3, :3]
    affine[:3, :3] = direction * np.asarray(image.GetSpacing()[:3])
    affine[:3, 3] = image.GetOrigin()[:3]
    # NRRD with directions only has units of space; without them, the axes of the array are those of space.
    affine[:3] *= np.reshape(factors, (3, 1))
    # This function checks and normalizes all affines; flipping two signs twice is exact.
    return VolumeGeometry.from_ras_affine(image.GetSize()[:3], LPS_TO_RAS @ affine)
