"""What the panel shows and allows before a run."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import slicer
import slicer.util
import vtk
from ArSSRPanel.choosers import ThicknessSource
from ArSSRPanel.estimate import Estimate, estimateRun, learnSpeed

from ArSSRLib.checkpoint import DEFAULT_MODEL, DEFAULT_MODELS, find_entry
from ArSSRLib.options import UpsamplingOptions


@pytest.fixture
def volume(scene):
    """A volume with thick slices in the scene."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "T1")
    slicer.util.updateVolumeFromArray(node, np.arange(6 * 20 * 24, dtype=np.int16).reshape(6, 20, 24))
    node.SetSpacing(1.0, 1.5, 4.0)
    return node


@pytest.fixture
def parameters(volume, panel):
    """The parameter node of a panel that shows the volume."""
    return panel._parameterNode


def test_the_first_volume_of_the_scene_is_chosen(parameters, volume):
    assert parameters.inputVolume is volume


def test_label_maps_are_not_offered(parameters, panel):
    labels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")

    panel.ui.inputVolumeSelector.setCurrentNode(labels)

    assert panel.ui.inputVolumeSelector.currentNode() is not labels


def test_a_label_map_is_never_chosen_automatically(scene, module, slicerHost):
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    gray = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "gray")

    panel = slicerHost.makeWidget(module)

    assert panel._parameterNode.inputVolume is gray


def test_a_device_of_a_scene_is_kept_until_the_devices_are_known(parameters, panel):
    panel.engine.stop()
    panel.engine.facts = None

    parameters.device = "cuda:7"

    assert parameters.device == "cuda:7"
    assert panel.ui.deviceComboBox.currentData == "cuda:7"


def test_a_device_that_does_not_exist_is_replaced(parameters, panel, slicerHost):
    parameters.device = "cuda:7"
    assert slicerHost.wait_until(lambda: panel.engine.facts is not None, timeout=60)

    assert parameters.device == "auto"


def test_dragging_the_slider_changes_scale_and_shows_the_result(parameters, panel):
    panel.ui.scaleSlider.value = 2.5

    assert parameters.scale == pytest.approx(2.5)
    assert panel.ui.resultLabel.text.startswith("60 x 50 x 15 voxels of 0.40 x 0.60 x 1.60 mm")


def test_a_typed_factor_may_be_beyond_the_slider(parameters, panel):
    panel.ui.scaleSpinBox.value = 6.0

    assert parameters.scale == pytest.approx(6.0)
    assert panel.ui.scaleSlider.value == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("mode", "values", "expected"),
    [
        ("AXES", {"scaleI": 1.0, "scaleJ": 1.5, "scaleK": 4.0}, "24 x 30 x 24 voxels of 1.00 x 1.00 x 1.00 mm"),
        (
            "SPACING",
            {"spacingI": 0.5, "spacingJ": 0.5, "spacingK": 2.0},
            "48 x 60 x 12 voxels of 0.50 x 0.50 x 2.00 mm",
        ),
        (
            "SPACING",
            {"spacingI": 3.0, "spacingJ": 1.0, "spacingK": 1.0},
            "24 x 30 x 24 voxels of 1.00 x 1.00 x 1.00 mm",
        ),
        ("ISOTROPIC", {}, "24 x 30 x 24 voxels of 1.00 x 1.00 x 1.00 mm"),
    ],
)
def test_every_way_of_choosing_shows_its_grid(parameters, panel, module, mode, values, expected):
    parameters.mode = module.ScaleMode[mode]
    for name, value in values.items():
        setattr(parameters, name, value)

    assert panel.ui.resultLabel.text.startswith(expected)


def test_an_axis_that_is_already_finer_is_kept_on_any_grid(parameters, panel, volume, module):
    volume.SetSpacing(0.71875, 0.8671875, 3.0000012)
    parameters.mode = module.ScaleMode.SPACING

    assert panel.ui.resultLabel.text.startswith("24 x 20 x 18 voxels of 0.72 x 0.87 x 1.00 mm")


def test_the_page_depends_on_the_way_of_choosing(parameters, panel, module):
    for index, mode in enumerate(module.ScaleMode):
        parameters.mode = mode

        assert panel.ui.modePages.currentIndex == index
        assert panel.ui.modeComboBox.currentText == mode.label()


def test_a_factor_beyond_the_training_causes_a_warning(parameters, panel):
    parameters.scale = 5.0

    assert "beyond what the model was trained for" in panel.ui.warningLabel.text
    assert panel.ui.warningLabel.isVisibleTo(panel.parent)


def test_a_factor_inside_the_training_causes_no_warning(parameters, panel):
    parameters.scale = 3.0

    assert panel.ui.warningLabel.text == ""


def test_a_non_linear_transform_is_explained(parameters, panel, volume):
    bent = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "Warp")
    bent.SetAndObserveTransformToParent(vtk.vtkThinPlateSplineTransform())
    volume.SetAndObserveTransformNodeID(bent.GetID())

    panel.updatePanel()

    assert 'non-linear transform "Warp"' in panel.ui.warningLabel.text
    assert panel.ui.applyButton.enabled


