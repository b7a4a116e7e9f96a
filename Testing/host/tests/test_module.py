"""A scripted module as Slicer's templates write it runs in the host: see `sample_module`."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import slicer
import vtk

HERE = Path(__file__).parent


def _sample_module():
    """Import the file beside this one; the folder is no package, because Slicer's is named alike."""
    spec = importlib.util.spec_from_file_location("sample_module", HERE / "sample_module.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def sample(load_module, tmp_path):
    """The sample module, loaded."""
    return load_module(_sample_module().write_sample_module(tmp_path))


@pytest.fixture
def volume(scene):
    """A volume of ones."""
    return slicer.util.addVolumeFromArray(np.ones((2, 3, 4), np.float32), name="ones")


@pytest.fixture
def widget(slicerHost, sample, volume):
    """The widget of the sample module, in a scene with one volume."""
    return slicerHost.makeWidget(sample)


def test_a_module_is_registered_everywhere_slicer_registers_it(slicerHost, sample):
    module = slicer.modules.sample

    assert module is slicer.util.getModule("Sample")
    assert (module.name, module.title, module.path) == ("Sample", "Sample", sample.__file__)
    assert isinstance(module, slicer.qSlicerScriptedLoadableModule)
    assert slicer.modules.SampleInstance.moduleName == slicer.moduleNames.Sample == "Sample"


def test_the_logic_is_found_by_the_name_of_the_module(widget):
    assert slicer.util.getModuleLogic("Sample") is widget.logic
    assert slicer.util.getModuleWidget("Sample") is widget


def test_widgets_show_the_parameters(widget):
    assert widget.ui.scaleSlider.value == pytest.approx(2.0)
    assert (widget.ui.framesBox.value, widget.ui.invertBox.checked) == (3, True)
    assert widget.ui.deviceBox.currentText == "Automatic"
    assert widget.ui.noteEdit.text == "hello"
    assert widget.ui.inputSelector.currentNode().GetName() == "ones"


def test_parameters_follow_the_widgets(widget):
    widget.ui.scaleSlider.value = 3.3
    widget.ui.deviceBox.currentIndex = 1
    widget.ui.invertBox.checked = False
    widget.ui.noteEdit.text = "bye"
    node = widget._parameterNode

    assert (node.scale, node.device.value, node.invert, node.note) == (pytest.approx(3.3), "cpu", False, "bye")


def test_widgets_follow_the_parameters(widget, volume):
    widget._parameterNode.scale = 5
    widget._parameterNode.note = "new"
    widget._parameterNode.outputVolume = volume

    assert widget.ui.scaleSlider.value == pytest.approx(5)
    assert widget.ui.noteEdit.text == "new"
    assert widget.ui.outputSelector.currentNode() is volume


def test_the_limits_of_a_parameter_are_those_of_its_widget(widget):
    assert (widget.ui.scaleSlider.minimum, widget.ui.scaleSlider.maximum) == (1, 8)
    assert (widget.ui.framesBox.minimum, widget.ui.framesBox.maximum) == (1, 10)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("scale", 9, ValueError),
        ("scale", None, ValueError),
        ("scale", "2", TypeError),
        ("frames", 2.5, TypeError),
        ("device", "cpu", TypeError),
        ("inputVolume", "ones", TypeError),
    ],
)
def test_a_parameter_refuses_values_of_another_type(widget, name, value, error):
    before = getattr(widget._parameterNode, name)
    with pytest.raises(error):
        setattr(widget._parameterNode, name, value)

    assert getattr(widget._parameterNode, name) == before


def test_parameters_are_stored_in_the_scene_as_in_slicer(widget, volume):
    node = widget._parameterNode.parameterNode

    assert (node.GetParameter("scale"), node.GetParameter("invert"), node.GetParameter("device")) == (
        "2.0",
        "True",
        "AUTO",
    )
    assert node.GetNodeReferenceID("inputVolume") == volume.GetID()


