"""Defects found in Slicer itself, one test each."""

from __future__ import annotations

import mrml_volumes
import numpy as np
import pytest
import slicer
import slicer.util
from ArSSRPanel.compare import Comparison
from ArSSRPanel.process import _errorFromExit

from ArSSRLib.errors import ArSSRError, MemoryLimitError

LAUNCHER = "error: [/opt/Slicer/bin/./python-real] exit abnormally - Report the problem."


def test_a_volume_that_is_filled_after_it_was_chosen_updates_the_panel(scene, module, slicerHost):
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Late")
    panel = slicerHost.makeWidget(module)
    assert "no voxels" in panel.ui.warningLabel.text

    grid = mrml_volumes.grid("axial")
    mrml_volumes.fill(volume, grid, mrml_volumes.blob(grid))

    assert slicerHost.wait_until(lambda: panel.ui.resultLabel.text.startswith("18 x 16 x 14 voxels"), timeout=5)
    assert "no voxels" not in panel.ui.warningLabel.text


def test_a_spacing_that_changes_later_updates_the_panel(scene, module, slicerHost):
    grid = mrml_volumes.grid("axial")
    volume = mrml_volumes.add_volume(grid, mrml_volumes.blob(grid))
    panel = slicerHost.makeWidget(module)

    volume.SetSpacing(3, 3, 3)

    assert slicerHost.wait_until(lambda: "1.50 x 1.50 x 1.50 mm" in panel.ui.resultLabel.text, timeout=5)


def test_a_new_region_updates_the_panel_once_it_is_placed(scene, module, slicerHost):
    grid = mrml_volumes.grid("axial")
    volume = mrml_volumes.add_volume(grid, mrml_volumes.blob(grid))
    panel = slicerHost.makeWidget(module)

    region = panel.ui.roiSelector.addNode()

    logic = slicer.app.applicationLogic()
    assert logic.GetSelectionNode().GetActivePlaceNodeID() == region.GetID()
    assert logic.GetInteractionNode().GetCurrentInteractionMode() == slicer.vtkMRMLInteractionNode.Place
    logic.GetInteractionNode().SwitchToViewTransformMode()
    assert "has no extent" in panel.ui.warningLabel.text
    bounds = [0.0] * 6
    volume.GetRASBounds(bounds)
    region.SetCenter(*np.reshape(bounds, (3, 2)).mean(axis=1))
    region.SetSize(3, 3, 3)
    assert slicerHost.wait_until(lambda: "has no extent" not in panel.ui.warningLabel.text, timeout=5)
    region.SetCenter(500, 500, 500)
    assert slicerHost.wait_until(lambda: "lies outside" in panel.ui.warningLabel.text, timeout=5)
    assert not panel.ui.applyButton.enabled


def test_a_scene_loaded_while_the_panel_is_open_is_shown(scene, module, slicerHost, tmp_path):
    grid = mrml_volumes.grid("axial")
    volume = mrml_volumes.add_volume(grid, mrml_volumes.blob(grid), name="Saved")
    panel = slicerHost.makeWidget(module)
    panel._parameterNode.inputVolume = volume
    panel._parameterNode.roi = mrml_volumes.add_roi((0, 0, 0), (4, 4, 4))
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    assert slicer.mrmlScene.Commit()
    slicerHost.closeScene()

    assert slicer.mrmlScene.Import()

    parameters = panel._parameterNode
    assert panel.ui.roiSelector.currentNode() is parameters.roi
    assert parameters.roi is not None
    assert panel.ui.inputVolumeSelector.currentNode() is parameters.inputVolume


def test_the_panel_fits_a_narrow_dock(scene, module, slicerHost):
    grid = mrml_volumes.grid("axial")
    mrml_volumes.add_volume(grid, mrml_volumes.blob(grid), name="A volume with a very long name " * 5)
    panel = slicerHost.makeWidget(module)

    assert panel.parent.minimumSizeHint.width() <= 350