def test_memory_and_time_are_shown_once_the_devices_are_tested(parameters, panel, slicerHost):
    assert slicerHost.wait_until(lambda: panel.engine.facts is not None, timeout=60)

    assert "of memory" in panel.ui.resultLabel.text
    assert panel.ui.resultLabel.text.splitlines()[1].endswith((" s on the CPU", " min on the CPU"))


def test_every_device_is_listed_and_the_cpu_causes_a_warning(parameters, panel, slicerHost):
    assert slicerHost.wait_until(lambda: panel.engine.facts is not None, timeout=60)

    shown = [panel.ui.deviceComboBox.itemText(index) for index in range(panel.ui.deviceComboBox.count)]
    for device in panel.engine.facts["devices"]:
        assert any(device["name"] in text for text in shown)
    assert not any("free" in text for text in shown)  # it would be cut off in a narrow panel
    parameters.device = "cpu"
    assert "B free, passed the test." in panel.ui.environmentLabel.text
    assert "which is slower" in panel.ui.environmentLabel.text or "although" in panel.ui.environmentLabel.text


def test_disabled_apply_says_why(scene, panel):
    assert not panel.ui.applyButton.enabled
    assert panel.ui.applyButton.toolTip == "Select an input volume."


def test_apply_is_enabled_once_there_is_a_volume(parameters, panel):
    assert panel.ui.applyButton.enabled


def test_a_volume_without_voxels_is_explained(parameters, panel):
    parameters.inputVolume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")

    assert not panel.ui.applyButton.enabled
    assert "has no voxels" in panel.ui.warningLabel.text


def test_the_card_shows_license_contrast_and_checksum(parameters, panel):
    panel.ui.modelCardButton.checked = True

    text = panel.ui.modelCardBrowser.plainText
    entry = find_entry(DEFAULT_MODEL)
    assert entry.license in text
    assert entry.contrast in text
    assert entry.sha256 in text
    assert "For research, not for diagnosis" in text


def test_all_frames_are_offered_only_for_a_sequence(parameters, panel):
    assert not panel.ui.allFramesCheckBox.isVisibleTo(panel.parent)


def test_the_panel_says_that_it_is_not_for_diagnosis(parameters, panel):
    assert "not for diagnosis" in panel.ui.noticeLabel.text


@pytest.mark.parametrize(("thickness", "source"), [("4.5", ThicknessSource.STATED), ("0.0", ThicknessSource.AUTOMATIC)])
def test_a_thickness_of_a_scene_without_the_choice_of_its_source_is_stated(scene, module, thickness, source):
    logic = module.ArSSRLogic()
    node = logic.getParameterNode().parameterNode
    node.UnsetParameter("thicknessSource")
    node.SetParameter("sliceThickness", thickness)

    assert logic.getParameterNode().thicknessSource == source
    logic.getParameterNode().thicknessSource = ThicknessSource.UNKNOWN
    assert logic.getParameterNode().thicknessSource == ThicknessSource.UNKNOWN


def test_the_state_is_saved_with_the_scene(parameters, panel, module, tmp_path, slicerHost):
    parameters.mode = module.ScaleMode.AXES
    parameters.scaleK = 3.5
    path = str(tmp_path / "scene.mrml")
    slicer.mrmlScene.SetURL(path)
    assert slicer.mrmlScene.Commit(path)

    slicerHost.closeScene()
    assert panel._parameterNode.scaleK == pytest.approx(2.0)
    slicer.mrmlScene.SetURL(path)
    slicer.mrmlScene.Import()
    panel.enter()

    assert panel._parameterNode.mode == module.ScaleMode.AXES
    assert panel.ui.scaleKSpinBox.value == pytest.approx(3.5)


def test_a_closed_scene_leaves_an_empty_panel(parameters, panel, slicerHost):
    slicerHost.closeScene()

    assert panel._parameterNode.inputVolume is None
    assert not panel.ui.applyButton.enabled


def test_the_module_can_be_left_and_entered(parameters, panel):
    panel.exit()
    panel.enter()

    panel.ui.scaleSpinBox.value = 3.0
    assert panel._parameterNode.scale == pytest.approx(3.0)


LOAD = """
import sys, time
sys.path[:0] = [{root!r}, {testing!r}]
sys.modules["torch"] = None  # as if it were not installed
import host
session = host.boot()
started = time.perf_counter()
module = session.loadModule({path!r})
loaded = time.perf_counter()
panel = session.makeWidget(module)
shown = time.perf_counter()
print("LOADED", loaded - started, shown - loaded, *(name for name in {heavy!r} if sys.modules.get(name)))
session.closeWidget(module)
"""


def test_the_module_and_its_panel_need_nothing_heavy(slicerHost):
    root = Path(__file__).resolve().parents[2]
    heavy = ("torch", "SimpleITK", "scipy", "nibabel", "safetensors", "pydicom", "matplotlib")
    code = LOAD.format(
        root=str(root), testing=str(root / "Testing"), path=str(root / "ArSSR" / "ArSSR.py"), heavy=heavy
    )

    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)

    (line,) = [line for line in result.stdout.splitlines() if line.startswith("LOADED")]
    assert line.split()[3:] == []


