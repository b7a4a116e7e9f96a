"""Stopping the worker at any time, without leaving files behind.

There are three ways to stop it: the line "cancel" on the standard input, the end of the standard input (the caller has
ended), or a signal: SIGTERM, SIGINT or SIGHUP. The standard input is only watched if it is a pipe or a socket, not if
it is a terminal, a file, /dev/null or closed from the start.

The work is stopped at its next step. If that takes too long, because it is inside a library, the watching thread
removes unfinished files and ends the process.

Other lines on the standard input are requests, of which only the newest counts.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ArSSRLib.process import ending_signals

if TYPE_CHECKING:
    from ArSSRLib.worker.events import Events

# Seconds for the work to stop by itself.
SECONDS_OF_GRACE = 0.5
# Seconds for the reader to receive the last line.
SECONDS_TO_SAY_SO = 0.3
# Seconds between two checks for input on Windows, where waiting is not possible.
SECONDS_BETWEEN_LOOKS = 0.1
# Longer lines on the standard input are not requests.
MAXIMUM_BYTES = 65_536
EXIT_CANCELLED = 130
_STDIN = 0


class CancelledError(BaseException):
    """The work was asked to stop. Not an `Exception`, so that it is not handled as a failure."""


class Inbox:
    """The newest line that was not yet taken; one thread adds lines, another takes them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._unfinished = b""
        self._newest: bytes | None = None
        self._closed = False

    @property
    def waiting(self) -> bool:
        """Whether there is a line to take."""
        return self._newest is not None

    def add(self, arrived: bytes) -> list[bytes]:
        """Add received bytes; return the lines that they complete and the incomplete rest, for inspection."""
        *lines, rest = (self._unfinished + arrived).split(b"\n")
        self._unfinished = rest[-MAXIMUM_BYTES:]
        with self._changed:
            for line in lines:
                if line.strip():
                    self._newest = line.strip()
            self._changed.notify_all()
        return [*lines, rest]

    def close(self) -> None:
        """Mark the end of the input."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def take(self) -> bytes | None:
        """Wait for a line and return the newest, or None at the end of the input; older lines are discarded."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._newest is not None)
            newest, self._newest = self._newest, None
            return None if self._closed else newest


class Cancellation:
    """Whether the work is to stop, and what to remove if it does not stop by itself.

    Args:
        events: Output for the cancellation event.
        stdin: File descriptor of the standard input.
        leave: Ends the process immediately.

    Attributes:
        inbox: Other lines on the standard input; closed when the work is to stop.
    """

    def __init__(self, events: Events, *, stdin: int = _STDIN, leave: Callable[[int], object] = os._exit) -> None:
        self.inbox = Inbox()
        self._events = events
        self._stdin = stdin
        self._leave_process = leave
        self._asked = threading.Event()
        self._ended = threading.Event()
        self._too_late = False
        self._folders: list[Path] = []
        # A signal is handled between two steps of Python, which may be minutes apart; this pipe is written immediately.
        self._wake, self._wake_end = os.pipe()

    def check(self) -> None:
        """Stop here if requested.

        Raises:
            CancelledError: If requested.
        """
        if self._asked.is_set():
            raise CancelledError

    def request(self) -> None:
        """Request the work to stop."""
        self._asked.set()

    def remove_if_left(self, folder: Path) -> None:
        """Register a folder of unfinished files before it is created."""
        self._folders.append(folder)

    def disable(self) -> None:
        """Disable cancellation for the final, atomic step.

        Raises:
            CancelledError: If a stop was already requested.
        """
        self._too_late = True
        self.check()

    def watch(self) -> None:
        """Start listening, in a daemon thread. Only call this in the main thread."""
        for number in (*ending_signals(), signal.SIGINT):
            signal.signal(number, lambda *_: self.request())
        if sys.platform != "win32":
            os.set_blocking(self._wake_end, False)
            signal.set_wakeup_fd(self._wake_end, warn_on_full_buffer=False)
        threading.Thread(target=self._listen, name="cancellation", daemon=True).start()

    def end(self) -> None:
        """Stop listening, because the work has ended in any way."""
        self._ended.set()

    def _listen(self) -> None:
        listening = _is_watched(self._stdin)
        while not self._asked.is_set():
            if sys.platform == "win32":
                arrived = self._next_bytes_on_windows(listening)
            else:
                arrived = self._next_bytes(listening)
            if arrived is None:
                continue
            if not arrived or any(line.strip() == b"cancel" for line in self.inbox.add(arrived)):
                self.request()
        self.inbox.close()
        if not self._ended.wait(SECONDS_OF_GRACE) and not self._too_late:
            self._leave()

    def _next_bytes(self, listening: bool) -> bytes | None:
        """Wait for data on the standard input; b"" at its end, None after a signal."""
        ready, _, _ = select.select([self._wake, self._stdin] if listening else [self._wake], [], [])
        if self._wake in ready:
            self.request()
            return None
        return os.read(self._stdin, 4096)

    def _next_bytes_on_windows(self, listening: bool) -> bytes | None:
        """Check for data on the standard input; b"" at its end, None if there is none.

        A blocking read, in any thread, would block every library that inspects the standard input while it is loaded,
        such as numpy (https://github.com/numpy/numpy/issues/24290).
        """
        import _winapi  # noqa: PLC0415 - on Windows only
        import msvcrt  # noqa: PLC0415

        if listening:
            try:
                count, _ = _winapi.PeekNamedPipe(msvcrt.get_osfhandle(self._stdin), 0)  # type: ignore[attr-defined, unused-ignore]
            except OSError:
                return b""
            if count:
                return os.read(self._stdin, count)
        self._asked.wait(SECONDS_BETWEEN_LOOKS)
        return None

    def _leave(self) -> None:
        """Remove unfinished files and end the process, regardless of its other threads."""
        _end_children()
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)
        # If the last line is never read, writing it never ends.
        timer = threading.Timer(SECONDS_TO_SAY_SO, self._leave_process, (EXIT_CANCELLED,))
        timer.daemon = True
        timer.start()
        self._events.end("cancelled")
        self._leave_process(EXIT_CANCELLED)


def _is_watched(descriptor: int) -> bool:
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:  # closed from the start
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _end_children() -> None:
    """End the child processes of this process and their descendants."""
    with contextlib.suppress(ImportError):
        import psutil  # noqa: PLC0415 - may be missing, and then nothing was started either

        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                child.kill()