@pytest.mark.parametrize(
    ("torch", "smoke", "folded"), [("2.9.0", "ok", True), ("2.9.0", "no kernel image", False), (None, "ok", False)]
)
def test_model_and_device_are_folded_unless_something_is_wrong(scene, panel, torch, smoke, folded):
    devices = [{"id": "cpu", "name": "CPU", "free_memory": 16e9, "total_memory": 16e9, "smoke": smoke}]
    panel.engine.stop()
    panel.ui.engineButton.collapsed = True

    panel.engine._onProbed(
        {"torch": torch, "problem": "Broken.", "cuda_build": None, "devices": devices, "models": {}, "speed": {}}
    )

    assert panel.ui.engineButton.collapsed == folded


def test_a_result_is_fitted_to_views_that_were_empty(scene):
    from ArSSRPanel.views import showInViews

    grid = mrml_volumes.grid("axial").upsampled(8)
    volume = mrml_volumes.add_volume(grid, mrml_volumes.blob(grid))
    node = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
    node.SetFieldOfView(900, 900, 1)

    showInViews(volume)

    assert max(node.GetFieldOfView()[:2]) < 20


def test_the_helpers_of_a_comparison_are_offered_nowhere_and_keep_their_names(scene, panel):
    coarse = mrml_volumes.grid("thick")
    pair = [
        mrml_volumes.add_volume(grid, mrml_volumes.blob(grid), name=name)
        for grid, name in ((coarse, "Scan"), (coarse.upsampled((1, 1, 4)), "Result"))
    ]
    selectors = [panel.ui.inputVolumeSelector, panel.ui.outputVolumeSelector, panel.ui.resultSelector]
    offered = [selector.nodeCount() for selector in selectors]
    assert offered[0] == 2
    comparison = Comparison()

    for _ in range(3):
        comparison.start(*pair)

        names = [node.GetName() for node in comparison.helpers]
        assert names == ["Cubic 0.7 x 0.7 x 1.2 mm: Scan", "ArSSR minus cubic 0.7 x 0.7 x 1.2 mm: Result"]
        assert [len(slicer.util.getNodes(name)) for name in names] == [1, 1]
        assert [selector.nodeCount() for selector in selectors] == offered
        comparison.stop()


@pytest.mark.parametrize("axis", "IJK")
def test_the_letter_of_an_axis_is_beside_its_number(panel, axis):
    assert [getattr(panel.ui, f"{kind}{axis}SpinBox").prefix for kind in ("scale", "spacing")] == [f"{axis} "] * 2


def test_wrapped_labels_are_complete_after_a_reload(scene, panel, slicerHost):
    grid = mrml_volumes.grid("axial")
    mrml_volumes.add_volume(grid, mrml_volumes.blob(grid))

    panel.onReload()

    reloaded = slicer.modules.ArSSRWidget
    reloaded.ui.engineButton.collapsed = False
    reloaded.parent.resize(400, 1400)
    slicerHost.process_events(0.1)
    labels = [reloaded.ui.noticeLabel, reloaded.ui.resultLabel, reloaded.ui.environmentLabel]
    assert [label.text for label in labels if label.height < label.heightForWidth(label.width)] == []


@pytest.mark.parametrize(
    ("code", "said", "kind"),
    [
        (1, [LAUNCHER], MemoryLimitError),
        (9, [], MemoryLimitError),
        (1, ["Fatal Python error: Segmentation fault", "  File x", LAUNCHER], ArSSRError),
        (1, ["Traceback (most recent call last)", "ModuleNotFoundError: No module named 'numpy'"], ArSSRError),
    ],
)
def test_the_launcher_does_not_hide_how_the_worker_ended(code, said, kind):
    error = _errorFromExit(code, said)

    assert type(error) is kind
    assert "Report the problem" not in str(error)
    if kind is ArSSRError:
        assert "Segmentation fault" in str(error) or "No module named 'numpy'" in str(error)


def test_a_broken_pytorch_is_installed_again(scene, monkeypatch, slicerHost, messages):
    import sys
    import types

    from ArSSRPanel import dependencies

    calls = []
    extension = types.ModuleType("PyTorchUtils")
    extension.PyTorchUtilsLogic = lambda: types.SimpleNamespace(
        installTorch=lambda **_: calls.append("install"), uninstallTorch=lambda: calls.append("remove")
    )
    monkeypatch.setitem(sys.modules, "PyTorchUtils", extension)

    dependencies.install(broken="libtorch.so is missing.")

    assert calls == ["remove", "install"]
    assert "libtorch.so is missing. It would be removed" in messages[-1].text
