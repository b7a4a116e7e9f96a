"""The section of the panel for the model and the device: choices, descriptions, and missing dependencies.

It is folded until something is missing or has failed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import qt
import slicer.util
from slicer.i18n import tr as _

from ArSSRLib.checkpoint import DEFAULT_MODELS
from ArSSRLib.errors import DependencyError
from ArSSRPanel import dependencies
from ArSSRPanel.choosers import describeDevices, fillDevices, fillModels, modelCard
from ArSSRPanel.probe import LoadWatch, Probe
from ArSSRPanel.profile_section import ProfileSection
from ArSSRPanel.run import activeRun


class EngineSection:
    """Shows models and devices, and keeps the findings of the probe.

    Args:
        ui: The widgets of the panel.
        profile: The section whose worker must not count as the load of other programs.
        onChanged: Called when the facts about models and devices have changed.
        log: Called with lines for the log.

    Attributes:
        facts: Report of the probe, None while unknown.
        installed: Whether all dependencies of a run are installed.
    """

    def __init__(
        self, ui: Any, profile: ProfileSection, *, onChanged: Callable[[], object], log: Callable[[str], object]
    ) -> None:
        self._ui = ui
        self._profile = profile
        self._onChanged = onChanged
        self._log = log
        self._parameters: Any = None
        self._probe: Probe | None = None
        self._load = LoadWatch(self._measureAgain)
        self._shown: tuple[object, ...] | None = None
        self.facts: Mapping[str, Any] | None = None
        self.installed = False
        ui.modelComboBox.currentIndexChanged.connect(self._onModel)
        ui.modelFileButton.clicked.connect(self._onModelFile)
        ui.modelCardButton.toggled.connect(self._onCard)
        ui.deviceComboBox.currentIndexChanged.connect(self._onDevice)
        ui.checkDevicesButton.clicked.connect(self._onCheck)
        ui.installButton.clicked.connect(self._onInstall)

    def setParameterNode(self, parameters: Any) -> None:
        """Connect to another parameter node, or to none."""
        self._parameters = parameters
        self._shown = None

    def show(self, parameters: Any) -> None:
        """Show the model and the device of the parameter node, if they have changed."""
        if self._idle():
            self._load.observe()
        if self._shown == (parameters.model, parameters.device, parameters.quality):
            return
        model = fillModels(self._ui.modelComboBox, parameters.model, parameters.quality)
        device = fillDevices(self._ui.deviceComboBox, self.facts, parameters.device)
        self._shown = (model, device, parameters.quality)
        parameters.model, parameters.device = model, device
        if self._ui.modelCardButton.checked:
            self._onCard(True)
        if self.facts is not None:
            self._ui.environmentLabel.text = describeDevices(self.facts, device)

    def lookAround(self) -> None:
        """Check the installed dependencies, and let the worker test the devices; returns immediately."""
        self.stop()
        found = dependencies.findInstallation()
        self.installed, self.facts, self._shown = found.complete, None, None
        ui = self._ui
        ui.environmentLabel.text = dependencies.describeInstallation(found)
        ui.installButton.visible = not found.complete
        if not found.complete:
            ui.engineButton.collapsed = False
        else:
            ui.environmentLabel.text += " " + _("Testing the devices...")
            self._startProbe()
        self._onChanged()

    def stop(self) -> None:
        """Stop testing the devices."""
        self._load.stop()
        if self._probe is not None:
            self._probe.cancel()
            self._probe = None

    def _startProbe(self) -> None:
        box = self._ui.modelComboBox
        models = filter(None, (box.itemData(index) for index in range(box.count)))
        self._probe = Probe(list(models), onDone=self._onProbed, onError=self._onProbeFailed)
        self._probe.start()

    def _idle(self) -> bool:
        """Return whether the speed is known and no worker of this module is computing."""
        known = self.facts is not None and bool(self.facts["speed"])
        working = activeRun() is not None or self._profile.running or self._ui.previewButton.checked
        return known and self._probe is None and not working

    def _measureAgain(self) -> None:
        """Measure the speed again after the load of the computer has changed; until then, the old speed is kept."""
        if self._idle():
            self._startProbe()

    def _onProbed(self, facts: Mapping[str, Any]) -> None:
        self._probe, self.facts, self._shown = None, facts, None
        self._load.measured(facts.get("busy", 0.0))
        self.installed = facts["torch"] is not None
        self._ui.installButton.visible = not self.installed
        self._ui.environmentLabel.text = describeDevices(facts, "auto")
        if not self.installed or any(device["smoke"] != "ok" for device in facts["devices"]):
            self._ui.engineButton.collapsed = False
        self._log(self._ui.environmentLabel.text)
        self._onChanged()

    def _onProbeFailed(self, error: Exception) -> None:
        self._probe = None
        message = _("The devices could not be tested: {reason}").format(reason=error)
        if self.facts is None:
            self._ui.environmentLabel.text = message
            self._ui.engineButton.collapsed = False
        self._log(message)

    def _onModel(self, index: int) -> None:
        if self._parameters is not None and index >= 0:
            self._parameters.model = self._ui.modelComboBox.itemData(index)

    def _onModelFile(self, checked: bool = False) -> None:
        kinds = _("Weights (*.safetensors *.pkl *.pt *.pth)")
        path = qt.QFileDialog.getOpenFileName(None, _("Weights file"), "", kinds)
        if path and self._parameters is not None:
            self._parameters.model = path
            self.lookAround()  # only the worker can determine the cost of a file

    def _onCard(self, checked: bool) -> None:
        self._ui.modelCardBrowser.visible = checked
        if checked:
            quality = self._parameters.quality.value if self._parameters is not None else "standard"
            model = self._ui.modelComboBox.currentData or DEFAULT_MODELS[quality]
            self._ui.modelCardBrowser.setMarkdown(modelCard(model))

    def _onDevice(self, index: int) -> None:
        if self._parameters is not None and index >= 0:
            self._parameters.device = self._ui.deviceComboBox.itemData(index)

    def _onCheck(self, checked: bool = False) -> None:
        self.lookAround()

    def _onInstall(self, checked: bool = False) -> None:
        unusable = self.facts is not None and self.facts["torch"] is None
        broken = str(self.facts["problem"] or _("it does not start.")) if self.facts is not None and unusable else ""
        try:
            self._log(dependencies.describeInstallation(dependencies.install(broken=broken)))
        except DependencyError as error:
            self._log(str(error))
            slicer.util.errorDisplay(str(error), windowTitle="ArSSR")
        self.lookAround()
