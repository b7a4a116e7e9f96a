"""Stopping the worker, wherever it is, and leaving nothing behind.

Three ways to ask: the line "cancel" on the standard input, its end (whoever started the worker has gone), or a signal,
SIGTERM or SIGINT. The standard input is watched only if it is a pipe or a socket: a terminal, a file, /dev/null and a
standard input that was closed from the start have nothing to say.

The work is asked first, at its next step. If that takes too long, because it is deep inside a library, the watching
thread removes what is half made and ends the process.
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

from ArSSRLib.worker.inbox import Inbox

if TYPE_CHECKING:
    from ArSSRLib.worker.events import Events

# How long the work may take to stop by itself.
SECONDS_OF_GRACE = 0.5
# How long the last line may take to be read by somebody.
SECONDS_TO_SAY_SO = 0.3
# How often Windows is asked for input, which cannot be waited for there.
SECONDS_BETWEEN_LOOKS = 0.1
EXIT_CANCELLED = 130
_STDIN = 0


class CancelledError(BaseException):
    """The work was asked to stop. Not an `Exception`, so that nobody takes it for a failure."""


class Cancellation:
    """Whether the work shall stop, and what to remove if it cannot do so by itself.

    Args:
        events: Where to say that the work was cancelled.
        stdin: Descriptor of the standard input.
        leave: Ends the process at once.

    Attributes:
        inbox: What else was said on the standard input; closed when the work shall stop.
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
        # A signal is handled between two steps of Python, which may be minutes apart; this pipe is written at once.
        self._wake, self._wake_end = os.pipe()

    def check(self) -> None:
        """Stop here if that was asked for.

        Raises:
            CancelledError: If it was.
        """
        if self._asked.is_set():
            raise CancelledError

    def request(self) -> None:
        """Ask the work to stop."""
        self._asked.set()

    def remove_if_left(self, folder: Path) -> None:
        """Name a folder of half-made files before it is made."""
        self._folders.append(folder)

    def disable(self) -> None:
        """Let nobody stop the work any more: what follows is done in an instant, and as a whole.

        Raises:
            CancelledError: If it was asked to stop before.
        """
        self._too_late = True
        self.check()

    def watch(self) -> None:
        """Start to listen, in a thread that never keeps the process alive. Only in the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.request())
        if sys.platform != "win32":
            os.set_blocking(self._wake_end, False)
            signal.set_wakeup_fd(self._wake_end, warn_on_full_buffer=False)
        threading.Thread(target=self._listen, name="cancellation", daemon=True).start()

    def end(self) -> None:
        """Stop listening: the work has ended, in whatever way."""
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
        """Wait for what the standard input says; b"" at its end. None when a signal came."""
        ready, _, _ = select.select([self._wake, self._stdin] if listening else [self._wake], [], [])
        if self._wake in ready:
            self.request()
            return None
        return os.read(self._stdin, 4096)

    def _next_bytes_on_windows(self, listening: bool) -> bytes | None:
        """Look whether the standard input says something; b"" at its end, None where it says nothing.

        A read that waits, in whatever thread, would block every library that looks at the standard input while it is
        loaded, as numpy's does (https://github.com/numpy/numpy/issues/24290).
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
        """Remove what is half made and end the process, whatever its other threads do."""
        _end_children()
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)
        # Nobody may read the last line, and then writing it never ends.
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
    """End the processes that this one has started, and theirs."""
    with contextlib.suppress(ImportError):
        import psutil  # noqa: PLC0415 - may be missing, and then nothing was started either

        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                child.kill()