def test_quality_and_slices_are_set_in_their_section(parameters, panel):
    panel.ui.qualityComboBox.currentIndex = 2
    panel.ui.thicknessSourceComboBox.currentIndex = list(ThicknessSource).index(ThicknessSource.STATED)
    panel.ui.sliceThicknessSpinBox.value = 3.5
    panel.ui.agreeCheckBox.checked = False
    panel.ui.evenSlicesCheckBox.checked = False
    panel.ui.uncertaintyCheckBox.checked = True

    options = parameters.request().options

    assert (options.quality, options.slice_thickness) == ("best", "3.5")
    assert (options.consistency, options.even_slices, options.uncertainty) == ("off", "off", True)


@pytest.mark.parametrize(
    ("source", "option"), [("automatic", None), ("file", "file"), ("points", "points"), ("unknown", "unknown")]
)
def test_the_slice_thickness_need_not_be_a_number(parameters, panel, source, option):
    parameters.sliceThickness = 3.5

    panel.ui.thicknessSourceComboBox.currentIndex = list(ThicknessSource).index(ThicknessSource(source))

    assert parameters.request().options.slice_thickness == option
    assert panel.ui.sliceThicknessSpinBox.isHidden()


def test_a_thickness_to_be_stated_begins_with_the_distance_between_the_slices(parameters, panel):
    panel.ui.thicknessSourceComboBox.currentIndex = list(ThicknessSource).index(ThicknessSource.STATED)

    assert not panel.ui.sliceThicknessSpinBox.isHidden()
    assert panel.ui.sliceThicknessSpinBox.value == parameters.sliceThickness == 4.0
    assert parameters.request().options.slice_thickness == "4"

    parameters.sliceThickness = 2.5
    parameters.scale = 3.0
    assert panel.ui.sliceThicknessSpinBox.value == 2.5


def test_the_defaults_of_the_section_leave_every_choice_to_the_engine(parameters):
    options = parameters.request().options

    assert options == UpsamplingOptions(device="auto")


def test_an_uncertainty_is_only_offered_with_the_best_quality(parameters, panel):
    parameters.uncertainty = True

    assert not panel.ui.uncertaintyCheckBox.enabled
    assert not parameters.request().options.uncertainty


@pytest.mark.parametrize("quality", list(DEFAULT_MODELS))
def test_the_quality_chooses_the_model_unless_one_is_selected(parameters, panel, quality):
    panel.ui.qualityComboBox.currentIndex = list(DEFAULT_MODELS).index(quality)

    assert parameters.request().model == DEFAULT_MODELS[quality]
    assert DEFAULT_MODELS[quality] in panel.ui.modelComboBox.currentText

    parameters.model = "arssr2"

    assert parameters.request().model == "arssr2"


FACTS = {
    "devices": [{"id": "cpu", "name": "CPU", "free_memory": 16e9, "total_memory": 16e9, "smoke": "ok"}],
    "models": {DEFAULT_MODEL: {"halo": 4, "bytes_per_coarse_voxel": 2000, "encoding_cost": 40.0, "sha256": "ab"}},
    "base_memory": 500_000_000,
    "speed": {"cpu": {DEFAULT_MODEL: 1e-5}},
    "busy": 0.0,
}


def test_the_estimate_uses_the_time_of_the_last_run(parameters):
    facts = copy.deepcopy(FACTS)
    before = estimateRun(parameters.request(), facts)

    learnSpeed(facts, {"device": "cpu", "sha256": "ab", "results": [{"seconds": 200.0}]}, before)

    assert estimateRun(parameters.request(), facts).text.endswith("3 min on the CPU")


def test_the_estimate_ignores_time_spent_outside_the_network(parameters):
    facts = copy.deepcopy(FACTS)
    before = estimateRun(parameters.request(), facts)
    facts["beside"] = 150.0 / before.beside

    learnSpeed(facts, {"device": "cpu", "sha256": "ab", "results": [{"seconds": 200.0}]}, before)

    assert facts["speed"]["cpu"][DEFAULT_MODEL] == pytest.approx(50.0 / before.cost)


def test_the_estimate_ignores_very_short_runs(parameters):
    facts = copy.deepcopy(FACTS)

    learnSpeed(
        facts,
        {"device": "cpu", "sha256": "ab", "results": [{"seconds": 0.4}]},
        estimateRun(parameters.request(), facts),
    )

    assert facts == FACTS


def test_the_estimate_ignores_runs_of_other_models(parameters):
    facts = copy.deepcopy(FACTS)

    learnSpeed(facts, {"device": "cpu", "sha256": "cd", "results": [{"seconds": 200.0}]}, Estimate("", cost=1e6))

    assert facts == FACTS


def test_the_panel_says_when_the_computer_is_busy(parameters):
    assert "busy" not in estimateRun(parameters.request(), FACTS).text
    assert "busy" in estimateRun(parameters.request(), FACTS | {"busy": 0.6}).text