def test_changes_between_start_and_end_are_one_event(widget):
    seen = []
    tag = widget._parameterNode.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: seen.append(1))
    was_modifying = widget._parameterNode.StartModify()
    widget._parameterNode.scale = 4
    widget._parameterNode.note = "x"
    widget._parameterNode.EndModify(was_modifying)
    widget._parameterNode.RemoveObserver(tag)

    assert seen == [1]


def test_a_disconnected_panel_is_not_updated(widget):
    widget.parent.exit()
    widget._parameterNode.scale = 7
    widget.ui.noteEdit.text = "unheard"

    assert widget.ui.scaleSlider.value == pytest.approx(2.0)
    assert widget._parameterNode.note == "hello"
    widget._parameterNode = None


def test_clicking_a_button_runs_the_logic(slicerHost, widget):
    slicerHost.click(widget.ui.applyButton)

    assert widget.log == [pytest.approx(2.0)]


def test_a_button_that_a_user_cannot_click_is_not_clicked(slicerHost, widget):
    widget._parameterNode.inputVolume = None

    with pytest.raises(AssertionError, match="'applyButton' is disabled"):
        slicerHost.click(widget.ui.applyButton)


def test_an_exception_in_a_slot_of_a_module_is_recorded(slicerHost, widget, slot_errors):
    widget.logic.process = lambda *_: 1 // 0
    slicerHost.click(widget.ui.applyButton)

    assert [type(error) for error in slot_errors] == [ZeroDivisionError]
    slot_errors.clear()


def test_closing_the_scene_gives_the_panel_a_new_parameter_node(slicerHost, widget):
    widget._parameterNode.scale = 6
    slicerHost.closeScene()

    assert widget._parameterNode.scale == pytest.approx(2.0)
    assert widget.ui.inputSelector.currentNode() is None
    assert not widget.ui.applyButton.enabled


def test_reloading_creates_a_new_widget_in_the_same_panel(widget):
    parent = widget.parent
    slicer.util.reloadScriptedModule("Sample")

    assert slicer.modules.SampleWidget is not widget
    assert slicer.modules.SampleWidget.parent is parent
    assert slicer.modules.SampleWidget.Observations
    assert not widget.Observations


def test_packages_dropped_by_a_reload_are_restored_after_the_test(slicerHost, sample):
    names = ("json", "json.scanner")
    used = [sys.modules.pop(name) for name in names]
    sys.modules.pop("json.tool", None)
    importlib.import_module("json.tool")
    slicerHost.unloadModule("Sample")
    slicerHost.loadModule(sample.__file__)

    assert [sys.modules[name] for name in names] == used
    assert "json.tool" not in sys.modules


def test_an_observer_that_cleanup_does_not_remove_is_reported(slicerHost, widget, slot_errors):
    widget.cleanup = lambda: None
    slicerHost.closeWidget("Sample")

    assert "left an observer" in str(slot_errors[0])
    widget.removeObservers()
    slot_errors.clear()


def test_the_self_test_of_a_module_is_run(slicerHost, sample, scene):
    slicer.selfTests["Sample"]()

    assert sample.SampleTest("test_process").run().wasSuccessful()


def test_loading_a_missing_file_is_an_error(sample):
    with pytest.raises(RuntimeError, match="file not found"):
        slicer.util.loadUI("nowhere.ui")


def test_a_ui_file_with_a_widget_that_the_host_lacks_is_refused(tmp_path):
    file = tmp_path / "odd.ui"
    file.write_text('<ui version="4.0"><class>Odd</class><widget class="ctkOddWidget" name="Odd"/></ui>')

    with pytest.raises(RuntimeError, match="uses ctkOddWidget, which the test host does not have"):
        slicer.util.loadUI(str(file))


@pytest.mark.skipif(not os.environ.get("SLICER_SOURCE_DIR"), reason="SLICER_SOURCE_DIR names no source tree of Slicer")
def test_the_stand_ins_pass_the_same_tests_as_the_python_of_slicer():
    """This process runs on Slicer's own files; a second one runs this file on the stand-ins."""
    environment = {name: value for name, value in os.environ.items() if name != "SLICER_SOURCE_DIR"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", __file__]
    result = subprocess.run(command, env=environment, cwd=HERE.parents[2], capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout
