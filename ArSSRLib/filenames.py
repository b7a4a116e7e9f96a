"""What a file must not be called, on any system: a result that a colleague's computer refuses is half lost."""

from __future__ import annotations

import re

_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])", re.IGNORECASE)
_FORBIDDEN = re.compile(r'[<>:"|?*\\\x01-\x1f\x7f]')


def portable_name(name: str) -> str:
    """Return a name for a file that every system allows: the same, or one that is like it."""
    if not reserved_name(name):
        return name
    allowed = _FORBIDDEN.sub("-", name).rstrip(". ")
    return f"_{allowed}" if reserved_name(allowed) else allowed


def reserved_name(name: str) -> str:
    """Return why a file or folder must not have a name, or an empty text if it may.

    Args:
        name: The last part of a path.

    Source:
        Microsoft, "Naming Files, Paths, and Namespaces"; it holds for every file system that Windows writes to.
    """
    if name == "-":
        return "a single - stands for standard input or output in other programs"
    found = _FORBIDDEN.search(name)
    if found:
        shown = found[0] if found[0].isprintable() else f"the control character {ord(found[0])}"
        return f"names that hold {shown} do not exist on Windows"
    if name not in (".", "..") and name[-1:] in (".", " "):
        return f"names that end in a {'dot' if name[-1] == '.' else 'space'} do not exist on Windows"
    # Windows looks at what stands before the first dot, whatever follows.
    stem = name.partition(".")[0].rstrip(" ")
    if _DEVICES.fullmatch(stem):
        return f"{stem} is the name of a device on Windows"
    return ""
