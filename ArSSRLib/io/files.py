"""Output file names, and writing of files completely or not at all.

The content of a file is defined by its format.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from ArSSRLib.errors import ArSSRError, OutputError
from ArSSRLib.filenames import path_of, reserved_name
from ArSSRLib.io.content import is_dicom_file
from ArSSRLib.io.formats import DICOM_SUFFIXES, WRITABLE_SUFFIXES, format_of, single_file_suffix, suffix_of
from ArSSRLib.leftovers import hidden_name, sweep

# The slices of a series written by us, numbered from 1; this name identifies our folders.
SLICE_NAME = "ArSSR_{:04d}.dcm"
_SLICE_PATTERN = re.compile(r"ArSSR_\d{4,}\.dcm")


def validate_output(
    path: str | os.PathLike[str], *, overwrite: bool, source: str | os.PathLike[str] | None = None
) -> Path:
    """Refuse an output that cannot be written, before the computation, which may take hours; return its path.

    The input, ``source``, is never replaced, regardless of ``overwrite`` and of links.

    Raises:
        OutputError: If the format cannot be written, the folder is missing or not writable, the file exists, or it is
            the input.
    """
    path = path_of(path, OutputError)
    refuse_name(path)
    _refuse_format(path)
    try:
        if path.is_dir():
            msg = f"{path}: is a folder; specify a file in it, for example {path / 'result.nii.gz'}."
            raise OutputError(msg)
        if path.exists():
            if source is not None and _is_input(path, Path(source)):
                msg = f"{path}: is the input, which is never replaced; choose another name for the output."
                raise OutputError(msg)
            if not overwrite:
                msg = f"{path}: already exists; choose another name, or allow overwriting it."
                raise OutputError(msg)
        _probe(_destination(path).parent)
    except ArSSRError:
        raise
    except (OSError, ValueError) as error:
        raise _cannot_write(path, error) from error
    return path


def validate_series_folder(
    path: str | os.PathLike[str], *, overwrite: bool, source: str | os.PathLike[str] | None = None
) -> Path:
    """Refuse a folder for a DICOM series that cannot be written, before the computation; return its path.

    It is new or empty, or contains a series written by us that may be replaced. Other content is never replaced, and
    neither is the input, a file or a folder.

    Raises:
        OutputError: If it is a file, contains other files, is that of the input, or its parent is not writable.
    """
    path = path_of(path, OutputError)
    refuse_name(path)
    try:
        if path.exists():
            _refuse_folder(path, overwrite=overwrite, source=None if source is None else Path(source))
        _probe(_destination(path).parent)
    except ArSSRError:
        raise
    except (OSError, ValueError) as error:
        raise _cannot_write(path, error) from error
    return path


def is_same_file(path: Path, other: Path) -> bool:
    """Return whether two paths are the same file, regardless of links; neither has to exist."""
    if path.exists() and other.exists():
        return path.samefile(other)
    return _destination(path) == _destination(other)


def refuse_name(path: Path) -> None:
    """Refuse a name for a new file or folder that is not valid on every system.

    Raises:
        OutputError: If the name is not valid.
    """
    problem = reserved_name(path.name)
    if problem:
        msg = f"{path}: is not a valid name for a result: {problem}; choose another name."
        raise OutputError(msg)


@contextlib.contextmanager
def replacing(path: Path, suffix: str, *, overwrite: bool = True) -> Iterator[Path]:
    """Provide a temporary name beside ``path``; the file written there replaces it when the block succeeds.

    Args:
        path: Path of the final file. A symbolic link is followed.
        suffix: End of the temporary name, which may determine the format in a library.
        overwrite: Whether it may replace another file; otherwise, a file that was created meanwhile is also kept.

    Raises:
        OutputError: If writing fails. No temporary file remains after any exception.
    """
    destination = _destination(path)
    # Hidden and short, because the name of the output may have the maximum length of the file system.
    temporary = destination.with_name(hidden_name(suffix))
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        if overwrite:
            temporary.replace(destination)
        else:
            _place_beside(temporary, destination)
    except ArSSRError as error:
        msg = f"{path}: {str(error).rstrip('.')}."
        raise OutputError(msg) from error
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Provide a temporary folder beside ``path``, which replaces it when the block succeeds.

    The content of ``path`` must have been accepted by `validate_series_folder`.

    Raises:
        OutputError: If writing fails. After any exception, no temporary folder remains, and the previous content of
            ``path`` is restored.
    """
    destination = _destination(path)
    temporary = destination.with_name(hidden_name())
    # Not a name that later processes remove: if this process is killed between two steps, it is the only copy.
    old = destination.with_name(f"{temporary.name}.old-series")
    try:
        temporary.mkdir()
        yield temporary
        # Not flushed to the disk like a single file, which would require one wait for each of hundreds of slices.
        if destination.exists():
            destination.replace(old)
        temporary.replace(destination)
    except ArSSRError as error:
        msg = f"{path}: {str(error).rstrip('.')}."
        raise type(error)(msg) from error
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        if old.exists() and not destination.exists():
            old.replace(destination)
        for left in (temporary, old):
            shutil.rmtree(left, ignore_errors=True)


