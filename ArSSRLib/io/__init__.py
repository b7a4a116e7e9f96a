"""Reading and writing volumes.

`read_volume` and `write_volume` are the two ends of the path of a volume. In every format, arrays are indexed ``[k, j,
i]`` and geometries are in LPS mm. The suffix of a file name determines the format, see `formats`, except for DICOM,
which is recognized by its content: `dicom` reads it, `derived` writes it. `folders` decides what a folder contains.

Every library is loaded when it is first needed, so that a machine without nibabel, such as Slicer, still reads NRRD.
`voxels` determines the voxel types; `files` writes files completely or not at all.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from ArSSRLib import __version__
from ArSSRLib.complex_parts import component_by_name
from ArSSRLib.errors import ArSSRError, InputError, MemoryLimitError, OutputError, require
from ArSSRLib.filenames import path_of
from ArSSRLib.io.content import is_dicom_file, refuse_misnamed, refuse_unfetched
from ArSSRLib.io.derivation import Derivation
from ArSSRLib.io.files import replacing, replacing_folder, validate_output, validate_series_folder
from ArSSRLib.io.folders import find_inputs, find_volumes
from ArSSRLib.io.formats import (
    DICOM_LIBRARIES,
    DICOM_SUFFIXES,
    SUPPORTED_SUFFIXES,
    WRITABLE_SUFFIXES,
    Format,
    format_of,
    suffix_of,
)
from ArSSRLib.packages import require_package
from ArSSRLib.planning import Destination
from ArSSRLib.volume import Volume

__all__ = [
    "SUPPORTED_SUFFIXES",
    "WRITABLE_SUFFIXES",
    "Derivation",
    "destination_of",
    "find_inputs",
    "find_series",
    "find_volumes",
    "is_dicom",
    "read_volume",
    "validate_output",
    "validate_series_folder",
    "validate_series_source",
    "write_derived_series",
    "write_volume",
]


def read_volume(path: str | os.PathLike[str], *, series: str | None = None) -> Volume:
    """Read a 3-D volume from a file, or a DICOM series from a folder.

    Integers stored without a slope keep their type; everything else becomes float32, or float64 if the values exceed
    the range of float32. The header keeps how the voxels were stored.

    Args:
        path: A file with one of `SUPPORTED_SUFFIXES`, a multi-frame DICOM file, or a folder of DICOM files, which is
            searched without its subfolders.
        series: Series instance UID, or description, if the folder has several DICOM series.

    Returns:
        The volume: array (k, j, i) in scanner units, geometry in LPS mm.

    Raises:
        InputError: If the file is missing, damaged, in an unsupported format, or not one 3-D grayscale volume on a
            rectangular grid. The message is one line: what was found, what was expected, what to do next.
        MemoryLimitError: If the voxels do not fit into memory.
    """
    path = path_of(path, InputError)
    with _reading(path):
        known = _format_for(path)
        if series is not None and known is not None:
            msg = "is not DICOM, so it has no series to choose from; omit the series"
            raise InputError(msg)
        codec = _load(known, InputError)
        volume: Volume = codec.read(path, series) if known is None else codec.read(path)
    if volume.header.component or known is None:
        return volume
    return replace(volume, header=replace(volume.header, component=component_by_name(path.name)))


def write_volume(
    volume: Volume,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    description: str | None = None,
    compress: bool = True,
) -> Path:
    """Write a volume to a file, completely or not at all.

    Voxels are converted to the type in which they were stored: integers are rounded to the nearest (half to even) and
    clipped to its range; integers that had a slope get a new slope and intercept that cover the result, if the format
    supports them (NIfTI). Anything else is stored as float32, or as float64 if float32 would overflow. NIfTI and MGH
    store the geometry in single precision, 1e-5 mm at 200 mm from the origin; NRRD and MetaImage preserve it.

    Args:
        volume: The volume; shape (k, j, i), geometry in LPS mm.
        path: The file, with one of `WRITABLE_SUFFIXES`. A symbolic link is followed.
        overwrite: Whether to replace an existing file.
        description: Description of the processing, stored as ``ArSSR <version>: <description>`` in the header, in NIfTI
            its first 79 bytes. By default, the description of the volume is kept.
        compress: Whether to compress NRRD and MetaImage files; writing them uncompressed is several times faster. For
            NIfTI and MGH, the suffix determines the compression.

    Returns:
        ``path``.

    Raises:
        InputError: If it is not a volume.
        OutputError: If the file cannot be written, or not in that format. Nothing is left behind.
    """
    require("Writing", volume, Volume)
    target = validate_output(path, overwrite=overwrite)
    known = format_of(target)
    codec = _load(known, OutputError)
    options = {"compress": compress} if known is not None and known.compresses else {}
    program = f"ArSSR {__version__}"
    stored = volume.header.description or program
    if description is not None:
        stored = f"{program}: {' '.join(description.split())}"
    with replacing(target, suffix_of(target), overwrite=overwrite) as temporary:
        codec.write(volume, temporary, stored, **options)
    return target


def destination_of(path: str | os.PathLike[str]) -> Destination:
    """Return the requirements of writing to a path: a file name for `write_volume`, or a folder for a series.

    NIfTI is written plane by plane, so a result that exceeds the memory may be stored beside its file until then.
    SimpleITK copies the volume, and once more for the compressed voxels of MetaImage.
    """
    known = format_of(Path(path))
    if known is None:  # a folder, for which the series is assembled like a volume in SimpleITK
        return Destination(copies=1)
    folder = Path(os.path.realpath(path)).parent if known.streamed else None
    return Destination(folder=folder, copies=known.copies)


def write_derived_series(
    volume: Volume,
    folder: str | os.PathLike[str],
    *,
    sources: Sequence[str | os.PathLike[str]],
    derivation: Derivation,
    overwrite: bool = False,
) -> list[Path]:
    """Write a volume that came from DICOM as a derived series of MR images, completely or not at all.

    The series belongs to the study, the patient and the frame of reference of its source, is marked as derived and
    secondary, and names the source images of every slice, this program, the model and its checksum. Integers that fit
    into 16 bits are stored unchanged; anything else, including floating point, in 65536 steps of a stated slope.

    Args:
        volume: The volume; shape (k, j, i), geometry in LPS mm, in the coordinates of its source.
        folder: A new or empty folder with an existing parent.
        sources: The files of the single MR series from which the volume was made: slices, or one multi-frame file.
        derivation: Description of the processing.
        overwrite: Whether to replace a series in ``folder`` that was written by this function.

    Returns:
        The files, in the order of k.

    Raises:
        InputError: If the source is not one MR series, or cannot be read.
        OutputError: If the series cannot be written. Nothing is left behind.
    """
    files = [Path(source) for source in sources]
    target = validate_series_folder(folder, overwrite=overwrite, source=files[0] if files else None)
    writer = _import("derived", DICOM_LIBRARIES, refusal=OutputError)
    with replacing_folder(target) as temporary:
        names = writer.write(volume, temporary, files, derivation)
    return [target / name for name in names]


def find_series(path: str | os.PathLike[str], *, series: str | None = None) -> list[Path]:
    """Return the files of a DICOM series, in a folder without its subfolders, or of one file, ordered by name.

    Raises:
        InputError: If there is no series, or several of which ``series``, a UID or description, selects none.
    """
    path = Path(path)
    with _reading(path):
        files: list[Path] = _load(None, InputError).find(path, series)
    return files


def validate_series_source(path: str | os.PathLike[str], *, series: str | None = None) -> list[Path]:
    """Return the files of a DICOM series like `find_series`, if a derived series can be made from it.

    Raises:
        InputError: If it is not MR, or lacks attributes of its study; or as for `find_series`.
    """
    files = find_series(path, series=series)
    with _reading(Path(path)):
        _import("derived", DICOM_LIBRARIES, refusal=OutputError).require_mr(files)
    return files


def is_dicom(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is read as DICOM: a file by its content, a folder if it contains no other volume."""
    path = Path(path)
    if path.is_dir():
        return not find_volumes(path)
    try:
        return _format_for(path) is None
    except (InputError, OSError):
        return False


