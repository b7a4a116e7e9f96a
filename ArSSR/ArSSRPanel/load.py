"""Whether other programs use much more, or much less, of this computer than when its speed was measured."""

from __future__ import annotations

import time
from collections.abc import Callable

from ArSSRLib.timing import BUSY, processor_times, taken_by_others
from ArSSRPanel.watching import singleShotTimer

# Time of an observation in ms, and between a measurement of the speed and the next observation in s.
OBSERVED, SPARED = 1000, 60.0


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
        """Stop observing; there is no call."""
        self._timer.stop()

    def _compare(self) -> None:
        if abs(taken_by_others(self._before, processor_times()) - self._busy) > BUSY:
            self._onChanged()
