"""A scene that is saved during a preview or a comparison opens as if there had been none."""

from __future__ import annotations

import mrml_volumes
import numpy as np
import pytest
import slicer
import slicer.util
from ArSSRPanel import views
from ArSSRPanel.attributes import linkInput
from ArSSRPanel.compare import CompareMode, Comparison
from ArSSRPanel.kept_state import ATTRIBUTE, SETTINGS
from ArSSRPanel.lens import Lens
from ArSSRPanel.nodes import geometryOf
from ArSSRPanel.outputs import showUncertainty
from slice_views import helpers, slice_widgets

from ArSSRLib.volume import Volume


@pytest.fixture
def volumes(scene, module):
    """A scan and its result with uncertainty, in views that the user has arranged; the application has started."""
    slicer.app.startupCompleted.emit()
    coarse = mrml_volumes.grid("thick")
    fine = coarse.upsampled((1, 1, 4))
    scan = mrml_volumes.add_volume(coarse, mrml_volumes.blob(coarse, height=300), name="Scan")
    result = mrml_volumes.add_volume(fine, mrml_volumes.blob(fine, height=310), name="Result")
    showUncertainty(result, Volume(mrml_volumes.blob(fine, dtype="float32"), geometryOf(result)))
    slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutTwoOverTwoView)
    slicer.app.processEvents()
    slicer.util.setSliceViewerLayers(background=scan, foreground=result, foregroundOpacity=0.3, fit=True)
    for number, widget in enumerate(slice_widgets().values()):
        node = widget.mrmlSliceNode()
        zoom = (30.0 + number) / node.GetDimensions()[1]
        node.SetFieldOfView(zoom * node.GetDimensions()[0], 30 + number, 1)
        node.SetXYZOrigin(3, 4 + number, 0)
        node.UpdateMatrices()
    views.compositeOf(slice_widgets()["Green"]).SetLinkedControl(1)
    result.GetDisplayNode().AutoWindowLevelOff()
    result.GetDisplayNode().SetWindowLevel(77, 33)
    return scan, result


def look() -> dict:
    """Return what users see, and have set."""
    facts = {"layout": slicer.app.layoutManager().layout}
    for name, widget in slice_widgets().items():
        composite, node = views.compositeOf(widget), widget.mrmlSliceNode()
        shown = (composite.GetBackgroundVolumeID(), composite.GetForegroundVolumeID())
        matrix = slicer.util.arrayFromVTKMatrix(node.GetXYToRAS())
        facts[name] = (
            [identity and slicer.mrmlScene.GetNodeByID(identity).GetName() for identity in shown],
            (composite.GetForegroundOpacity(), composite.GetLinkedControl(), composite.GetHotLinkedControl()),
            np.round([*node.GetFieldOfView()[:2], *matrix[:, [0, 1, 3]].ravel()], 4).tolist(),
        )
    for volume in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
        if volume not in helpers():
            display = volume.GetDisplayNode()
            flags = (display.GetAutoWindowLevel(), display.GetApplyThreshold(), display.GetAutoThreshold())
            facts[volume.GetName()] = (*flags, round(display.GetWindow(), 2), round(display.GetLevel(), 2))
    return facts


def reopened(path) -> dict:
    """Save the scene, close it, open it again, and return what users see."""
    assert slicer.mrmlScene.Commit(str(path))
    slicer.mrmlScene.Clear(0)
    slicer.mrmlScene.SetURL(str(path))
    assert slicer.mrmlScene.Connect()
    slicer.app.processEvents()
    assert ATTRIBUTE not in saved(path)
    return look()


def saved(path) -> str:
    """Return the file of the scene, saved again."""
    assert slicer.mrmlScene.Commit(f"{path}.mrml")
    return (path.parent / f"{path.name}.mrml").read_text()


def copied(node):
    """Return a copy of a node outside the scene."""
    copy = node.CreateNodeInstance()
    copy.UnRegister(None)
    copy.Copy(node)
    return copy


def test_a_scene_saved_during_a_preview_opens_with_the_foreground_of_the_user(volumes, tmp_path):
    before = look()
    lens = Lens(volumes[0], lambda: None)
    lens.show(np.ones((20, 20), np.float32), np.eye(4), "Lens")
    assert look() != before

    assert reopened(tmp_path / "scene.mrml") == before


@pytest.mark.parametrize("mode", list(CompareMode))
def test_a_scene_saved_during_a_comparison_opens_in_the_layout_of_the_user(volumes, tmp_path, mode):
    before = look()
    comparison = Comparison()
    comparison.start(*volumes, mode=mode)
    assert look() != before

    assert reopened(tmp_path / "scene.mrml") == before


@pytest.mark.parametrize("mode", list(CompareMode))
def test_a_scene_saved_after_a_comparison_contains_nothing_of_it(volumes, tmp_path, mode):
    before = look()
    comparison = Comparison()
    comparison.start(*volumes, mode=mode)

    comparison.stop()

    assert look() == before
    assert ATTRIBUTE not in saved(tmp_path / "scene.mrml")


def test_a_foreground_that_was_chosen_during_a_preview_is_saved(volumes, tmp_path):
    lens = Lens(volumes[0], lambda: None)
    lens.show(np.ones((20, 20), np.float32), np.eye(4), "Lens")
    composite = views.compositeOf(slice_widgets()[lens.view])
    composite.SetForegroundVolumeID(volumes[0].GetID())
    composite.SetForegroundOpacity(0.6)

    names, (opacity, *_), _ = reopened(tmp_path / "scene.mrml")[lens.view]

    assert (names, opacity) == (["Scan", "Scan"], 0.6)


def test_a_scene_view_captured_during_a_comparison_shows_the_volumes_of_the_user(volumes):
    before = look()
    comparison = Comparison()
    comparison.start(*volumes)
    captured = [(node, copied(node)) for kind in SETTINGS for node in slicer.util.getNodesByClass(kind)]
    comparison.stop()

    # As the node of a scene view does, which slicer-core lacks.
    slicer.mrmlScene.StartState(slicer.vtkMRMLScene.RestoreState)
    for node, copy in captured:
        node.Copy(copy)
    slicer.mrmlScene.EndState(slicer.vtkMRMLScene.RestoreState)

    slicer.app.processEvents()
    assert look() == before


@pytest.mark.parametrize("mode", list(CompareMode))
def test_a_scene_added_during_a_comparison_ends_it(volumes, panel, tmp_path, mode, slicerHost):
    scan, result = volumes
    before = look()
    assert slicer.mrmlScene.Commit(str(tmp_path / "scene.mrml"))
    result.SetAttribute("ArSSR.Model", "arssr3")
    linkInput(result, scan)
    panel._parameterNode.result = result
    panel._parameterNode.compareMode = mode
    slicerHost.click(panel.ui.compareButton)

    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    assert slicer.mrmlScene.Import()
    slicerHost.process_events(0.05)

    assert not panel.ui.compareButton.checked
    assert helpers() == []
    assert look()["layout"] == before["layout"]
    assert look()["Red"][1:] == before["Red"][1:]
