"""The standard streams of our processes: available even if the system provides none, and tolerant of write errors.

A program without a console, a service, or ``2>&-`` in a shell has no such streams, and a disk may be full.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import TextIO


def open_standard_streams() -> None:
    """Open missing standard streams, connected to the null device.

    The file descriptors are also opened: otherwise, the next file would get the descriptor of a missing stream, and
    output of libraries on the standard error would be written into that file.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # uses the lowest free descriptor
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - until the process ends


class ForgivingStream(io.TextIOBase):
    """A text stream that ignores further output after a write error of the system.

    Attributes:
        error: The write error; None if there was none.
    """

    def __init__(self, stream: TextIO, *, pipes: bool) -> None:
        """Wrap a stream; with ``pipes``, closed pipes are ignored, too; otherwise, their error is raised."""
        self._stream = stream
        self._pipes = pipes
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        """Write a text, unless writing has failed."""
        if self.error is None:
            with self._forgiven():
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream, unless writing has failed."""
        if self.error is None:
            with self._forgiven():
                self._stream.flush()

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """Return the file descriptor."""
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the stream."""
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
    """Connect a stream to the null device: otherwise, flushing its buffer would fail again at exit."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


@contextlib.contextmanager
def forgiving_streams() -> Iterator[ForgivingStream]:
    """Make standard output and standard error tolerant of write errors; yields the former, which records the error."""
    output, errors = sys.stdout, sys.stderr
    sys.stdout = forgiving = ForgivingStream(output, pipes=False)
    sys.stderr = ForgivingStream(errors, pipes=True)
    try:
        yield forgiving
    finally:
        with contextlib.suppress(BrokenPipeError):
            forgiving.flush()
        sys.stdout, sys.stderr = output, errors
