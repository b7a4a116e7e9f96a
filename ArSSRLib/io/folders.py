"""The content of a folder: volumes in files, a DICOM series, or both, which is ambiguous."""

from __future__ import annotations

import os
from pathlib import Path

from ArSSRLib.errors import InputError
from ArSSRLib.io.content import is_dicom_file
from ArSSRLib.io.formats import SUPPORTED_SUFFIXES, is_half, suffix_of


def find_volumes(folder: str | os.PathLike[str]) -> list[Path]:
    """Return the volumes directly in a folder, ordered by name.

    Hidden files, the voxel files of two-file formats, and single DICOM slices are excluded. A broken link counts as a
    volume that cannot be read, so that it is not ignored silently.

    Raises:
        InputError: If the folder does not exist or cannot be listed.
    """
    folder = Path(folder)
    named = [entry for entry in _entries(folder) if suffix_of(entry) in SUPPORTED_SUFFIXES and not _is_dicom(entry)]
    headers = {entry.stem for entry in named if not is_half(entry)}
    return sorted(entry for entry in named if not (is_half(entry) and entry.stem in headers))


def find_inputs(path: str | os.PathLike[str], *, series: str | None = None) -> list[Path]:
    """Return the inputs of a path: the volumes of a folder of files, otherwise the path itself (file or DICOM series).

    Raises:
        InputError: If the folder contains both volumes and DICOM files without a selection, or cannot be listed.
    """
    path = Path(path)
    if not path.is_dir() or series is not None:
        return [path]
    volumes = find_volumes(path)
    if volumes and (image := _dicom_file_in(path)) is not None:
        more = f" and {len(volumes) - 1} more" if len(volumes) > 1 else ""
        msg = (
            f"{path}: contains both DICOM files, such as {image.name}, and volumes, such as {volumes[0].name}{more}; "
            f"specify a volume, for example {volumes[0]}, or choose the DICOM series with --series."
        )
        raise InputError(msg)
    return volumes or [path]


def _dicom_file_in(folder: Path) -> Path | None:
    """Return a DICOM file of a folder, or None; a DICOMDIR file does not count."""
    for entry in sorted(_entries(folder)):
        if entry.name.upper() != "DICOMDIR" and _is_dicom(entry):
            return entry
    return None


def _is_dicom(entry: Path) -> bool:
    """Return whether an entry of a folder is a DICOM file, also if it is named like another format."""
    return entry.is_file() and is_dicom_file(entry, named=suffix_of(entry) in SUPPORTED_SUFFIXES)


def _entries(folder: Path) -> list[Path]:
    """Return the files of a folder that are not hidden, including broken links.

    Raises:
        InputError: If the folder cannot be listed.
    """
    try:
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        msg = f"{folder}: cannot be listed ({error.strerror}); specify an existing folder."
        raise InputError(msg) from error
    return [entry for entry in entries if entry.is_file() or (entry.is_symlink() and not entry.exists())]
