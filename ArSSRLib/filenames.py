"""File names that are valid on every system, because results are exchanged between systems."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ArSSRLib.errors import ArSSRError

_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])", re.IGNORECASE)
_FORBIDDEN = re.compile(r'[<>:"|?*\\\x01-\x1f\x7f]')


def path_of(given: object, refusal: type[ArSSRError]) -> Path:
    """Return an argument of the Python API as a path.

    Raises:
        ArSSRError: If it is not a path, or empty, which would mean the working directory; of the type ``refusal``.
    """
    if isinstance(given, str | os.PathLike) and given != "":
        path = os.fspath(given)
        if isinstance(path, str):
            return Path(path)
    found = '""' if given == "" else type(given).__name__
    msg = f"A path must be a text that is not empty, or a pathlib.Path, got {found}; pass the name of a file or folder."
    raise refusal(msg)


def portable_name(name: str) -> str:
    """Return a file name that is valid on every system: the same, or a similar one."""
    if not reserved_name(name):
        return name
    allowed = _FORBIDDEN.sub("-", name).rstrip(". ")
    return f"_{allowed}" if reserved_name(allowed) else allowed


def reserved_name(name: str) -> str:
    """Return why a file or folder name, the last part of a path, is not valid on every system, or an empty string.

    Source:
        Microsoft, "Naming Files, Paths, and Namespaces"; this applies to all file systems that Windows can write.
    """
    if name == "-":
        return "in other programs, a single - stands for standard input or output"
    found = _FORBIDDEN.search(name)
    if found:
        shown = f'"{found[0]}"' if found[0].isprintable() else f"the control character {ord(found[0])}"
        return f"Windows does not allow {shown} in a name"
    if name not in (".", "..") and name[-1:] in (".", " "):
        return f"Windows does not allow names that end in a {'dot' if name[-1] == '.' else 'space'}"
    # Windows only considers the part before the first dot.
    stem = name.partition(".")[0].rstrip(" ")
    if _DEVICES.fullmatch(stem):
        return f"{stem} is the name of a device on Windows"
    return ""
