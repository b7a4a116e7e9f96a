"""The worker of the live preview: it computes planes of the result of one volume until it is stopped."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from ArSSRLib.io import write_volume
from ArSSRPanel import exchange
from ArSSRPanel.acquisition import estimatedFrom, profileOf
from ArSSRPanel.nodes import volumeFromNode
from ArSSRPanel.preview_state import Question
from ArSSRPanel.process import Event, WorkerProcess
from ArSSRPanel.request import Request
from ArSSRPanel.sequences import shownFrameOf


class PreviewWorker:
    """A worker for planes of the result of a request.

    Args:
        request: The request that Apply would run; the volume is read once.
        onReady: Called when the worker is ready for requests.
        onPlane: Called with an answer and its plane, float32, shape (rows, columns).
        onRefused: Called with the number of a request and the reason in one line.
        onFailed: Called with the exception if the worker ends unexpectedly.
    """

    def __init__(
        self,
        request: Request,
        *,
        onReady: Callable[[], object],
        onPlane: Callable[[Event, np.ndarray], object],
        onRefused: Callable[[int, str], object],
        onFailed: Callable[[Exception], object],
    ) -> None:
        self._request = request
        self._onReady = onReady
        self._onPlane = onPlane
        self._onRefused = onRefused
        self._onFailed = onFailed
        self._sources: list[Path] = []  # the volume, and the frame from which its profile is estimated
        self._process: WorkerProcess | None = None

    def start(self) -> None:
        """Start the worker; returns immediately.

        Raises:
            ArSSRError: If it cannot be started.
        """
        folder = exchange.makeFolder()
        self._process = WorkerProcess(folder, onEvent=self._onEvent, onEnd=self._onEnd)
        try:
            volumes = [volumeFromNode(node) for node in self._nodes()]
            exchange.requireSpace(folder, sum(volume.array.nbytes for volume in volumes))
            for number, volume in enumerate(volumes, start=1):
                self._sources.append(write_volume(volume, folder / f"{number}.nrrd", compress=False))
            self._process.start(self._job(folder))
        except BaseException:
            self.stop()
            raise

    def _nodes(self) -> list[slicer.vtkMRMLScalarVolumeNode]:
        """Return the volume on display, and the frame from which its slice profile is estimated if that is another."""
        shown, examined = self._request.inputVolume, estimatedFrom(self._request)
        return [shown] if examined in (shown, shownFrameOf(shown)) else [shown, examined]

    def _job(self, folder: Path) -> dict[str, Any]:
        return {
            "format": 1,
            "task": "lens",
            "model": self._request.model,
            **self._request.options.as_table(),
            "input": str(self._sources[0]),
            "estimated_from": str(self._sources[1]) if len(self._sources) > 1 else None,
            "folder": str(folder),
            "profile": profileOf(self._request.inputVolume).as_table(),
        }

    def ask(self, question: Question) -> None:
        """Send a request; its answer follows, unless a newer request replaces it."""
        target = question.target
        if self._process is not None:
            self._process.send(
                {
                    "number": question.number,
                    "scale": target.scale,
                    "exact": question.exact,
                    "origin": target.origin,
                    "column_step": target.columnStep,
                    "row_step": target.rowStep,
                    "size": target.size,
                }
            )

    def stop(self) -> None:
        """End the worker immediately; there are no further callbacks, and no file is left."""
        process, self._process = self._process, None
        if process is not None:
            process.abandon()

    def _onEvent(self, event: Event) -> None:
        if event["event"] == "ready":
            for source in self._sources:
                with contextlib.suppress(OSError):  # raised by Windows while another program has it open
                    source.unlink()
            self._onReady()
        elif event["event"] == "plane":
            path = Path(event["file"])
            columns, rows = event["size"]
            plane = np.fromfile(path, np.float32).reshape(rows, columns)
            path.unlink()
            self._onPlane(event, plane)
        elif event["event"] == "refused":
            self._onRefused(event["number"], event["message"])

    def _onEnd(self, end: Event | Exception) -> None:
        self.stop()
        if isinstance(end, Exception):
            self._onFailed(end)
