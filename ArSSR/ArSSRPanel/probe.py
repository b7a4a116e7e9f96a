"""Information from the worker about this computer: PyTorch, its devices, and the cost of the models on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ArSSRLib.errors import ArSSRError
from ArSSRPanel import exchange
from ArSSRPanel.process import Event, WorkerProcess


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
