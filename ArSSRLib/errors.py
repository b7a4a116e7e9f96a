"""What the engine raises on purpose.

Every message is one line that says what was found, what was expected and what to do next. Anything else that
reaches a user is a defect. Nothing here knows about files, tensors or Slicer.
"""


def one_line(message: object) -> str:
    """Return a message without its line breaks, and without what would command a terminal instead of being shown."""
    return printable(" ".join(str(message).split()))


def printable(text: str) -> str:
    """Return a text with "?" for every character that no terminal shows, line breaks and tabs aside.

    Names of files and texts in headers are anybody's: an escape sequence in them would be obeyed, and bytes that are no
    text cannot be printed at all.
    """
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "?" for letter in text)


class ArSSRError(Exception):
    """Base of everything the engine raises on purpose."""


class InputError(ArSSRError, ValueError):
    """A volume, a scale or an argument that cannot be used."""


class OutputError(ArSSRError, OSError):
    """A result that cannot be written."""


class CheckpointError(ArSSRError, ValueError):
    """Weights that cannot be used."""


class DeviceError(ArSSRError, RuntimeError):
    """A device or a precision that is not there."""


class MemoryLimitError(ArSSRError, MemoryError):
    """A job that does not fit into the memory it may use."""


class DependencyError(ArSSRError, ImportError):
    """A package that is not installed, or cannot be loaded."""


class ClusterError(ArSSRError, ConnectionError):
    """A scheduler or a cluster that is not there, or has gone away."""
