"""What the engine raises on purpose.

Every message is one line that says what was found, what was expected and what to do next. Anything else that
reaches a user is a defect. Nothing here knows about files, tensors or Slicer.
"""


def one_line(message: object) -> str:
    """Return a message without its line breaks."""
    return " ".join(str(message).split())


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
