"""The events of the worker: one JSON object per line on the standard output, and nothing else there."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from ArSSRLib.errors import one_line
from ArSSRLib.process import LogReceiver, engine_log_to
from ArSSRLib.worker.cancellation import CancelledError

_STDOUT, _STDERR = 1, 2
# At most about ten events per second, because users cannot follow more.
SECONDS_BETWEEN = 0.1
# The speed is known after this time and this fraction of a volume, because the first steps are not representative.
SECONDS_TO_KNOW, PART_TO_KNOW = 0.5, 0.05
# Fraction of the work on a volume for writing it.
WRITING_SHARE = 0.02


def take_standard_output() -> int:
    """Return a private descriptor of the standard output; the output of other code is redirected to stderr."""
    descriptor = os.dup(_STDOUT)
    os.dup2(_STDERR, _STDOUT)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a worker that must end at once does not write its buffers
        sys.stdout.reconfigure(line_buffering=True)
    return descriptor


class Events:
    """Sends events, also from several threads, until the last one.

    Args:
        descriptor: Descriptor for the lines; every line is written as a whole.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._ended = False

    def send(self, event: str, **fields: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
        """Send one event; none may follow the last.

        Raises:
            CancelledError: If the output has no reader, because the caller has ended.
        """
        with self._lock:
            self._write(event, fields)

    def end(self, event: str, **fields: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
        """Send the last event, unless it was already sent; a missing reader is ignored."""
        with self._lock, contextlib.suppress(CancelledError):
            self._write(event, fields)
            self._ended = True

    def _write(self, event: str, fields: dict[str, Any]) -> None:
        if self._ended:
            return
        # In ASCII, which is also UTF-8, a line cannot be cut inside a character.
        line = memoryview(json.dumps({"event": event, **fields}, allow_nan=False).encode("ascii") + b"\n")
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
        except OSError as error:
            self._ended = True
            raise CancelledError from error


class Progress:
    """Reports the progress on several volumes, and the remaining time.

    Args:
        events: Output for the events.
        check: Called first; raises an exception if the work is to stop.
        volumes: Number of volumes.
        clock: Returns the time in seconds.
    """

    def __init__(
        self, events: Events, check: Callable[[], None], volumes: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._events = events
        self._check = check
        self._volumes = volumes
        self._clock = clock
        self._volume = 1
        self._started: float | None = None
        self._told = -1.0
        self._told_at = float("-inf")

    def stage(self, name: str, volume: int) -> None:
        """Start a stage of the work on a volume, numbered from 1."""
        self._check()
        self._volume = volume
        self._events.send("stage", stage=name, volume=volume, volumes=self._volumes)

    def upsampled(self, part: float) -> None:
        """Update the finished fraction of the upsampling of this volume, in [0, 1]."""
        self._tell((self._volume - 1 + part * (1 - WRITING_SHARE)) / self._volumes)

    def written(self) -> None:
        """Mark a volume as finished."""
        self._tell(self._volume / self._volumes)

    def _tell(self, fraction: float) -> None:
        self._check()
        now = self._clock()
        if self._started is None:
            self._started = now
        due = now - self._told_at >= SECONDS_BETWEEN or fraction == 1
        if fraction <= self._told or not due:
            return
        self._told, self._told_at = fraction, now
        elapsed = now - self._started
        known = elapsed >= SECONDS_TO_KNOW and fraction * self._volumes >= PART_TO_KNOW
        left = round(elapsed * (1 - fraction) / fraction, 1) if known else None
        self._events.send(
            "progress", fraction=round(fraction, 4), volume=self._volume, volumes=self._volumes, seconds_left=left
        )


@contextlib.contextmanager
def logging_as_events(events: Events) -> Iterator[None]:
    """Send the log of the engine as events."""

    def send(record: logging.LogRecord) -> None:
        """Send one record as one line."""
        level = "warning" if record.levelno >= logging.WARNING else "info"
        events.send("log", level=level, message=one_line(record.getMessage()))

    with engine_log_to(LogReceiver(send), logging.INFO):
        yield
