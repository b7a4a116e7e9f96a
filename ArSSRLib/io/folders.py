"""The content of a folder: volumes in files, a DICOM series, or both, which is ambiguous."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Sequence
from pathlib import Path

from ArSSRLib.errors import InputError
from ArSSRLib.io.content import COMPRESSED_SUFFIXES, is_dicom_file
from ArSSRLib.io.formats import SUPPORTED_SUFFIXES, is_half, suffix_of


def find_volumes(folder: str | os.PathLike[str]) -> list[Path]:
    """Return the volumes directly in a folder, ordered by name.

    Hidden files, the voxel files of two-file formats, and single DICOM slices are excluded. A broken link counts as a
    volume that cannot be read, so that it is not ignored silently.

    Raises:
        InputError: If the folder does not exist or cannot be listed.
    """
    volumes, _ = _sorted_out(_entries(Path(folder)))
    return volumes


def find_inputs(path: str | os.PathLike[str], *, series: str | None = None) -> list[Path]:
    """Return the inputs of a path: the volumes of a folder of files, otherwise the path itself (file or DICOM series).

    Raises:
        InputError: If the folder contains both volumes and DICOM files without a selection, or cannot be listed.
    """
    path = Path(path)
    if not path.is_dir() or series is not None:
        return [path]
    entries = _entries(path)
    volumes, images = _sorted_out(entries)
    if volumes and (image := _first_dicom_file(entries, images)) is not None:
        more = f" and {len(volumes) - 1} more" if len(volumes) > 1 else ""
        msg = (
            f"{path}: contains both DICOM files, such as {image.name}, and volumes, such as {volumes[0].name}{more}; "
            f"specify a volume, for example {volumes[0]}, or choose the DICOM series with --series."
        )
        raise InputError(msg)
    return volumes or [path]


def _sorted_out(entries: Sequence[Path]) -> tuple[list[Path], frozenset[Path]]:
    """Return the volumes among the entries of a folder, ordered by name, and the DICOM files named like volumes.

    A compressed file is never opened, because DICOM files are not compressed as a whole: a folder may be slow and have
    thousands of files.
    """
    named = [entry for entry in entries if suffix_of(entry) in SUPPORTED_SUFFIXES]
    images = frozenset(
        entry
        for entry in named
        if suffix_of(entry) not in COMPRESSED_SUFFIXES and entry.is_file() and is_dicom_file(entry, named=True)
    )
    files = [entry for entry in named if entry not in images]
    headers = {entry.stem for entry in files if not is_half(entry)}
    return sorted(entry for entry in files if not (is_half(entry) and entry.stem in headers)), images


def _first_dicom_file(entries: Iterable[Path], images: Container[Path]) -> Path | None:
    """Return the first DICOM file by name, given those named like volumes, or None; a DICOMDIR file does not count."""
    for entry in sorted(entries):
        unnamed = suffix_of(entry) not in SUPPORTED_SUFFIXES and entry.name.upper() != "DICOMDIR"
        if entry in images or (unnamed and entry.is_file() and is_dicom_file(entry, named=False)):
            return entry
    return None


def _entries(folder: Path) -> list[Path]:
    """Return the files of a folder that are not hidden, including broken links."""
    try:
        with os.scandir(folder) as found:  # distinguishes files from folders without a call for each of them
            shown = [entry for entry in found if not entry.name.startswith(".")]
            return [folder / e.name for e in shown if e.is_file() or (e.is_symlink() and not os.path.exists(e))]
    except OSError as error:
        msg = f"{folder}: cannot be listed ({error.strerror}); specify an existing folder."
        raise InputError(msg) from error
