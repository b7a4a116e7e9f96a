"""Volumes from files and back.

`read_volume` and `write_volume` are the two ends of the path of a volume. Whatever the format, an array is indexed
``[k, j, i]`` and its geometry is in LPS mm. Formats are told apart by the end of the file name, DICOM also by content:

* NIfTI-1, NIfTI-2 and MGH, in `nifti`; NRRD and MetaImage, in `itk`; DICOM, read only, in `dicom`.

Each library is loaded when its first file arrives, so a machine without nibabel, as Slicer is, still reads NRRD.
The type of the voxels is decided in `voxels`; how a file comes into being, all of it or nothing, in `files`.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

from ArSSRLib import __version__
from ArSSRLib.errors import ArSSRError, InputError, MemoryLimitError, OutputError
from ArSSRLib.io.files import ROOMS, SUPPORTED_SUFFIXES, WRITABLE_SUFFIXES, replacing, suffix_of, validate_output
from ArSSRLib.volume import Volume

__all__ = [
    "SUPPORTED_SUFFIXES",
    "WRITABLE_SUFFIXES",
    "find_volumes",
    "read_volume",
    "validate_output",
    "write_volume",
]

_LIBRARIES = {"nifti": "nibabel", "itk": "SimpleITK", "dicom": "SimpleITK and pydicom"}


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
    try:
        room = _reader_for(path)
        if series is not None and room != "dicom":
            msg = "is not DICOM, so it has no series to choose from; leave the series out"
            raise InputError(msg)
        codec = _load(room, InputError)
        volume: Volume = codec.read(path, series) if room == "dicom" else codec.read(path)
    except MemoryError as error:
        msg = f"{path}: its voxels do not fit into memory; crop it or use a machine with more."
        raise MemoryLimitError(msg) from error
    except InputError as error:
        # The rooms below know what is wrong, not what the user called the file.
        msg = f"{path}: {str(error).rstrip('.')}."
        raise InputError(msg) from error
    except OSError as error:
        msg = f"{path}: cannot be read ({error.strerror or error}); check the path and its permissions."
        raise InputError(msg) from error
    return volume


def write_volume(
    volume: Volume, path: str | os.PathLike[str], *, overwrite: bool = False, description: str | None = None
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

    Returns:
        ``path``.

    Raises:
        OutputError: If the file cannot be written there or in that format. Nothing is left behind.
    """
    target = validate_output(path, overwrite=overwrite)
    suffix = suffix_of(target)
    codec = _load(ROOMS[suffix], OutputError)
    with replacing(target, suffix) as temporary:
        codec.write(volume, temporary, _described(volume, description))
    return target


def find_volumes(folder: str | os.PathLike[str]) -> list[Path]:
    """Return the volumes that lie directly in a folder, sorted by name.

    Hidden files are left out, and so are the voxel halves of two-file formats and single DICOM slices.

    Args:
        folder: Where to look; folders in it are not searched.

    Raises:
        InputError: If the folder does not exist or cannot be listed.
    """
    folder = Path(folder)
    try:
        files = [entry for entry in folder.iterdir() if entry.is_file() and not entry.name.startswith(".")]
    except OSError as error:
        msg = f"{folder}: cannot be listed ({error.strerror}); name an existing folder."
        raise InputError(msg) from error
    return sorted(file for file in files if suffix_of(file) in SUPPORTED_SUFFIXES and suffix_of(file) != ".img")


def _reader_for(path: Path) -> str:
    """Return the name of the room that reads ``path``."""
    if path.is_dir():
        return "dicom"
    if not path.exists():
        msg = "does not exist; check the path"
        raise InputError(msg)
    if not path.is_file():
        msg = "is neither a file nor a folder; name a volume"
        raise InputError(msg)
    if path.stat().st_size == 0:
        msg = "is empty (0 bytes); copy or export it again"
        raise InputError(msg)
    room = ROOMS.get(suffix_of(path))
    if room:
        return room
    with path.open("rb") as file:
        if file.read(132)[128:] == b"DICM":
            return "dicom"
    msg = f"is neither DICOM nor a format known by its name; expected one of {', '.join(SUPPORTED_SUFFIXES)}"
    raise InputError(msg)


def _load(room: str, refusal: type[ArSSRError]) -> Any:  # noqa: ANN401 - a module has no narrower type
    """Import a room with its library, which may be missing."""
    try:
        return import_module(f"{__name__}.{room}")
    except ModuleNotFoundError as error:
        msg = f"this format needs {_LIBRARIES[room]}, and {error.name} is not installed: pip install {error.name}."
        raise refusal(msg) from error


def _described(volume: Volume, description: str | None) -> str:
    """Return the description to store: the new one under our name, else the one the volume came with."""
    if description is not None:
        return f"ArSSR {__version__}: {' '.join(description.split())}"
    return volume.header.description or f"ArSSR {__version__}"
