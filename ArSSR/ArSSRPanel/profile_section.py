"""The slice profile in the panel: what a run will use, why, and whether its result will agree with the scan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import numpy as np
import qt
from slicer.i18n import tr as _

from ArSSRLib.acquisition.decision import Decision, Predictions
from ArSSRLib.acquisition.estimate import Prediction
from ArSSRLib.acquisition.profile import AxisProfile
from ArSSRLib.errors import ArSSRError
from ArSSRLib.planning import must_agree
from ArSSRLib.volume import Volume
from ArSSRPanel import exchange
from ArSSRPanel.acquisition import estimatedFrom, keyOf, plannedDecision, remember
from ArSSRPanel.choosers import ThicknessSource
from ArSSRPanel.nodes import geometryOf, volumeFromNode
from ArSSRPanel.process import Event, WorkerProcess
from ArSSRPanel.request import Request
from ArSSRPanel.run import activeRun
from ArSSRPanel.watching import singleShotTimer

# Delay before an estimate, in ms; a sequence that is played shows each frame only briefly.
DELAY = 300
# Bytes that are written to a file at once, between events of the window.
CHUNK = 4_000_000
NOTHING: Predictions = (None, None, None)


class ProfileSection:
    """Shows the slice profile, and lets a worker estimate it from the voxels, once per volume.

    Args:
        ui: The widgets of the panel.
        onChanged: Called when an estimate is known.
        log: Called with lines for the log.
    """

    def __init__(self, ui: Any, *, onChanged: Callable[[], object], log: Callable[[str], object]) -> None:
        self._ui = ui
        self._onChanged = onChanged
        self._log = log
        self._key: tuple[object, ...] | None = None
        self._estimate: VoxelEstimate | None = None
        self._rested = singleShotTimer(DELAY, self._start)

    @property
    def running(self) -> bool:
        """Whether a worker estimates a profile."""
        return self._estimate is not None

    def show(self, parameters: Any, facts: Mapping[str, Any] | None) -> None:
        """Show the profile for the state of the panel; an estimate begins once the devices are tested."""
        self._ui.profileLabel.text = ""
        stated = parameters.thicknessSource == ThicknessSource.STATED
        self._ui.sliceThicknessSpinBox.visible = stated
        if parameters.inputVolume is None:
            return
        if stated and not parameters.sliceThickness:
            # Most protocols leave no gap between slices.
            parameters.sliceThickness = max(parameters.inputVolume.GetSpacing())
        try:
            request = parameters.request()
            decision, missing = plannedDecision(request)
        except ArSSRError:  # shown beside the expected result
            return
        self._ui.profileLabel.text = describeDecision(decision, request, missing=missing)
        if missing and facts is not None and activeRun() is None:
            self._begin(request)

    def stop(self) -> None:
        """Stop estimating; there are no further calls."""
        self._rested.stop()
        if self._estimate is not None:
            self._estimate.cancel()
        self._estimate = self._key = None

    def _begin(self, request: Request) -> None:
        node = estimatedFrom(request)
        key = keyOf(node, request.model)
        if key == self._key:
            return
        self.stop()
        self._key = key
        self._estimate = VoxelEstimate(volumeFromNode(node), request.model, onEnd=self._onEnd)
        self._rested.start()

    def _start(self) -> None:
        if self._estimate is not None:
            self._estimate.start()

    def _onEnd(self, found: Predictions | Exception) -> None:
        key, self._key, self._estimate = self._key, None, None
        if isinstance(found, Exception):
            self._log(_("The slice profile could not be estimated: {reason}").format(reason=found))
            found = NOTHING
        if key is not None:
            remember(key, found)
            self._onChanged()


class VoxelEstimate:
    """Lets a worker predict the contrast along i, j, k of a volume, without blocking the window.

    Args:
        volume: The volume, whose voxels must not change meanwhile.
        model: Name or file of the weights that are tried for the profile.
        onEnd: Called once with the predictions, or with the exception after a failure; not after a cancellation.
    """

    def __init__(self, volume: Volume, model: str, *, onEnd: Callable[[Predictions | Exception], object]) -> None:
        self._volume, self._model = volume, model
        self._onEnd = onEnd
        self._file: BinaryIO | None = None
        self._worker: Any = None  # a WorkerProcess once it is started
        self._timer = qt.QTimer()
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._write)

    def start(self) -> None:
        """Begin to write the voxels for the worker; returns immediately."""
        try:
            folder = exchange.makeFolder()
            self._worker = WorkerProcess(folder, onEvent=lambda _event: None, onEnd=self._onWorkerEnd)
            exchange.requireSpace(folder, self._volume.array.nbytes)
            self._file = (folder / "1.raw").open("wb")
        except (ArSSRError, OSError) as error:
            self._end(error)
            return
        self._timer.start()

    def cancel(self) -> None:
        """Stop, without calling `onEnd`."""
        self._timer.stop()
        if self._file is not None:
            self._file.close()
        if self._worker is not None:
            self._worker.abandon()

    def _write(self) -> None:
        """Write some voxels, and start the worker after the last."""
        voxels, file = self._volume.array.reshape(-1).view(np.uint8).data, self._file
        if file is None:
            return
        try:
            file.write(voxels[file.tell() :][:CHUNK])
            if file.tell() < voxels.nbytes:
                return
            self._timer.stop()
            file.close()
            array, geometry = self._volume.array, self._volume.geometry
            grid = {"size": geometry.size, "spacing": geometry.spacing, "dtype": array.dtype.name}
            job = {"format": 1, "task": "profile", "input": file.name, "model": self._model, **grid}
            self._worker.start(job)
        except (ArSSRError, OSError) as error:
            self._end(error)

    def _onWorkerEnd(self, end: Event | Exception) -> None:
        if isinstance(end, Exception):
            self._end(end)
        elif end["event"] == "done":
            i, j, k = (None if pair is None else Prediction(*pair) for pair in end["predictions"])
            self._end((i, j, k))

    def _end(self, found: Predictions | Exception) -> None:
        self.cancel()
        self._onEnd(found)


def describeDecision(decision: Decision, request: Request, *, missing: bool = False) -> str:
    """Return the slice profile that a run will use as text: each axis and its source, and what it is used for."""
    spacing, names = geometryOf(estimatedFrom(request)).spacing, "IJK"
    lines = [
        f"{name}: {_describeAxis(axis, distance)}"
        for name, axis, distance in zip(names, decision.profile.axes, spacing, strict=True)
        if axis is not None
    ]
    for name, axis, distance in zip(names, decision.refuted.axes, spacing, strict=True):
        if axis is not None:
            ignored = _("{name}: {profile} are ignored, because they do not match the detail in the volume")
            lines.append(ignored.format(name=name, profile=_describeAxis(axis, distance)))
    axes = zip(names, decision.profile.axes, request.scale, strict=True)
    unknown = ", ".join(name for name, axis, factor in axes if axis is None and factor > 1)
    if missing:
        lines.append(_("The volume has not been examined yet."))
    elif unknown:
        lines.append(_("{names}: unknown").format(names=unknown))
    if not missing and request.options.consistency == "auto":
        if must_agree(request.options, decision.profile, request.scale):
            lines.append(_("The result is made to agree with the scan."))
        elif unknown:
            lines.append(_("The result is not made to agree with the scan, because the slice profile is unknown."))
    return "\n".join(lines)


def _describeAxis(axis: AxisProfile, spacing: float) -> str:
    slices = _("slices of {width} mm, {spacing} mm apart ({source})")
    words = {
        "gaussian": slices,
        "box": slices,
        "kspace": _("acquired voxels of {width} mm, stored every {spacing} mm ({source})"),
        "point": _("point samples every {spacing} mm ({source})"),
    }
    return words[axis.kind].format(
        width=f"{axis.width * spacing:.3g}",
        spacing=f"{spacing:.3g}",
        source=axis.source,
    )
