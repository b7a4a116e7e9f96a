"""What whoever started the worker asks of it while it runs: one line each, and only the newest counts."""

from __future__ import annotations

import threading

# A longer line is no question.
MAXIMUM_BYTES = 65_536


class Inbox:
    """The newest line that nobody has taken yet; filled by one thread, emptied by another."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._unfinished = b""
        self._newest: bytes | None = None
        self._closed = False

    @property
    def waiting(self) -> bool:
        """Whether a line waits to be taken."""
        return self._newest is not None

    def add(self, arrived: bytes) -> list[bytes]:
        """Take bytes as they arrive; return the lines that they complete, and what has begun, for a look at them."""
        *lines, rest = (self._unfinished + arrived).split(b"\n")
        self._unfinished = rest[-MAXIMUM_BYTES:]
        with self._changed:
            for line in lines:
                if line.strip():
                    self._newest = line.strip()
            self._changed.notify_all()
        return [*lines, rest]

    def close(self) -> None:
        """Nothing follows."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def take(self) -> bytes | None:
        """Wait for a line and return the newest; None once nothing follows. Older ones are dropped."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._newest is not None)
            newest, self._newest = self._newest, None
            return None if self._closed else newest
