"""The errors that the engine raises deliberately.

Every message is one line that says what was found, what was expected and what to do next. Any other exception that
reaches a user is a defect. Nothing here depends on files, tensors or Slicer.
"""

from __future__ import annotations

import json

_LONGEST = 80


def one_line(message: object) -> str:
    """Return a message without line breaks and terminal escape sequences."""
    return printable(" ".join(str(message).split()))


def printable(text: str) -> str:
    """Return a text with "?" for every character that terminals do not display, except for line breaks and tabs.

    File names and header texts are not trusted: a terminal would obey escape sequences in them, and bytes that are not
    text cannot be printed.
    """
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "?" for letter in text)


def shown(value: object) -> str:
    """Return a value from a file or an argument as JSON, short enough for one line."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def reason_of(error: BaseException) -> str:
    """Return the reason of an error, without the number and the path that the text of an OSError contains."""
    return str(getattr(error, "strerror", None) or error)


class ArSSRError(Exception):
    """Base class of all errors that the engine raises deliberately."""


class InputError(ArSSRError, ValueError):
    """A volume, a scale or an argument is not usable."""


def require(user: str, given: object, kind: type, noun: str = "") -> None:
    """Refuse an argument of the Python API that is not of a type, which errors call by its name or by ``noun``.

    Raises:
        InputError: If it has another type.
    """
    if not isinstance(given, kind):
        msg = (
            f"{user} needs a {noun or kind.__name__}, got {type(given).__name__}; see the page on the use from Python."
        )
        raise InputError(msg)


class OutputError(ArSSRError, OSError):
    """A result cannot be written."""


class CheckpointError(ArSSRError, ValueError):
    """Weights are not usable."""


class DeviceError(ArSSRError, RuntimeError):
    """A device or a precision is not available."""


class MemoryLimitError(ArSSRError, MemoryError):
    """A job exceeds its memory limit."""


class DependencyError(ArSSRError, ImportError):
    """A package is not installed, or cannot be loaded."""


class ClusterError(ArSSRError, ConnectionError):
    """A scheduler or a cluster is not available, or no longer available."""
