"""ArSSR in 3D Slicer: the module, its parameters, its panel, its logic and its self-test.

This file is thin: code that needs Slicer is in `ArSSRPanel`, the engine in `ArSSRLib`, and PyTorch in the worker
process. The imports here need nothing that Slicer lacks, so the module loads before anything is installed.
"""

import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import slicer
import slicer.util
import vtk
from slicer import vtkMRMLMarkupsROINode, vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


def findEngine() -> None:
    """Make ArSSRLib importable: beside this file if installed, or one folder up in a source tree."""
    if importlib.util.find_spec("ArSSRLib") is None:
        sys.path.append(str(Path(__file__).resolve().parent.parent))


findEngine()

from ArSSRPanel import run
from ArSSRPanel.about import acknowledgementText, helpText
from ArSSRPanel.attributes import sourceOf
from ArSSRPanel.choosers import Quality, ScaleMode, ThicknessSource, coupleScale, updateThicknessSource
from ArSSRPanel.compare import CompareMode, Comparison
from ArSSRPanel.controller import LogSection, RunController
from ArSSRPanel.dependencies import requireInstallation
from ArSSRPanel.dicom import exportWhereAsked
from ArSSRPanel.dicom_source import isFromDicom
from ArSSRPanel.engine_section import EngineSection
from ArSSRPanel.exchange import sweepLeftOvers
from ArSSRPanel.kept_state import restoreWhenLoaded
from ArSSRPanel.nodes import grayVolumes
from ArSSRPanel.preview import LivePreview
from ArSSRPanel.profile_section import ProfileSection
from ArSSRPanel.reader import ArSSRFileReader, linkedSource  # noqa: F401 - Slicer looks for the reader here
from ArSSRPanel.request import Request, finest, makeRequest
from ArSSRPanel.sample_data import registerSampleData
from ArSSRPanel.selftest import resultLiesOverItsInput
from ArSSRPanel.sequences import sequenceOf
from ArSSRPanel.views import showInViews
from ArSSRPanel.watching import NodeWatch, placeRegion

from ArSSRLib.options import DEFAULT_OPTIONS, UpsamplingOptions

Factor = Annotated[float, WithinRange(1.0, 16.0)]
Millimeters = Annotated[float, WithinRange(0.05, 20.0)]


class ArSSR(ScriptedLoadableModule):
    """Description of the module for Slicer."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("ArSSR")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Filtering")]
        parent.dependencies = ["SampleData", "SubjectHierarchy"]
        parent.contributors = ["The ArSSR extension authors"]
        parent.helpText = helpText()
        parent.acknowledgementText = acknowledgementText()
        for onStartup in (registerSampleData, restoreWhenLoaded):
            slicer.app.connect("startupCompleted()", onStartup)


@parameterNodeWrapper
class ArSSRParameterNode:
    """The state of the panel, saved with the scene: scales are unitless, lengths in mm, the memory limit in GB."""

    inputVolume: vtkMRMLScalarVolumeNode
    outputVolume: vtkMRMLScalarVolumeNode
    roi: vtkMRMLMarkupsROINode
    allFrames: bool = False
    mode: ScaleMode = ScaleMode.FACTOR
    scale: Factor = 2.0
    scaleI: Factor = 1.0
    scaleJ: Factor = 1.0
    scaleK: Factor = 2.0
    spacingI: Millimeters = 1.0
    spacingJ: Millimeters = 1.0
    spacingK: Millimeters = 1.0
    quality: Quality = Quality.STANDARD
    thicknessSource: ThicknessSource = ThicknessSource.AUTOMATIC
    sliceThickness: Annotated[float, WithinRange(0.0, 100.0)] = 0.0
    agree: bool = True
    evenSlices: bool = True
    uncertainty: bool = False
    model: str = ""
    device: str = "auto"
    memoryLimit: Annotated[float, WithinRange(0.0, 4096.0)] = 0.0
    result: vtkMRMLScalarVolumeNode
    showDifference: bool = True
    compareMode: CompareMode = CompareMode.SIDE_BY_SIDE

    def options(self) -> UpsamplingOptions:
        """Return the options of the upsampling; every option of the engine that has a parameter here is listed here."""
        return UpsamplingOptions(
            device=self.device,
            memory_limit=self.memoryLimit or None,
            quality=self.quality.value,
            slice_thickness=self.thicknessSource.option(self.sliceThickness),
            consistency="auto" if self.agree else "off",
            even_slices="auto" if self.evenSlices else "off",
            uncertainty=self.uncertainty and self.quality == Quality.BEST,
        )

    def request(self) -> Request:
        """Return the request of the panel.

        Raises:
            ArSSRError: If the request cannot be fulfilled.
        """
        scale = {ScaleMode.FACTOR: (self.scale,), ScaleMode.AXES: (self.scaleI, self.scaleJ, self.scaleK)}
        asked = (self.spacingI, self.spacingJ, self.spacingK)
        return makeRequest(
            self.inputVolume,
            self.outputVolume,
            scale=scale.get(self.mode),
            spacing=finest(asked, self.inputVolume) if self.mode == ScaleMode.SPACING else None,
            isotropic=self.mode == ScaleMode.ISOTROPIC,
            roi=self.roi,
            model=self.model or None,
            allFrames=self.allFrames,
            options=self.options(),
        )


class ArSSRLogic(ScriptedLoadableModuleLogic):
    """Upsamples volume nodes, for scripts and the panel."""

    def getParameterNode(self) -> Any:
        """Return the state of the panel, an `ArSSRParameterNode`."""
        return ArSSRParameterNode(updateThicknessSource(super().getParameterNode()))  # type: ignore[call-arg]

    def process(
        self,
        inputVolume: vtkMRMLScalarVolumeNode,
        outputVolume: vtkMRMLScalarVolumeNode | None = None,
        *,
        scale: float | Sequence[float] | None = None,
        spacing: float | Sequence[float] | None = None,
        isotropic: bool = False,
        roi: vtkMRMLMarkupsROINode | None = None,
        model: str | None = None,
        allFrames: bool = False,
        options: UpsamplingOptions = DEFAULT_OPTIONS,
        onProgress: Callable[[float, float | None], object] | None = None,
    ) -> vtkMRMLScalarVolumeNode:
        """Upsample a volume and wait for it; no dialog is shown.

        Args:
            inputVolume: The volume, which is not changed. A sequence node is upsampled frame by frame.
            outputVolume: Node for the result; a new one is created if None.
            scale: Factor of at least 1, or one along each of i, j, k. Exactly one of this and the next two is required.
            spacing: Target voxel spacing in mm, or one along each of i, j, k.
            isotropic: Change every axis to the finest spacing of the volume.
            roi: Region of interest, to which the result is restricted.
            model: Name of a model or a file of weights; None for the default.
            allFrames: Upsample the whole sequence of the volume.
            options: Device, precision, memory limit and other options.
            onProgress: Called with the finished fraction and the remaining seconds, None while unknown.

        Returns:
            The node of the result.

        Raises:
            ArSSRError: If the request cannot be fulfilled; the message says what to do.
        """
        request = makeRequest(
            inputVolume,
            outputVolume,
            scale=scale,
            spacing=spacing,
            isotropic=isotropic,
            roi=roi,
            model=model,
            allFrames=allFrames,
            options=options,
        )
        return self.processAsync(request, onProgress=onProgress).wait()

    def processAsync(self, request: Request, **callbacks: Callable[..., object] | None) -> run.Run:
        """Start upsampling a volume and return immediately.

        Args:
            request: From `ArSSRPanel.request.makeRequest`, which has the arguments of `process`.
            callbacks: Those of `ArSSRPanel.run.Run`: ``onProgress``, ``onStage``, ``onLog``, and one of
                ``onFinished(node)``, ``onError(error)``, ``onCancelled(reason)`` at the end.

        Returns:
            The run; its ``cancel()`` stops it.

        Raises:
            ArSSRError: If the request cannot be fulfilled.
        """
        started = run.Run(request, **callbacks)
        requireInstallation()
        started.start()
        return started


class ArSSRWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel: forwards user actions to the logic, and displays its reports."""

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self._parameterNode: Any = None  # an ArSSRParameterNode with its wrapper
        self._guiTag: Any = None

    def setup(self) -> None:
        """Build the panel from its .ui file."""
        ScriptedLoadableModuleWidget.setup(self)
        self.logic = ArSSRLogic()
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/ArSSR.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.comparison = Comparison()
        self.log = LogSection(self.ui)
        self.controller = RunController(self.ui, onResult=self.onResult, log=self.log.add)
        self.profile = ProfileSection(self.ui, onChanged=self.updatePanel, log=self.log.add)
        self.engine = EngineSection(self.ui, self.profile, onChanged=self.updatePanel, log=self.log.add)
        self.preview = LivePreview(self.ui)
        self.watch = NodeWatch(self.updatePanel)
        for change in ("Close", "Import", "Restore"):
            self.addObserver(slicer.mrmlScene, getattr(slicer.mrmlScene, f"Start{change}Event"), self.onSceneStart)
            self.addObserver(slicer.mrmlScene, getattr(slicer.mrmlScene, f"End{change}Event"), self.onSceneEnd)
        self._connect()
        sweepLeftOvers()
        self.initializeParameterNode()
        self.engine.lookAround()

    def _connect(self) -> None:
        ui = self.ui
        ui.roiSelector.nodeAddedByUser.connect(placeRegion)
        coupleScale(ui.scaleSlider, ui.scaleSpinBox)
        ui.applyButton.clicked.connect(self.onApply)
        ui.compareButton.toggled.connect(self.onCompare)
        ui.differenceCheckBox.toggled.connect(self.onCompareChoice)
        ui.compareModeComboBox.currentIndexChanged.connect(self.onCompareChoice)
        ui.exportDicomButton.clicked.connect(self.onExport)

    def cleanup(self) -> None:
        """Stop all activities when Slicer closes or the module is reloaded."""
        run.cleanup()
        self.engine.stop()
        self.comparison.stop()
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self) -> None:
        """Show the state of the scene when the module is opened."""
        self.initializeParameterNode()

    def exit(self) -> None:
        """Stop observing the parameter node when another module is opened. A run continues."""
        self.setParameterNode(None)

    def onReload(self) -> None:
        """Reload the module, its rooms and the engine; by default, Slicer would only reload this file."""
        self.cleanup()
        for name in [name for name in sys.modules if name.split(".")[0] in ("ArSSRPanel", "ArSSRLib")]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def onSceneStart(self, caller: Any, event: Any) -> None:
        """Release the nodes and the views of a scene that is about to be closed, or to get others from a file."""
        self.ui.compareButton.checked = False
        self.setParameterNode(None)

    def onSceneEnd(self, caller: Any, event: Any) -> None:
        """Show the state of a scene that was closed or loaded; its nodes did not exist when the state was set."""
        if self.parent.isEntered:
            self.setParameterNode(None)
            self.initializeParameterNode()

    def initializeParameterNode(self) -> None:
        """Observe the parameter node of the scene, and select the first volume if none is selected."""
        self.setParameterNode(self.logic.getParameterNode())
        if self._parameterNode.inputVolume is None:
            first = next(iter(grayVolumes()), None)
            self._parameterNode.inputVolume = self.ui.inputVolumeSelector.currentNode() or first

    def setParameterNode(self, parameterNode: Any) -> None:
        """Observe another parameter node, or none."""
        if self._parameterNode is not None:
            self._parameterNode.disconnectGui(self._guiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.updatePanel)
        self._parameterNode = parameterNode
        self.watch.stop()
        self.profile.stop()
        self.preview.update(None)
        self.engine.setParameterNode(parameterNode)
        if parameterNode is not None:
            self._guiTag = parameterNode.connectGui(self.ui)
            self.addObserver(parameterNode, vtk.vtkCommand.ModifiedEvent, self.updatePanel)
            self.updatePanel()

    def updatePanel(self, caller: Any = None, event: Any = None) -> None:
        """Show the expected result of Apply, and whether Apply is possible."""
        parameters = self._parameterNode
        if parameters is None:
            return
        self.watch.follow([parameters.inputVolume, parameters.roi, parameters.outputVolume, parameters.result])
        self.ui.modePages.currentIndex = list(ScaleMode).index(parameters.mode)
        inSequence = parameters.inputVolume is not None and sequenceOf(parameters.inputVolume) is not None
        self.ui.allFramesCheckBox.visible = inSequence
        if parameters.allFrames and not inSequence:
            parameters.allFrames = False
        self.ui.uncertaintyCheckBox.enabled = parameters.quality == Quality.BEST
        self.profile.show(parameters, self.engine.facts)
        self.engine.show(parameters)
        self.controller.showEstimate(parameters, self.engine.facts, installed=self.engine.installed)
        self.preview.update(parameters)
        source = linkedSource(parameters.result)
        if source is None:
            self.ui.compareButton.checked = False
        elif self.ui.compareButton.checked and self.comparison.pair != (source, parameters.result):
            self.onCompare(True)
        self.ui.compareButton.enabled = source is not None
        self.ui.exportDicomButton.enabled = source is not None and isFromDicom(source)

    def onApply(self, checked: bool = False) -> None:
        """Start a run."""
        self.ui.compareButton.checked = False
        self.profile.stop()
        self.controller.start(self.logic, self._parameterNode)

    def onResult(self, node: vtkMRMLScalarVolumeNode) -> None:
        """Show a result in place of the volume in the slice views; its field of view is the same."""
        self.ui.compareButton.checked = False
        self.logic.getParameterNode().result = node  # the panel may have been closed meanwhile
        showInViews(node)

    def onCompare(self, checked: bool) -> None:
        """Show before and after side by side, or restore the views."""
        if not checked:
            self.comparison.stop()
            return
        result = self._parameterNode.result
        with slicer.util.tryWithErrorDisplay(_("The comparison cannot be shown."), waitCursor=True):
            self.comparison.start(
                sourceOf(result),
                result,
                mode=self._compareMode(),
                difference=self.ui.differenceCheckBox.checked,
                onProgress=self.controller.showFraction,
            )

    def onCompareChoice(self, choice: int) -> None:
        """Update a comparison after its mode, or the choice of the difference, was changed."""
        self.ui.differenceCheckBox.enabled = self._compareMode() == CompareMode.SIDE_BY_SIDE
        if self.ui.compareButton.checked:
            self.onCompare(True)

    def _compareMode(self) -> CompareMode:
        """Return the comparison mode; the parameter is updated from the combo box only after this call."""
        return list(CompareMode)[max(self.ui.compareModeComboBox.currentIndex, 0)]

    def onExport(self, checked: bool = False) -> None:
        """Export the result as a derived DICOM series to a folder selected by the user."""
        if message := exportWhereAsked(self._parameterNode.result):
            self.log.add(message)
            slicer.util.infoDisplay(message)


class ArSSRTest(ScriptedLoadableModuleTest):
    """A smoke test on a phantom with a tiny model, without network access. Testing/slicer has the other tests."""

    def setUp(self) -> None:
        """Start with an empty scene."""
        slicer.mrmlScene.Clear(0)

    def runTest(self) -> None:
        """Run every test."""
        self.setUp()
        self.test_ResultLiesOverItsInput()

    def test_ResultLiesOverItsInput(self) -> None:
        """A phantom becomes twice as fine at an unchanged position; the input is not changed."""
        self.delayDisplay("ArSSR: upsampling a phantom")
        self.delayDisplay(resultLiesOverItsInput(slicer.util.getModuleLogic("ArSSR")))