def _is_input(path: Path, source: Path) -> bool:
    """Return whether an existing file is the input, or a slice in the folder of a series; slices may be named .nii."""
    if not source.is_dir():
        return source.exists() and path.samefile(source)
    return _destination(path).parent.samefile(source) and is_dicom_file(path, named=True)


def _refuse_folder(path: Path, *, overwrite: bool, source: Path | None) -> None:
    if not path.is_dir():
        msg = f"{path}: is a file; specify a new folder for the DICOM series."
        raise OutputError(msg)
    home = source if source is None or source.is_dir() else source.parent
    if home is not None and home.exists() and path.samefile(home):
        msg = f"{path}: is the folder of the input, which is never replaced; choose another folder for the output."
        raise OutputError(msg)
    held = [entry.name for entry in path.iterdir() if not entry.name.startswith(".")]
    if not held:
        return
    if not overwrite:
        msg = (
            f"{path}: already exists and contains {len(held)} file{'s' * (len(held) != 1)}; choose a new folder, "
            "or allow overwriting it."
        )
        raise OutputError(msg)
    others = [name for name in held if not _SLICE_PATTERN.fullmatch(name)]
    if others:
        msg = (
            f"{path}: contains files other than those of a series written by ArSSR, such as {others[0]}; choose a new "
            "folder."
        )
        raise OutputError(msg)


def _place_beside(temporary: Path, destination: Path) -> None:
    """Rename a file, unless the name exists: two runs may have started with the same output."""
    try:
        os.link(temporary, destination)
    except FileExistsError as error:
        msg = "was created by another program in the meantime and was not replaced; choose another name"
        raise OutputError(msg) from error
    except OSError:  # a file system without links, such as a memory stick
        temporary.replace(destination)


def _destination(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _refuse_format(path: Path) -> None:
    suffix = suffix_of(path)
    if suffix in WRITABLE_SUFFIXES:
        return
    if format_of(path) is not None:
        found = f"{suffix} stores the header and the voxels in two files, which can become separated"
        advice = f"use {single_file_suffix(path)}"
    elif suffix in DICOM_SUFFIXES:
        found = "DICOM is written as a series, with one file per slice"
        advice = "specify a folder, or use .nii.gz or .nrrd"
    else:
        unknown = f"{suffix} is not a supported output format"
        found = unknown if suffix else "has no extension that identifies the format"
        advice = f"use one of {', '.join(WRITABLE_SUFFIXES)}"
    msg = f"{path}: {found}; {advice}."
    raise OutputError(msg)


def _probe(folder: Path) -> None:
    """Create and delete a file, because permission bits are unreliable for network drives, quotas and root."""
    if not folder.is_dir():
        msg = f"{folder}: is not an existing folder; create it first, or choose another one."
        raise OutputError(msg)
    sweep(folder)
    probe = folder / hidden_name()
    try:
        probe.touch(exist_ok=False)
    finally:
        probe.unlink(missing_ok=True)


def _cannot_write(path: Path, error: Exception) -> OutputError:
    reason = getattr(error, "strerror", None) or error
    return OutputError(f"{path}: cannot be written ({reason}); free some space, or choose another folder or name.")
