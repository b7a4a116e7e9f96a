"""Requests from the caller during the work, one per line; only the newest counts."""

from __future__ import annotations

import threading

# Longer lines are not requests.
MAXIMUM_BYTES = 65_536


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
