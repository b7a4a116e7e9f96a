"""The live preview: a lens in a slice view that shows the result before Apply, and follows all changes.

It is not saved and leaves nothing in the scene. It ends with Apply, a comparison, an input that cannot be previewed, or
the end of the scene, the module or the worker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import slicer
import slicer.util
import vtk
from slicer.i18n import tr as _

from ArSSRLib.errors import ArSSRError, InputError
from ArSSRLib.geometry import times_label
from ArSSRLib.options import UpsamplingOptions
from ArSSRPanel.acquisition import estimatedFrom, keyOf
from ArSSRPanel.lens import Lens
from ArSSRPanel.lens_plane import targetOf
from ArSSRPanel.nodes import bentTransform, geometryOf
from ArSSRPanel.preview_state import PreviewState, Question
from ArSSRPanel.preview_worker import PreviewWorker
from ArSSRPanel.request import Request
from ArSSRPanel.sharpened import sharpenedAxis
from ArSSRPanel.watching import singleShotTimer

# Delay between a movement and its request, until a view counts as at rest, and from a change that needs another worker
# to its start, in ms; a sequence that is played, or a number that is typed, changes several times.
DELAY, REST, SETTLE = 30, 300, 400


class LivePreview:
    """Switches the preview on and off, and exchanges requests and answers.

    Args:
        ui: The widgets of the panel.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._parameters: Any = None
        self._request: Request | None = None
        self._started: tuple[object, ...] = ()
        self._lens: Lens | None = None
        self._worker: PreviewWorker | None = None
        self.state = PreviewState()
        self._moved = singleShotTimer(DELAY, self._look)
        self._rested = singleShotTimer(REST, self._rest)
        self._settled = singleShotTimer(SETTLE, self._startWorker)
        ui.previewButton.toggled.connect(self._onToggled)
        ui.applyButton.clicked.connect(self._onOther)
        ui.compareButton.toggled.connect(self._onOther)

    def update(self, parameters: Any) -> None:
        """Update after a change of the parameters of the panel; None if there are none."""
        self._parameters = parameters
        if parameters is None:
            self.stop()
        elif self._lens is not None:
            self._follow()

    def stop(self, message: str = "") -> None:
        """Stop the preview; if there is a reason, it remains displayed."""
        for timer in (self._moved, self._rested, self._settled):
            timer.stop()
        self.state.stop()
        self._endWorker()
        if self._lens is not None:
            self._lens.remove()
        self._lens = self._request = None
        self._say(message)
        blocked = self._ui.previewButton.blockSignals(True)
        self._ui.previewButton.checked = False
        self._ui.previewButton.blockSignals(blocked)

    def _onToggled(self, checked: bool) -> None:
        if not checked or self._parameters is None:
            self.stop()
            return
        try:
            self._begin(_requestOf(self._parameters))
        except ArSSRError as error:
            self.stop(str(error))
            return
        self._startWorker()

    def _onOther(self, checked: bool = False) -> None:
        """Stop for a run or a comparison."""
        if self._lens is not None:
            self.stop()

    def _follow(self) -> None:
        """Send a new request if only the scale has changed; otherwise, restart once the changes have ended."""
        try:
            request = _requestOf(self._parameters)
        except ArSSRError as error:
            self.stop(str(error))
            return
        if _identity(request) != self._started:
            self._begin(request)
            self._settled.start()
            return
        self._request = request
        self._onMoved()

    def _begin(self, request: Request) -> None:
        """End the preview of another request; the lens keeps its position."""
        self._endWorker()
        if self._lens is None or self._request is None or self._request.inputVolume is not request.inputVolume:
            if self._lens is not None:
                self._lens.remove()
            self._lens = Lens(request.inputVolume, self._onMoved, along=_sharpened(request))
        self._lens.clear()
        self._request, self._started = request, _identity(request)
        self.state.start()
        self._say(_("Loading the preview..."))

    def _startWorker(self) -> None:
        if self._request is None:
            return
        self._worker = PreviewWorker(
            self._request,
            onReady=self._onReady,
            onPlane=self._onPlane,
            onRefused=self._onRefused,
            onFailed=self._onFailed,
        )
        try:
            self._worker.start()
        except ArSSRError as error:
            self.stop(str(error))

    def _endWorker(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop()

    def _onReady(self) -> None:
        self.state.ready()
        self._say("")
        self._look()

    def _onMoved(self) -> None:
        """Schedule one request for several movements."""
        self._rested.stop()
        if not self._moved.active:
            self._moved.start()

    def _look(self) -> None:
        """Request the plane under the lens."""
        if self._lens is None or self._request is None:
            return
        self._lens.refresh()
        if not self._lens.view:
            return
        toWorld = _toWorld(self._request.inputVolume)
        xyToRAS = slicer.util.arrayFromVTKMatrix(self._lens.sliceNode.GetXYToRAS())
        target = targetOf(
            self._lens.view,
            np.linalg.inv(toWorld) @ xyToRAS,
            self._lens.square,
            fine=geometryOf(self._request.inputVolume).upsampled(self._request.scale),
            scale=self._request.scale,
            localToWorld=toWorld,
        )
        self.state.want(target)
        if target is None:
            self._lens.clear()
        self._ask(self.state.next())
        self._rested.start()

    def _rest(self) -> None:
        self._ask(self.state.rest())

    def _ask(self, question: Question | None) -> None:
        if question is not None and self._worker is not None:
            self._worker.ask(question)

    def _onPlane(self, answer: Mapping[str, Any], plane: np.ndarray) -> None:
        shown = self.state.answered(answer["number"], exact=answer["exact"])
        if shown is None or self._lens is None or self._request is None:
            return
        matrix = np.reshape(shown.target.ijkToRAS, (4, 4))
        options = self._request.options
        label = labelOf(shown.target.scale, exact=shown.exact, uncorrected=answer["uncorrected"], options=options)
        self._lens.show(plane, matrix, label)
        self._say("")
        if not shown.exact and not self._moved.active:
            self._rested.start()

    def _onRefused(self, number: int, message: str) -> None:
        if self.state.refused(number):
            self._say(message)

    def _onFailed(self, error: Exception) -> None:
        self.stop(_("The preview has ended: {reason}").format(reason=error))

    def _say(self, message: str) -> None:
        self._ui.previewLabel.text = message
        self._ui.previewLabel.visible = bool(message)


def labelOf(scale: Sequence[float], *, exact: bool, uncorrected: bool, options: UpsamplingOptions) -> str:
    """Return the label of the lens: the scale and the accuracy, and in a second line the further steps of Apply."""
    state = _("exact") if exact else _("quick")
    lines = [_("ArSSR {scale}, {state}").format(scale=times_label(scale), state=state)]
    steps = [_("agreement with the scan")] * uncorrected + [_("averaging")] * options.mirrored
    if steps:
        lines.append(_("before {steps}").format(steps=", ".join(steps)))
    return "\n".join(lines)


def _requestOf(parameters: Any) -> Request:
    """Return the request of the panel; a volume that cannot be previewed is refused."""
    request: Request = parameters.request()
    if bentTransform(request.inputVolume):
        msg = f'"{request.inputVolume.GetName()}" is under a non-linear transform; harden it to see a preview.'
        raise InputError(msg)
    return request


def _identity(request: Request) -> tuple[object, ...]:
    """Return the properties that determine a worker: if they change, another one is needed."""
    volume = request.inputVolume
    examined = keyOf(estimatedFrom(request), request.model)
    shown = (volume.GetID(), geometryOf(volume), volume.GetImageData().GetMTime())
    return (*shown, examined, request.model, request.options)


def _sharpened(request: Request) -> np.ndarray | None:
    """Return the direction in RAS along which the result differs most, shape (3,), or None."""
    geometry = geometryOf(request.inputVolume)
    axis = sharpenedAxis(geometry.spacing, request.scale)
    return None if axis is None else _toWorld(request.inputVolume)[:3, :3] @ geometry.ras_affine[:3, axis]


def _toWorld(volume: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray:
    matrix = vtk.vtkMatrix4x4()
    slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(volume.GetParentTransformNode(), None, matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)
