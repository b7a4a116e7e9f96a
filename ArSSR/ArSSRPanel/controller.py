"""The run in the panel: its estimate, its progress, and its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import slicer
import slicer.util
from slicer.i18n import tr as _

from ArSSRLib.errors import ArSSRError
from ArSSRPanel.attributes import disagreementOf
from ArSSRPanel.estimate import Estimate, describeTime, estimateRun, learnSpeed
from ArSSRPanel.notices import ERROR, WARNING, colorText

# Maximum of the progress bar, as in the .ui file.
BAR_STEPS = 1000


class RunController:
    """Starts and cancels runs, and displays them.

    Args:
        ui: The widgets of the panel.
        onResult: Called with the node of a result.
        log: Called with lines for the log.
    """

    def __init__(self, ui: Any, *, onResult: Callable[[Any], object], log: Callable[[str], object]) -> None:
        self._ui = ui
        self._onResult = onResult
        self._log = log
        self._run: Any = None
        self._estimate = Estimate("")
        self._expected = Estimate("")
        self._facts: Mapping[str, Any] | None = None
        self._stage = ""
        self._ready = False
        ui.cancelButton.clicked.connect(self.cancel)

    def showEstimate(self, parameters: Any, facts: Mapping[str, Any] | None, *, installed: bool) -> None:
        """Show the expected result of Apply; if it is impossible, the tool tip of the button states the reason."""
        estimate = self._estimate = _estimate(parameters, facts)
        ui, self._facts = self._ui, facts
        ui.resultLabel.text = estimate.text or _("Nothing yet.")
        notes = [note for note in (estimate.problem, estimate.warning) if note]
        ui.warningLabel.text = "\n".join(notes)
        colorText(ui.warningLabel, WARNING)
        ui.warningLabel.visible = bool(notes)
        reason = estimate.problem
        if not reason and not installed:
            reason = _("Install PyTorch first: see Model and device.")
        self._ready = not reason
        ui.applyButton.toolTip = reason or _("Create the upsampled volume. The input is not changed.")
        self._showButtons()

    def start(self, logic: Any, parameters: Any) -> None:
        """Start a run; problems are shown, never raised."""
        self._stage, self._expected = _("Starting"), self._estimate
        colorText(self._ui.statusLabel, None)
        self._show(0.0, None)
        try:
            self._run = logic.processAsync(
                parameters.request(),
                onProgress=self._show,
                onStage=self._onStage,
                onLog=lambda level, message: self._log(message) if level != "debug" else None,
                onFinished=self._onFinished,
                onError=self._onError,
                onCancelled=self._onCancelled,
            )
        except ArSSRError as error:
            self._onError(error)
            return
        self._log(_("Started: {name}").format(name=self._ui.resultLabel.text.replace("\n", ", ")))
        self._showButtons()

    def cancel(self, checked: bool = False) -> None:
        """Request the run to stop."""
        if self._run is not None:
            self._ui.statusLabel.text = _("Canceling...")
            self._run.cancel()

    def showFraction(self, fraction: float) -> None:
        """Show the progress of work in this process, and process events of the window."""
        self._ui.progressBar.visible = fraction < 1
        self._ui.progressBar.value = round(BAR_STEPS * fraction)
        slicer.app.processEvents()

    def _onStage(self, stage: str, volume: int, volumes: int) -> None:
        names = {
            "start": _("Starting"),
            "load": _("Loading the model"),
            "read": _("Reading the volume"),
            "upsample": _("Upsampling"),
            "write": _("Writing the result"),
            "show": _("Adding the result to the scene"),
        }
        self._stage = names.get(stage, stage)
        if volumes > 1:
            self._stage = _("{stage}, frame {volume} of {volumes}").format(
                stage=self._stage, volume=volume, volumes=volumes
            )
        self._ui.statusLabel.text = self._stage

    def _show(self, fraction: float, secondsLeft: float | None) -> None:
        ui = self._ui
        ui.progressBar.visible = True
        ui.progressBar.value = round(BAR_STEPS * fraction)
        ui.statusLabel.text = self._stage
        if secondsLeft is not None:
            ui.statusLabel.text = _("{stage}, {time} left").format(stage=self._stage, time=describeTime(secondsLeft))

    def _onFinished(self, node: Any) -> None:
        if self._facts is not None:
            learnSpeed(self._facts, self._run.result, self._expected)
        message, difference = _("Done: {name}").format(name=node.GetName()), disagreementOf(node)
        if difference is not None:
            agrees = _("Agrees with the scan to within {percent} % of its range")
            message += "\n" + agrees.format(percent=f"{difference:.2g}")
        self._end(message)
        self._onResult(node)

    def _onCancelled(self, reason: str) -> None:
        self._end(_("Canceled: {reason}").format(reason=reason) if reason else _("Canceled. Nothing was left behind."))

    def _onError(self, error: Exception) -> None:
        self._end(_("Failed: {reason}").format(reason=error))
        colorText(self._ui.statusLabel, ERROR)
        slicer.util.errorDisplay(str(error), windowTitle="ArSSR")

    def _end(self, message: str) -> None:
        self._run = None
        self._ui.progressBar.visible = False
        self._ui.statusLabel.text = message
        self._log(message)
        self._showButtons()

    def _showButtons(self) -> None:
        running = self._run is not None
        self._ui.applyButton.enabled = self._ui.previewButton.enabled = self._ready and not running
        self._ui.cancelButton.enabled = running


class LogSection:
    """Shows the log since the module was opened. It names volumes and files, but contains no other patient data.

    Args:
        ui: The widgets of the panel.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        ui.copyLogButton.clicked.connect(self._onCopy)
        ui.clearLogButton.clicked.connect(self._onClear)

    def add(self, message: str) -> None:
        """Add a line."""
        self._ui.logTextEdit.appendPlainText(f"{datetime.now():%H:%M:%S}  {message}")

    def _onCopy(self, checked: bool = False) -> None:
        slicer.app.clipboard().setText(self._ui.logTextEdit.plainText)

    def _onClear(self, checked: bool = False) -> None:
        self._ui.logTextEdit.clear()


def _estimate(parameters: Any, facts: Mapping[str, Any] | None) -> Estimate:
    """Return the estimate for the state of the panel; errors are returned as its problem."""
    if parameters.inputVolume is None:
        return Estimate("", problem=_("Select an input volume."))
    try:
        return estimateRun(parameters.request(), facts)
    except ArSSRError as error:
        return Estimate("", problem=str(error))
