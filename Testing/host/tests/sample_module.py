"""A small scripted module with a .ui file, written to a folder, which the host must be able to run.

It uses every kind of connection that the panel of ArSSR may use, in the style of Slicer's templates.
"""

from __future__ import annotations

from pathlib import Path

_PYTHON = """
import enum
from typing import Annotated

import ctk
import qt
import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import *
from slicer.util import VTKObservationMixin


class Device(enum.Enum):
    AUTO = "auto"
    CPU = "cpu"

    def label(self):
        return {"auto": "Automatic", "cpu": "Processor"}[self.value]


class Sample(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Sample")
        self.parent.categories = ["Examples"]
        self.parent.dependencies = []


@parameterNodeWrapper
class SampleParameterNode:
    inputVolume: vtkMRMLScalarVolumeNode
    outputVolume: vtkMRMLScalarVolumeNode
    scale: Annotated[float, WithinRange(1, 8)] = 2.0
    frames: Annotated[int, WithinRange(1, 10)] = 3
    invert: bool = True
    device: Device
    note: str = "hello"


class SampleWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self._parameterNode = None
        self._tag = None
        self.log = []

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/Sample.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = SampleLogic()
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.ui.applyButton.connect("clicked(bool)", self.onApplyButton)
        self.initializeParameterNode()

    def cleanup(self):
        self.removeObservers()

    def enter(self):
        self.initializeParameterNode()

    def exit(self):
        if self._parameterNode:
            self._parameterNode.disconnectGui(self._tag)
            self._tag = None
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._checkCanApply)

    def onSceneStartClose(self, caller, event):
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event):
        if self.parent.isEntered:
            self.initializeParameterNode()

    def initializeParameterNode(self):
        self.setParameterNode(self.logic.getParameterNode())
        if not self._parameterNode.inputVolume:
            first = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
            if first:
                self._parameterNode.inputVolume = first

    def setParameterNode(self, node):
        if self._parameterNode:
            self._parameterNode.disconnectGui(self._tag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._checkCanApply)
        self._parameterNode = node
        if self._parameterNode:
            self._tag = self._parameterNode.connectGui(self.ui)
            self.addObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._checkCanApply)
            self._checkCanApply()

    def _checkCanApply(self, caller=None, event=None):
        ready = self._parameterNode is not None and self._parameterNode.inputVolume is not None
        self.ui.applyButton.enabled = ready
        self.ui.applyButton.toolTip = _("Compute") if ready else _("Select an input volume")

    def onApplyButton(self):
        with slicer.util.tryWithErrorDisplay(_("Failed to compute results."), waitCursor=True):
            self.log.append(self.logic.process(self._parameterNode.inputVolume, self._parameterNode.scale))


class SampleLogic(ScriptedLoadableModuleLogic):
    def getParameterNode(self):
        return SampleParameterNode(super().getParameterNode())

    def process(self, inputVolume, scale):
        if not inputVolume:
            raise ValueError("Input volume is invalid")
        return slicer.util.arrayFromVolume(inputVolume).mean() * scale


class SampleTest(ScriptedLoadableModuleTest):
    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        self.setUp()
        self.test_process()

    def test_process(self):
        self.delayDisplay("Starting")
        self.assertRaises(ValueError, SampleLogic().process, None, 2)
"""

_NUMBER = '<property name="{name}"><double>{value}</double></property>'
_BOUND = '<property name="SlicerParameterName" stdset="0"><string>{name}</string></property>'

