"""Keeps image libraries from writing to the user's standard error.

Their messages become exceptions or lines in our own log.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from typing import IO

from ArSSRLib.process import LogReceiver

_STDERR = 2
# Redirecting a descriptor affects the whole process, so two threads must not interfere.
_LOCK = threading.Lock()


@contextlib.contextmanager
def native_stderr() -> Iterator[IO[bytes]]:
    """Hide the output of C and C++ code on the standard error, which Python settings do not affect; yields it."""
    with _LOCK, contextlib.ExitStack() as stack:
        hidden = stack.enter_context(_temporary())
        # A program without a console, as on Windows, has no descriptor to save, and nothing to hide.
        with contextlib.suppress(OSError, ValueError):
            if sys.stderr is not None:
                sys.stderr.flush()
            saved = os.dup(_STDERR)
            stack.callback(os.close, saved)
            stack.callback(os.dup2, saved, _STDERR)
            os.dup2(hidden.fileno(), _STDERR)
        yield hidden


def _temporary() -> IO[bytes]:
    """Return a temporary file, or without space for it, the null device."""
    try:
        return tempfile.TemporaryFile(buffering=0)
    except OSError:
        return open(os.devnull, "r+b", buffering=0)


@contextlib.contextmanager
def forwarded(name: str, to: logging.Logger, level: int, prefix: object, *, but: Sequence[str] = ()) -> Iterator[None]:
    """Forward the log of a library to our own log, which programs can display, at a level and after a prefix.

    Messages that contain one of the words of ``but`` are discarded.
    """

    def forward(record: logging.LogRecord) -> None:
        """Repeat one record as one line."""
        message = " ".join(record.getMessage().split())
        if not any(word in message for word in but):
            to.log(level, "%s: %s", prefix, message)

    library = logging.getLogger(name)
    handlers, propagate = library.handlers, library.propagate
    library.handlers, library.propagate = [LogReceiver(forward)], False
    try:
        yield
    finally:
        library.handlers, library.propagate = handlers, propagate
