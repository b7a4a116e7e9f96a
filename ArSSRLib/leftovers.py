"""Names of unfinished files, and the removal of those that a killed process has left.

An unfinished file or folder is hidden beside its final name, with a name that identifies the machine and the process:
``.arssr-MACHINE-PROCESS-RANDOM``. A killed process cannot remove its files, so the next process that uses the folder
does. The names do not identify a patient, and files are only removed if their process has ended.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import re
import secrets
import shutil
from pathlib import Path

from ArSSRLib.errors import OutputError

PREFIX = ".arssr-"
_PATTERN = re.compile(r"\.arssr-([0-9a-f]{8})-(\d{1,10})-[0-9a-f]{8}(\.\w+)*")
# A container has its own process numbers, and may share a folder with containers of the same name.
_PROCESS_NUMBERS = "/proc/self/ns/pid"


def hidden_name(suffix: str = "") -> str:
    """Return a new name for an unfinished file or folder of this process, short enough for all file systems.

    The suffix, such as ".nii.gz", may determine the format in a library.
    """
    return f"{PREFIX}{_machine()}-{os.getpid()}-{secrets.token_hex(4)}{suffix}"


def write_whole(path: Path, content: bytes) -> None:
    """Write a file completely or not at all; an existing file is replaced in one step.

    Raises:
        OutputError: If the file cannot be written. Nothing is left behind.
    """
    sweep(path.parent)
    temporary = path.with_name(hidden_name())
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        msg = f"{path}: cannot be written ({error.strerror or error}); check the folder and the space on the disk."
        raise OutputError(msg) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def sweep(folder: Path) -> int:
    """Remove the unfinished files of ended processes of this machine from a folder; return their number.

    Without psutil, nothing is removed, because it is unknown whether a process is still running.
    """
    with contextlib.suppress(OSError):
        left = [name for name in os.listdir(folder) if (match := _PATTERN.fullmatch(name)) and _is_over(match)]
        for name in left:
            _remove(folder / name)
        return sum(not os.path.lexists(folder / name) for name in left)
    return 0


def _is_over(match: re.Match[str]) -> bool:
    """Return whether the process in a name was on this machine and has ended."""
    if match[1] != _machine():
        return False
    try:
        import psutil  # noqa: PLC0415 - may not be installed yet in Slicer
    except ImportError:
        return False
    return not psutil.pid_exists(int(match[2]))


def _remove(path: Path) -> None:
    """Delete a file, a link, or a folder with its content, except for what another program has open."""
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


@functools.cache
def _machine() -> str:
    """Return eight digits for this machine or container, because process numbers are only valid there."""
    numbers = 0
    with contextlib.suppress(OSError):
        numbers = os.stat(_PROCESS_NUMBERS).st_ino
    return hashlib.sha256(f"{platform.node()} {numbers}".encode()).hexdigest()[:8]