def _format_for(path: Path) -> Format | None:
    """Return the format for reading ``path``, or None for DICOM; refuse paths that cannot be read."""
    if path.is_dir():
        return None
    refuse_unfetched(path)
    if not path.exists():
        stdin = "; standard input is not read, so specify a file" if str(path) == "-" else "; check the path"
        msg = f"does not exist{stdin}"
        raise InputError(msg)
    if not path.is_file():
        msg = "is neither a file nor a folder; specify a volume"
        raise InputError(msg)
    if path.stat().st_size == 0:
        msg = "is empty (0 bytes); copy or export it again"
        raise InputError(msg)
    known = format_of(path)
    if is_dicom_file(path, named=known is not None):
        return None
    if known is not None:
        refuse_misnamed(path)
        return known
    if suffix_of(path) in DICOM_SUFFIXES:
        msg = "has the extension of a DICOM file but is not one; copy or export it again"
        raise InputError(msg)
    msg = f"is neither a DICOM file nor a volume in a known format; expected one of {', '.join(SUPPORTED_SUFFIXES)}"
    raise InputError(msg)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Add the file name to exceptions: the other rooms describe the problem, but do not know the name."""
    try:
        yield
    except MemoryError as error:
        msg = f"{path}: its voxels do not fit into memory; crop the volume, or use a computer with more memory."
        raise MemoryLimitError(msg) from error
    except InputError as error:
        msg = f"{path}: {str(error).rstrip('.')}."
        raise InputError(msg) from error
    except OSError as error:
        msg = f"{path}: cannot be read ({error.strerror or error}); check the path and its permissions."
        raise InputError(msg) from error


def _load(known: Format | None, refusal: type[ArSSRError]) -> Any:  # noqa: ANN401 - a module has no narrower type
    """Import the module of a format, or of DICOM, with its library, which may be missing."""
    return _import(*((known.room, known.library) if known else ("dicom", DICOM_LIBRARIES)), refusal=refusal)


def _import(room: str, libraries: str, *, refusal: type[ArSSRError]) -> Any:  # noqa: ANN401 - as above
    if room == "derived":
        require_package("pydicom", "Writing a DICOM series")
    try:
        return import_module(f"{__name__}.{room}")
    except ModuleNotFoundError as error:
        msg = f"this format needs {libraries}, and {error.name} is not installed: pip install {error.name}."
        raise refusal(msg) from error
