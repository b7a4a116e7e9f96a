"""SIGTERM and Ctrl-C during a run: the step is finished and saved before leaving."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def stop_requested() -> Iterator[list[int]]:
    """Collect the first SIGTERM or SIGINT, so that a step is finished and saved; a second one ends at once."""
    received: list[int] = []
    previous: dict[int, Any] = {}

    def note(number: int, _: FrameType | None) -> None:
        """Remember the signal, and let the next one do what it would have done."""
        received.append(number)
        for other, handler in previous.items():
            signal.signal(other, handler)

    previous.update({number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)})
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
