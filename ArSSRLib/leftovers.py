"""Names of unfinished files, and how those of a process that was killed are removed by the next one.

An unfinished file or folder lies hidden beside its final name, in a name that says which process on which machine is at
work on it: ``.arssr-MACHINE-PROCESS-RANDOM``. What was killed cannot clean up, so whoever starts next in that folder
does. Nothing in such a name tells whom a volume shows, and nothing is removed whose process may still be at work.
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
# A container has process numbers of its own, and may share a folder with others of the same name.
_PROCESS_NUMBERS = "/proc/self/ns/pid"


def hidden_name(suffix: str = "") -> str:
    """Return a new name for an unfinished file or folder of this process, short enough for every file system.

    Args:
        suffix: End of the name, such as ".nii.gz", from which a library may choose the format.
    """
    return f"{PREFIX}{_machine()}-{os.getpid()}-{secrets.token_hex(4)}{suffix}"


def write_whole(path: Path, content: bytes) -> None:
    """Write a file completely or not at all; one that is there is replaced in one step.

    Raises:
        OutputError: If it cannot be written. Nothing is left behind.
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
    """Remove what processes of this machine that run no more have left in a folder; return how many there were.

    Without psutil nothing is removed: it cannot be told whether a process still runs.
    """
    with contextlib.suppress(OSError):
        left = [name for name in os.listdir(folder) if (match := _PATTERN.fullmatch(name)) and _is_over(match)]
        for name in left:
            _remove(folder / name)
        return sum(not os.path.lexists(folder / name) for name in left)
    return 0


def _is_over(match: re.Match[str]) -> bool:
    """Tell whether the process in a name was one of this machine, and runs no more."""
    if match[1] != _machine():
        return False
    try:
        import psutil  # noqa: PLC0415 - may not be installed yet in Slicer
    except ImportError:
        return False
    return not psutil.pid_exists(int(match[2]))


def _remove(path: Path) -> None:
    """Delete a file, a link, or a folder with what is in it; what another program holds open stays."""
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


@functools.cache
def _machine() -> str:
    """Return eight digits for this machine, or this container: process numbers mean nothing elsewhere."""
    numbers = 0
    with contextlib.suppress(OSError):
        numbers = os.stat(_PROCESS_NUMBERS).st_ino
    return hashlib.sha256(f"{platform.node()} {numbers}".encode()).hexdigest()[:8]
