"""One upsampling from node to node, in the background or blocking.

The input is written to a private folder, the worker does the computation, and the complete result is added to the
scene. At the end of any run, the worker is stopped, the folder is deleted and all observers are removed before the end
is reported.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import slicer

from ArSSRLib.errors import InputError
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.io import write_volume
from ArSSRLib.volume import Volume
from ArSSRPanel import exchange, outputs, sequences
from ArSSRPanel.acquisition import profileOf
from ArSSRPanel.nodes import bentTransform, volumeFromNode
from ArSSRPanel.process import Event, WorkerProcess
from ArSSRPanel.request import Request

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}
_active: Run | None = None
# Used for missing callbacks.
_ignore: Callable[..., object] = lambda *_: None  # noqa: E731


class RunCancelled(Exception):  # noqa: N818 - it is no error
    """A blocking run was stopped; the message has the reason if it was not the user."""


class Run:
    """An upsampling that can be started once.

    Args:
        request: From `makeRequest`.
        onProgress: Called with the finished fraction, 0 to 1, and the remaining seconds, None while unknown.
        onStage: Called with "start", "load", "read", "upsample", "write" or "show", the number of the volume, from 1,
            and the number of volumes.
        onLog: Called with "info" or "warning" and a line.
        onFinished: Called with the output node.
        onError: Called with the exception.
        onCancelled: Called with the reason in one line; empty if requested by the user.

    Exactly one of the last three is called at the end; none if the run is ended by `cleanup`.
    """

    def __init__(
        self,
        request: Request,
        *,
        onProgress: Callable[[float, float | None], object] | None = None,
        onStage: Callable[[str, int, int], object] | None = None,
        onLog: Callable[[str, str], object] | None = None,
        onFinished: Callable[[slicer.vtkMRMLNode], object] | None = None,
        onError: Callable[[Exception], object] | None = None,
        onCancelled: Callable[[str], object] | None = None,
    ) -> None:
        self.request = request
        self.outputNode: slicer.vtkMRMLNode | None = None
        self.result: Event = {}
        self._onProgress = onProgress or _ignore
        self._onStage = onStage or _ignore
        self._onLog = onLog or _ignore
        self._onFinished = onFinished or _ignore
        self._onError = onError or _ignore
        self._onCancelled = onCancelled or _ignore
        self._scene: Any = None  # a vtkMRMLScene once it is started
        self._observers: list[int] = []
        self._worker: WorkerProcess | None = None
        self._files: list[tuple[Path, Path]] = []
        self._uncertainty: Path | None = None
        self._grids: list[VolumeGeometry] = []
        self._failure: BaseException | None = None
        self._waiting = False
        self.running = False

    def start(self) -> None:
        """Start the worker; from then on, Qt's event loop, or `wait`, drives the run.

        Raises:
            InputError: If another run is active, or a node was changed or removed since the request was made.
            OutputError: If there is not enough disk space for the files.
            DependencyError: If there is no Python interpreter for the worker.
        """
        global _active
        if _active is not None:
            msg = (
                f'"{_active.request.inputVolume.GetName()}" is still being upsampled; wait until it is finished, or '
                "cancel it."
            )
            raise InputError(msg)
        self._scene = self.request.inputVolume.GetScene()
        for gone in self._gone():
            msg = f'"{gone.GetName()}" is no longer in the scene; choose another volume.'
            raise InputError(msg)
        self.running, _active = True, self
        try:
            self._onStage("start", 1, 1)
            if message := bentTransform(self.request.inputVolume):
                self._tell({"event": "log", "level": "warning", "message": message})
            self._worker = WorkerProcess(exchange.makeFolder(), onEvent=self._tell, onEnd=self._onEnd)
            self._writeInputs(self._worker.folder)
            closed, removed = slicer.vtkMRMLScene.StartCloseEvent, slicer.vtkMRMLScene.NodeRemovedEvent
            self._observers = [
                self._scene.AddObserver(closed, lambda *_: self._stop("The scene was closed.")),
                self._scene.AddObserver(removed, lambda *_: self._onNodeRemoved()),
            ]
            self._worker.start(self._job())
        except BaseException:
            self.abandon()
            raise

    def wait(self) -> slicer.vtkMRMLNode:
        """Wait for the end and return the output node; needs no event loop.

        Raises:
            ArSSRError: As reported by the worker.
            RunCancelled: If the run was stopped.
            BaseException: The exception of a callback, or Ctrl+C; the worker is stopped.
        """
        self._waiting = True
        try:
            if self._worker is not None:
                self._worker.wait()
        except BaseException:
            self.abandon()
            raise
        if self._failure is not None:
            raise self._failure
        return self.outputNode

    def cancel(self) -> None:
        """Request the run to stop; returns immediately, and `onCancelled` follows within 2 s."""
        if self.running and self._worker is not None:
            self._worker.cancel()

    def abandon(self) -> None:
        """End the run immediately, without callbacks: remove all observers, processes and files."""
        global _active  # noqa: PLW0603
        self.running = False
        if _active is self:
            _active = None
        self._unobserve()
        if self._worker is not None:
            self._worker.abandon()

    def _gone(self) -> list[slicer.vtkMRMLNode]:
        """Return the nodes that the run needs, but that are no longer in the scene."""
        request, scene = self.request, self._scene
        sequence = sequences.sequenceOf(request.inputVolume) if request.allFrames else None
        needed = [node for node in (request.inputVolume, request.outputVolume, sequence) if node is not None]
        return [node for node in needed if scene is None or not scene.IsNodePresent(node)]

    def _writeInputs(self, folder: Path) -> None:
        """Write all inputs to a folder, and determine the paths and the grids of the results."""
        volumes = [volumeFromNode(frame) for frame in self.request.frames]
        if volumes[0].geometry != self.request.inputGeometry:
            msg = f'"{self.request.inputVolume.GetName()}" has changed since it was selected; start again.'
            raise InputError(msg)
        self._grids = [self.request.outputGeometryOf(volume.geometry) for volume in volumes]
        pairs = zip(volumes, self._grids, strict=True)
        needed = sum(volume.array.nbytes + math.prod(grid.size) * volume.array.itemsize for volume, grid in pairs)
        exchange.requireSpace(folder, needed)
        for number, volume in enumerate(volumes, start=1):
            self._files.append((folder / f"{number}.nrrd", folder / f"{number}-{exchange.RESULT_NAME}"))
            write_volume(volume, self._files[-1][0], compress=False)
        self._uncertainty = folder / "uncertainty.nrrd" if self.request.options.uncertainty else None

    def _job(self) -> dict[str, Any]:
        request = self.request
        profile = profileOf(request.inputVolume).as_table()
        more = {"uncertainty": self._uncertainty and str(self._uncertainty), "profile": profile}
        return {
            "format": 1,
            "task": "upsample",
            "model": request.model,
            **request.options.as_table(),
            "scale": list(request.scale),
            "region": None if request.region is None else [list(pair) for pair in request.region],
            "volumes": [{"input": str(source), "output": str(target), **more} for source, target in self._files],
        }

    def _onNodeRemoved(self) -> None:
        for gone in self._gone()[:1]:
            self._stop(f'"{gone.GetName()}" was removed from the scene; nothing was added.')

    def _stop(self, reason: str) -> None:
        """End the run immediately, for a reason other than the user."""
        if self.running:
            self.abandon()
            self._failure = RunCancelled(f"The run was stopped. {reason}")
            self._report(self._onCancelled, reason)

    def _tell(self, event: Mapping[str, Any]) -> None:
        if event["event"] == "progress":
            self._onProgress(float(event["fraction"]), event.get("seconds_left"))
        elif event["event"] == "stage":
            self._onStage(event["stage"], event["volume"], event["volumes"])
        elif event["event"] == "log":
            logging.log(_LEVELS.get(event["level"], logging.INFO), "ArSSR: %s", event["message"])
            if event["level"] != "debug":
                self._onLog(event["level"], event["message"])

    def _onEnd(self, end: Event | Exception) -> None:
        """Show the result, or report why there is none, after the worker has ended."""
        if isinstance(end, dict) and end["event"] == "done":
            try:
                self._onStage("show", len(self._files), len(self._files))
                self._show(end)
            except Exception as error:
                logging.exception("The result of ArSSR could not be shown.")
                end = error
        self.abandon()
        if isinstance(end, Exception):
            self._failure = end
            self._report(self._onError, end)
        elif end["event"] == "cancelled":
            self._failure = RunCancelled("The run was canceled.")
            self._report(self._onCancelled, "")
        else:
            self._report(self._onFinished, self.outputNode)

    def _show(self, done: Event) -> None:
        self._unobserve()  # changes of the scene from now on do not end the run
        self._scene.SaveStateForUndo()
        if self.request.allFrames:
            self.outputNode = outputs.showSequence(self.request, self._results(), done)
        else:
            self.outputNode = outputs.showVolume(self.request, next(self._results()), done)
            if self._uncertainty is not None:
                outputs.showUncertainty(self.outputNode, exchange.readOutput(self._uncertainty, self._grids[0]))
        self.result = done

    def _results(self) -> Iterator[Volume]:
        """Yield the results one at a time, each on the grid that was computed here."""
        for (_source, target), grid in zip(self._files, self._grids, strict=True):
            yield exchange.readOutput(target, grid)

    def _unobserve(self) -> None:
        for tag in self._observers:
            self._scene.RemoveObserver(tag)
        self._observers = []

    def _report(self, callback: Callable[..., object], argument: object) -> None:
        """Call the last callback; in a slot, its exceptions would only be printed."""
        try:
            callback(argument)
        except Exception:
            if self._waiting:
                raise
            logging.exception("What was to follow a run of ArSSR failed.")


def activeRun() -> Run | None:
    """Return the active run, if there is one."""
    return _active


def cleanup() -> None:
    """End the active run, if there is one, without a report, when the module is unloaded or reloaded."""
    if _active is not None:
        _active.abandon()
