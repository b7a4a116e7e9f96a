"""Volumes from files and back.

`read_volume` and `write_volume` are the two ends of the path of a volume. Whatever the format, an array is indexed
``[k, j, i]`` and its geometry is in LPS mm. Formats are told apart by the end of the file name, as `formats` lists
them; DICOM by content, in `dicom`, and back in `derived`. What a folder stands for is decided in `folders`.

Each library is loaded when its first file arrives, so a machine without nibabel, as Slicer is, still reads NRRD.
The type of the voxels is decided in `voxels`; how a file comes into being, all of it or nothing, in `files`.
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
from ArSSRLib.errors import ArSSRError, InputError, MemoryLimitError, OutputError
from ArSSRLib.io.content import dicom_start, refuse_misnamed, refuse_unfetched
from ArSSRLib.io.derivation import Derivation
from ArSSRLib.io.files import (
    replacing,
    replacing_folder,
    validate_output,
    validate_series_folder,
)
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

    Integers stored without a slope keep their type; everything else becomes float32, or float64 where the values
    leave the range of float32. The header remembers how the voxels were stored.

    Args:
        path: A file whose name ends in one of `SUPPORTED_SUFFIXES`, a multi-frame DICOM file, or a folder of DICOM
            files, which is searched without its subfolders.
        series: Series instance UID, or description, of the DICOM series to read from a folder with several.

    Returns:
        The volume: array (k, j, i) in scanner units, geometry in LPS mm.

    Raises:
        InputError: If the file is missing, damaged, not a supported format, or not one 3-D gray-scale volume on a
            rectangular grid. One line: what was found, what was expected, what to do.
        MemoryLimitError: If the voxels do not fit into memory.
    """
    path = Path(path)
    with _reading(path):
        known = _format_for(path)
        if series is not None and known is not None:
            msg = "is not DICOM, so it has no series to choose from; leave the series out"
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

    Voxels go back to the type they were stored in: integers are rounded to the nearest (half to even) and clipped to
    its range; integers that had a slope get a new slope and intercept that cover the result, where the format has
    them (NIfTI). Anything else is stored as float32, or as float64 where float32 would overflow. NIfTI and MGH keep
    the geometry in single precision, 1e-5 mm at 200 mm from the origin; NRRD and MetaImage keep all of it.

    Args:
        volume: What to write; shape (k, j, i), geometry in LPS mm.
        path: Where to; ends in one of `WRITABLE_SUFFIXES`. A symbolic link is followed.
        overwrite: Replace a file that exists.
        description: What was done, kept as ``ArSSR <version>: <description>`` in the header, the first 79 bytes of it
            in NIfTI. By default the description that the volume came with.
        compress: Make NRRD and MetaImage files small; without it they are several times faster to write. The names of
            NIfTI and MGH files say already which it is.

    Returns:
        ``path``.

    Raises:
        OutputError: If the file cannot be written there or in that format. Nothing is left behind.
    """
    target = validate_output(path, overwrite=overwrite)
    known = format_of(target)
    codec = _load(known, OutputError)
    options = {"compress": compress} if known is not None and known.compresses else {}
    with replacing(target, suffix_of(target), overwrite=overwrite) as temporary:
        codec.write(volume, temporary, _described(volume, description), **options)
    return target


def destination_of(path: str | os.PathLike[str]) -> Destination:
    """Return what writing a volume to a path will take: a name `write_volume` accepts, or a folder for a series.

    NIfTI is written plane by plane, so a result larger than the memory may lie beside its file until then. SimpleITK
    takes a copy of a volume, and one more for the compressed voxels of MetaImage.
    """
    known = format_of(Path(path))
    if known is None:  # a folder, for which the series is put together as SimpleITK does it
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
    secondary, and names the source images of every slice, this program, the model and its checksum. Integers
    that fit into 16 bits are stored as they are; anything else, floating point too, in 65536 steps of a stated slope.

    Args:
        volume: What to write; shape (k, j, i), geometry in LPS mm, in the coordinates of its source.
        folder: A new or empty folder. Its parent exists.
        sources: The files of the one MR series that the volume was made from: slices, or one multi-frame file.
        derivation: What was done to them.
        overwrite: Replace a series that we wrote into ``folder`` earlier.

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
    """Return the files of a DICOM series, in the order of their names.

    Args:
        path: A folder, which is searched without its subfolders, or a file.
        series: Series instance UID, or description, where there are several.

    Raises:
        InputError: If there is no series, or several to choose from.
    """
    path = Path(path)
    with _reading(path):
        files: list[Path] = _load(None, InputError).find(path, series)
    return files


def validate_series_source(path: str | os.PathLike[str], *, series: str | None = None) -> list[Path]:
    """Return the files of a DICOM series as `find_series` does, if a derived series can be made of it.

    Raises:
        InputError: If it is not MR, or lacks what places it in its study; or as `find_series` does.
    """
    files = find_series(path, series=series)
    with _reading(Path(path)):
        _import("derived", DICOM_LIBRARIES, refusal=OutputError).require_mr(files)
    return files


def is_dicom(path: str | os.PathLike[str]) -> bool:
    """Tell whether a path would be read as DICOM: a file by its mark, a folder whenever it holds no other volume."""
    path = Path(path)
    if path.is_dir():
        return not find_volumes(path)
    try:
        return _format_for(path) is None
    except (InputError, OSError):
        return False


def _format_for(path: Path) -> Format | None:
    """Return the format in which ``path`` is read, or None for DICOM.

    Raises:
        InputError: If it cannot be read at all.
    """
    if path.is_dir():
        return None
    refuse_unfetched(path)
    if not path.exists():
        stdin = "; standard input is not read, name a file" if str(path) == "-" else "; check the path"
        msg = f"does not exist{stdin}"
        raise InputError(msg)
    if not path.is_file():
        msg = "is neither a file nor a folder; name a volume"
        raise InputError(msg)
    if path.stat().st_size == 0:
        msg = "is empty (0 bytes); copy or export it again"
        raise InputError(msg)
    known = format_of(path)
    if known is not None:
        refuse_misnamed(path)
        return known
    with path.open("rb") as file:
        if dicom_start(file):
            return None
    if suffix_of(path) in DICOM_SUFFIXES:
        msg = "is named like DICOM and is none; copy or export it again"
        raise InputError(msg)
    msg = f"is neither DICOM nor a format known by its name; expected one of {', '.join(SUPPORTED_SUFFIXES)}"
    raise InputError(msg)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Name the file in whatever is raised: the rooms below know what is wrong, not what the user called it."""
    try:
        yield
    except MemoryError as error:
        msg = f"{path}: its voxels do not fit into memory; crop it or use a machine with more."
        raise MemoryLimitError(msg) from error
    except InputError as error:
        msg = f"{path}: {str(error).rstrip('.')}."
        raise InputError(msg) from error
    except OSError as error:
        raise _cannot_read(path, error) from error


def _cannot_read(path: Path, error: OSError) -> InputError:
    return InputError(f"{path}: cannot be read ({error.strerror or error}); check the path and its permissions.")


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


def _described(volume: Volume, description: str | None) -> str:
    """Return the description to store: the new one under our name, else the one the volume came with."""
    if description is not None:
        return f"ArSSR {__version__}: {' '.join(description.split())}"
    return volume.header.description or f"ArSSR {__version__}"