_UI = f"""<?xml version="1.0" encoding="UTF-8"?>
<ui version="4.0">
 <class>Sample</class>
 <widget class="qMRMLWidget" name="Sample">
  <layout class="QVBoxLayout" name="rows">
   <item><widget class="ctkCollapsibleButton" name="inputsButton">
    <property name="text"><string>Inputs</string></property>
    <layout class="QFormLayout" name="inputsForm">
     <item row="0" column="0"><widget class="QLabel" name="inputLabel">
      <property name="text"><string>Input volume:</string></property></widget></item>
     <item row="0" column="1"><widget class="qMRMLNodeComboBox" name="inputSelector">
      <property name="nodeTypes"><stringlist><string>vtkMRMLScalarVolumeNode</string></stringlist></property>
      <property name="showChildNodeTypes"><bool>false</bool></property>
      <property name="addEnabled"><bool>false</bool></property>
      <property name="removeEnabled"><bool>false</bool></property>
      {_BOUND.format(name="inputVolume")}</widget></item>
     <item row="1" column="0"><widget class="QLabel" name="outputLabel">
      <property name="text"><string>Output volume:</string></property></widget></item>
     <item row="1" column="1"><widget class="qMRMLNodeComboBox" name="outputSelector">
      <property name="nodeTypes"><stringlist><string>vtkMRMLScalarVolumeNode</string></stringlist></property>
      <property name="noneEnabled"><bool>true</bool></property>
      <property name="noneDisplay"><string>(Create new volume)</string></property>
      {_BOUND.format(name="outputVolume")}</widget></item>
     <item row="2" column="0"><widget class="QLabel" name="scaleLabel">
      <property name="text"><string>Scale:</string></property></widget></item>
     <item row="2" column="1"><widget class="ctkSliderWidget" name="scaleSlider">
      {_NUMBER.format(name="singleStep", value="0.1")}{_BOUND.format(name="scale")}</widget></item>
     <item row="3" column="1"><widget class="QSpinBox" name="framesBox">{_BOUND.format(name="frames")}</widget></item>
     <item row="4" column="1"><widget class="QCheckBox" name="invertBox">
      <property name="text"><string>Invert</string></property>{_BOUND.format(name="invert")}</widget></item>
    </layout></widget></item>
   <item><widget class="ctkCollapsibleButton" name="advancedButton">
    <property name="text"><string>Advanced</string></property>
    <property name="collapsed"><bool>true</bool></property>
    <layout class="QFormLayout" name="advancedForm">
     <item row="0" column="1"><widget class="QComboBox" name="deviceBox">{_BOUND.format(name="device")}</widget></item>
     <item row="2" column="1"><widget class="QLineEdit" name="noteEdit">{_BOUND.format(name="note")}</widget></item>
    </layout></widget></item>
   <item><widget class="QProgressBar" name="progressBar">
    <property name="value"><number>40</number></property></widget></item>
   <item><widget class="QPushButton" name="applyButton">
    <property name="enabled"><bool>false</bool></property>
    <property name="text"><string>Apply</string></property></widget></item>
   <item><spacer name="spacer"><property name="orientation"><enum>Qt::Vertical</enum></property>
    <property name="sizeHint" stdset="0"><size><width>20</width><height>20</height></size></property></spacer></item>
  </layout>
 </widget>
 <customwidgets>
  <customwidget><class>ctkCollapsibleButton</class><extends>QWidget</extends><container>1</container></customwidget>
  <customwidget><class>ctkSliderWidget</class><extends>QWidget</extends></customwidget>
  <customwidget><class>qMRMLWidget</class><extends>QWidget</extends><container>1</container></customwidget>
  <customwidget><class>qMRMLNodeComboBox</class><extends>QWidget</extends></customwidget>
 </customwidgets>
 <connections>
  <connection><sender>Sample</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
   <receiver>inputSelector</receiver><slot>setMRMLScene(vtkMRMLScene*)</slot></connection>
  <connection><sender>Sample</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
   <receiver>outputSelector</receiver><slot>setMRMLScene(vtkMRMLScene*)</slot></connection>
 </connections>
</ui>
"""


def write_sample_module(folder: Path) -> Path:
    """Write the module to a folder and return its file."""
    (folder / "Resources" / "UI").mkdir(parents=True)
    (folder / "Resources" / "UI" / "Sample.ui").write_text(_UI, encoding="utf-8")
    file = folder / "Sample.py"
    file.write_text(_PYTHON, encoding="utf-8")
    return file
