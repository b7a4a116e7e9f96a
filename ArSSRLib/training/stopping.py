"""SIGTERM and Ctrl-C during a run: the current step is finished and saved before the process exits."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def stop_requested() -> Iterator[list[int]]:
    """Collect the first SIGTERM or SIGINT, so that a step is finished and saved; a second one exits immediately."""
    received: list[int] = []
    previous: dict[int, Any] = {}

    def note(number: int, _: FrameType | None) -> None:
        """Record the signal, and restore the previous handler for the next one."""
        received.append(number)
        for other, handler in previous.items():
            signal.signal(other, handler)

    previous.update({number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)})
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
