"""The standard streams of a process of our own: there, or as if they were; what they cannot take ends no work.

A program without a console, a service, or ``2>&-`` in a shell has none of them, and a disk may be full.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import TextIO


def open_standard_streams() -> None:
    """Give a process the standard streams that it lacks, leading nowhere.

    The descriptors, too: the next file that is opened would get that of a missing one, and whatever a library writes
    to its standard error would end up in it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - until the process ends


class ForgivingStream(io.TextIOBase):
    """A stream for text that stays silent once the system refuses to take more.

    Attributes:
        error: Why it did; None if all was taken.
    """

    def __init__(self, stream: TextIO, *, pipes: bool) -> None:
        """Wrap a stream.

        Args:
            stream: Where the text goes.
            pipes: Whether a pipe that nobody reads any more is forgiven, too; otherwise it is raised.
        """
        self._stream = stream
        self._pipes = pipes
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        """Write a text, if it is taken."""
        if self.error is None:
            with self._forgiven():
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write what is kept back, if it is taken."""
        if self.error is None:
            with self._forgiven():
                self._stream.flush()

    def isatty(self) -> bool:
        """Tell whether a person looks at it."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """Return its descriptor."""
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """How its text becomes bytes."""
        return self._stream.encoding

    @contextlib.contextmanager
    def _forgiven(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if isinstance(error, BrokenPipeError) and not self._pipes:
                raise
            self.error = error
            lead_nowhere(self._stream)


def lead_nowhere(stream: TextIO) -> None:
    """Let a stream lead nowhere: what it still keeps would be refused once more when the process ends."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


@contextlib.contextmanager
def forgiving_streams() -> Iterator[ForgivingStream]:
    """Let standard output and standard error refuse what they like; gives the former, to ask it whether it did."""
    output, errors = sys.stdout, sys.stderr
    sys.stdout = forgiving = ForgivingStream(output, pipes=False)
    sys.stderr = ForgivingStream(errors, pipes=True)
    try:
        yield forgiving
    finally:
        with contextlib.suppress(BrokenPipeError):
            forgiving.flush()
        sys.stdout, sys.stderr = output, errors
