"""What the worker can tell about this computer: PyTorch, its devices, and what the models cost on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ArSSRLib.errors import ArSSRError
from ArSSRPanel import exchange
from ArSSRPanel.process import Event, WorkerProcess


class Probe:
    """Lets a worker look at PyTorch and the devices, in the background.

    Args:
        models: Names of models, or paths of weights, whose cost is asked for.
        measure: Whether to run each model for a moment, so that a run's time can be told in advance.
        onDone: Called with what was found, as the worker's last message says it.
        onError: Called with the exception when nothing could be found out.
    """

    def __init__(
        self,
        models: Sequence[str],
        *,
        measure: bool,
        onDone: Callable[[Mapping[str, Any]], object],
        onError: Callable[[Exception], object],
    ) -> None:
        """Prepare the question; nothing is started."""
        self._job = {"format": 1, "task": "probe", "models": list(models), "measure": measure}
        self._onDone = onDone
        self._onError = onError
        self._folder: Path | None = None
        self._worker: WorkerProcess | None = None

    def start(self) -> None:
        """Start the worker; returns at once. What prevents it goes to `onError`."""
        try:
            self._folder = exchange.makeFolder()
            self._worker = WorkerProcess(self._job, self._folder, onEvent=lambda _event: None, onEnd=self._onEnd)
            self._worker.start()
        except ArSSRError as error:
            self._leave()
            self._onError(error)

    def cancel(self) -> None:
        """Stop asking; nothing is called any more."""
        self._leave()

    def _onEnd(self, end: Event | Exception) -> None:
        self._leave()
        if isinstance(end, Exception):
            self._onError(end)
        elif end["event"] == "done":
            self._onDone(end)

    def _leave(self) -> None:
        if self._worker is not None:
            self._worker.abandon()
        if self._folder is not None:
            exchange.removeFolder(self._folder)
