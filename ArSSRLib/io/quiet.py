"""Keep image libraries from writing to the standard error of the user.

What they have to say becomes an exception or a line in our own log.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Iterator, Sequence

_STDERR = 2
# Redirecting a descriptor is a matter of the whole process; two threads must not undo each other.
_LOCK = threading.Lock()


@contextlib.contextmanager
def native_stderr() -> Iterator[None]:
    """Discard what C and C++ code writes to the standard error, which no Python setting reaches."""
    with _LOCK, contextlib.ExitStack() as stack:
        # A program without a console, as on Windows, has no descriptor to save; then there is nothing to hide.
        with contextlib.suppress(OSError, ValueError):
            if sys.stderr is not None:
                sys.stderr.flush()
            saved = os.dup(_STDERR)
            stack.callback(os.close, saved)
            stack.callback(os.dup2, saved, _STDERR)
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), _STDERR)
        yield


@contextlib.contextmanager
def forwarded(name: str, to: logging.Logger, level: int, prefix: object, *, but: Sequence[str] = ()) -> Iterator[None]:
    """Pass what a library logs on to our own log, which programs know how to show.

    Args:
        name: Logger of the library.
        to: Our logger.
        level: How much it matters to us.
        prefix: Put before each message, to say which file it is about.
        but: Messages that hold one of these words are dropped: we know better.
    """
    library = logging.getLogger(name)
    handlers, propagate = library.handlers, library.propagate
    library.handlers, library.propagate = [_Forward(to, level, prefix, but)], False
    try:
        yield
    finally:
        library.handlers, library.propagate = handlers, propagate


class _Forward(logging.Handler):
    """Repeats a record as a message of another logger."""

    def __init__(self, to: logging.Logger, level: int, prefix: object, but: Sequence[str]) -> None:
        super().__init__()
        self._to = to
        self._as = level
        self._prefix = prefix
        self._but = but

    def emit(self, record: logging.LogRecord) -> None:
        """Repeat one record, in one line."""
        message = " ".join(record.getMessage().split())
        if not any(word in message for word in self._but):
            self._to.log(self._as, "%s: %s", self._prefix, message)
