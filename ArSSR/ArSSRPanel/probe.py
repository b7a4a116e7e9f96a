"""Tests of this computer, its devices and models by the worker, and observation of the load since then.

The load counts if other programs use much more, or much less, of the computer than when its speed was measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ArSSRLib.errors import ArSSRError
from ArSSRLib.timing import BUSY, processor_times, taken_by_others
from ArSSRPanel import exchange
from ArSSRPanel.process import Event, WorkerProcess
from ArSSRPanel.watching import singleShotTimer

# Time of an observation in ms, and between a measurement of the speed and the next observation in s.
OBSERVED, SPARED = 1000, 60.0


class Probe:
    """Lets a worker examine PyTorch and the devices, in the background.

    Args:
        models: Names of models, or paths of weights, whose cost is requested; each is run briefly for this.
        onDone: Called with the last message of the worker.
        onError: Called with the exception after a failure.
    """

    def __init__(
        self,
        models: Sequence[str],
        *,
        onDone: Callable[[Mapping[str, Any]], object],
        onError: Callable[[Exception], object],
    ) -> None:
        self._job = {"format": 1, "task": "probe", "models": list(models), "measure": True}
        self._onDone = onDone
        self._onError = onError
        self._worker: WorkerProcess | None = None

    def start(self) -> None:
        """Start the worker; returns immediately. Errors are passed to `onError`."""
        try:
            self._worker = WorkerProcess(exchange.makeFolder(), onEvent=lambda _event: None, onEnd=self._onEnd)
            self._worker.start(self._job)
        except ArSSRError as error:
            self.cancel()
            self._onError(error)

    def cancel(self) -> None:
        """Stop the probe; there are no further callbacks."""
        if self._worker is not None:
            self._worker.abandon()

    def _onEnd(self, end: Event | Exception) -> None:
        self.cancel()
        if isinstance(end, Exception):
            self._onError(end)
        elif end["event"] == "done":
            self._onDone(end)


class LoadWatch:
    """Observes the computer for a moment when asked, and calls a function if the load has changed.

    Args:
        onChanged: Called from the event loop.
    """

    def __init__(self, onChanged: Callable[[], object]) -> None:
        self._onChanged = onChanged
        self._busy = 0.0
        self._measured = float("-inf")
        self._before: tuple[float, float, float] = (0.0, 0.0, 0.0)
        self._timer = singleShotTimer(OBSERVED, self._compare)

    def measured(self, busy: float) -> None:
        """Remember the fraction of the processors that other programs used while the speed was measured."""
        self._busy, self._measured = busy, time.monotonic()

    def observe(self) -> None:
        """Begin an observation, unless one is under way or the speed was measured recently."""
        if self._timer.active or time.monotonic() < self._measured + SPARED:
            return
        try:
            self._before = processor_times()
        except ImportError:  # without psutil the speed is not measured either
            return
        self._timer.start()

    def stop(self) -> None:
        """Stop observing; there are no further calls."""
        self._timer.stop()

    def _compare(self) -> None:
        if abs(taken_by_others(self._before, processor_times()) - self._busy) > BUSY:
            self._onChanged()
