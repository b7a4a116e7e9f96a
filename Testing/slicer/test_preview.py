"""The live preview in the panel, with the actual worker: the lens follows the user, and the end restores everything."""

from __future__ import annotations

from pathlib import Path

import mrml_volumes
import numpy as np
import pytest
import slicer
import slicer.util
import vtk
from ArSSRPanel import preview_worker, run, views
from ArSSRPanel.acquisition import keyOf, remember
from ArSSRPanel.choosers import ScaleMode, ThicknessSource
from ArSSRPanel.lens_plane import targetOf
from ArSSRPanel.nodes import volumeFromNode
from ArSSRPanel.preview import labelOf
from phantoms import texture_in_slices
from slice_views import helpers, widget
from slice_views import label as labelOfView
from slicer_runs import temporary_folder, worker_processes

from ArSSRLib.acquisition.decision import predicted_contrast
from ArSSRLib.acquisition.profile import AxisProfile, SliceProfile
from ArSSRLib.checkpoint import load_model
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.upsampling import upsample
from ArSSRLib.volume import Volume

UPPER_EDGE = vtk.vtkCornerAnnotation.UpperEdge
SECONDS = 60


def red():
    return slicer.app.layoutManager().sliceWidget("Red")


def label() -> str:
    return red().sliceView().cornerAnnotation().GetText(UPPER_EDGE) or ""


def press(x: int, y: int, widget=None) -> None:
    interactor = (widget or red()).sliceView().interactor()
    interactor.SetEventInformation(x, y, 0, 0)
    interactor.InvokeEvent("LeftButtonPressEvent")


def drag(x: int, y: int) -> None:
    interactor = red().sliceView().interactor()
    interactor.SetEventInformation(x, y, 0, 0)
    interactor.InvokeEvent("MouseMoveEvent")


@pytest.fixture
def temporary(scene, tmp_path, monkeypatch):
    yield from temporary_folder(tmp_path, monkeypatch)


@pytest.fixture
def opened(temporary, module, slicerHost, tiny_weights):
    """A panel with a volume in its views, ready for a preview with the tiny model."""
    grid = mrml_volumes.grid("axial")
    volume = mrml_volumes.add_volume(grid, mrml_volumes.blob(grid, height=300))
    panel = slicerHost.makeWidget(module)
    panel._parameterNode.model = str(tiny_weights)
    panel._parameterNode.device = "cpu"
    views.showInViews(volume)
    red().sliceLogic().FitSliceToBackground()
    panel.engine.stop()  # this worker tests the devices
    assert slicerHost.wait_until(lambda: panel.ui.previewButton.enabled, timeout=SECONDS)
    yield panel
    panel.preview.stop()


@pytest.fixture
def previewing(opened, slicerHost):
    """The same panel, with a preview that shows the exact plane."""
    slicerHost.click(opened.ui.previewButton)
    rest(opened, slicerHost)
    return opened


def rest(panel, slicerHost) -> None:
    state = panel.preview.state
    assert slicerHost.wait_until(
        lambda: not panel.preview._moved.active and state.shown is not None and state.shown.exact, timeout=SECONDS
    ), (panel.ui.previewLabel.text, state.phase, state.shown)


def test_a_lens_at_rest_shows_the_voxels_of_the_result(previewing, tiny_weights):
    volume = previewing._parameterNode.inputVolume
    options = UpsamplingOptions(device="cpu")
    whole = upsample(volumeFromNode(volume), load_model(tiny_weights), 2, options)
    (node,) = helpers()
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    toFine = np.linalg.inv(whole.geometry.ras_affine) @ slicer.util.arrayFromVTKMatrix(matrix)
    plane = slicer.util.arrayFromVolume(node)[0]
    rows, columns = np.mgrid[1 : plane.shape[0] - 1, 1 : plane.shape[1] - 1]  # without the frame
    index = np.stack([columns, rows, 0 * rows, 1 + 0 * rows], axis=-1) @ toFine.T
    i, j, k = (np.rint(index[..., axis]).astype(int) for axis in range(3))

    assert label() == "ArSSR 2x, exact"
    np.testing.assert_allclose(index[..., :2], np.rint(index[..., :2]), atol=1e-6)
    np.testing.assert_allclose(plane[rows, columns], whole.array[k, j, i], atol=1)


@pytest.mark.parametrize(
    ("spacing", "expected"), [((1, 1, 4), {"Yellow", "Green"}), ((4, 1, 1), {"Red", "Green"}), ((1, 1, 1), {"Red"})]
)
def test_the_lens_appears_in_a_view_that_shows_what_becomes_sharper(opened, monkeypatch, slicerHost, spacing, expected):
    monkeypatch.setattr(preview_worker.PreviewWorker, "start", lambda self: None)
    grid = VolumeGeometry((8, 9, 10), spacing)
    parameters = opened._parameterNode
    parameters.inputVolume = mrml_volumes.add_volume(grid, mrml_volumes.blob(grid))
    parameters.mode = ScaleMode.FACTOR if expected == {"Red"} else ScaleMode.ISOTROPIC

    slicerHost.click(opened.ui.previewButton)

    assert opened.preview._lens.view in expected


@pytest.mark.parametrize(
    ("exact", "uncorrected", "quality", "expected"),
    [
        (False, False, "standard", "ArSSR 1x1x4, quick"),
        (True, True, "standard", "ArSSR 1x1x4, exact\nbefore agreement with the scan"),
        (True, False, "best", "ArSSR 1x1x4, exact\nbefore averaging"),
        (True, True, "best", "ArSSR 1x1x4, exact\nbefore agreement with the scan, averaging"),
    ],
)
def test_the_label_of_the_lens_names_the_further_steps_of_a_run(scene, exact, uncorrected, quality, expected):
    options = UpsamplingOptions(quality=quality)

    assert labelOf((1, 1, 4), exact=exact, uncorrected=uncorrected, options=options) == expected


def test_the_lens_follows_scrolling_the_slider_and_the_mouse(previewing, slicerHost):
    state = previewing.preview.state
    red().sliceLogic().SetSliceOffset(red().sliceLogic().GetSliceOffset() + 2)
    first = state.shown.target
    assert slicerHost.wait_until(lambda: state.shown.target != first, timeout=SECONDS)
    rest(previewing, slicerHost)

    previewing._parameterNode.scale = 3.0
    assert slicerHost.wait_until(lambda: state.shown is not None and state.shown.target.scale[0] == 3, timeout=SECONDS)
    rest(previewing, slicerHost)
    assert label() == "ArSSR 3x, exact"

    x, y, _edge = previewing.preview._lens.square
    press(int(x) + 5, int(y) + 5)
    drag(int(x) + 45, int(y) - 15)
    assert np.allclose(previewing.preview._lens.square[:2], (int(x) + 40 + x % 1, int(y) - 20 + y % 1), atol=1)


def test_a_click_in_another_view_moves_the_lens_there(previewing, slicerHost):
    green = slicer.app.layoutManager().sliceWidget("Green")
    width, height = green.mrmlSliceNode().GetDimensions()[:2]

    press(width // 2, height // 2, green)
    rest(previewing, slicerHost)

    assert previewing.preview.state.shown.target.view == "Green"
    assert label() == ""
    assert views.compositeOf(red()).GetForegroundVolumeID() is None


def applied(panel, slicerHost) -> None:
    """Apply, and wait until the result is shown."""
    slicerHost.click(panel.ui.applyButton)
    assert not panel.ui.previewButton.checked
    assert helpers() == []
    assert slicerHost.wait_until(lambda: not panel.ui.cancelButton.enabled, timeout=SECONDS)
    assert panel._parameterNode.result is not None, panel.ui.statusLabel.text


def reloaded(panel) -> None:
    """Reload the module, without the worker that would test the devices again."""
    panel.onReload()
    slicer.modules.ArSSRWidget.engine.stop()


@pytest.mark.parametrize("way", ["button", "close", "exit", "compare", "apply", "reload", "input"])
def test_a_preview_leaves_nothing_behind_however_it_ends(previewing, slicerHost, temporary, way):
    ends = {
        "button": lambda: slicerHost.click(previewing.ui.previewButton),
        "close": slicerHost.closeScene,
        "exit": previewing.exit,
        "compare": lambda: previewing.preview._onOther(True),
        "apply": lambda: applied(previewing, slicerHost),
        "reload": lambda: reloaded(previewing),
        "input": lambda: slicer.mrmlScene.RemoveNode(previewing._parameterNode.inputVolume),
    }

    ends[way]()
    slicerHost.process_events(0.1)

    assert not previewing.ui.previewButton.checked
    assert worker_processes() == set()
    assert helpers() == []
    assert list(temporary.iterdir()) == []
    assert label() == ""


def test_the_worker_of_a_preview_gets_the_same_job_as_that_of_a_run(opened, monkeypatch):
    axis = AxisProfile("gaussian", 1.0, "DICOM")
    for module in (preview_worker, run):
        monkeypatch.setattr(module, "profileOf", lambda node: SliceProfile((axis, axis, axis)))
    opened._parameterNode.thicknessSource = ThicknessSource.STATED
    opened._parameterNode.sliceThickness = 3.0
    request = opened._parameterNode.request()
    started = run.Run(request)
    started._files = [("1.nrrd", "1-result.nrrd")]
    worker = preview_worker.PreviewWorker(request, onReady=None, onPlane=None, onRefused=None, onFailed=None)
    worker._sources = [Path("1.nrrd")]

    preview = worker._job(Path())

    whole = started._job()
    (volume,) = whole.pop("volumes")
    told = whole | {"profile": volume["profile"]}
    assert {key: preview[key] for key in told if key not in ("task", "scale", "region")} == {
        key: value for key, value in told.items() if key not in ("task", "scale", "region")
    }
    assert set(preview) - set(told) == {"input", "folder", "estimated_from"}


@pytest.mark.parametrize("first", [AxisProfile("point"), AxisProfile("gaussian", 1.3)], ids=lambda axis: axis.kind)
def test_the_preview_of_a_frame_uses_the_profile_that_the_panel_shows(opened, slicerHost, first):
    grid = VolumeGeometry((96, 96, 24), (1.0, 1.0, 4.0))
    kinds = {"point": AxisProfile("point"), "gaussian": AxisProfile("gaussian", 1.3)}
    second = kinds["gaussian" if first.kind == "point" else "point"]
    arrays = [texture_in_slices(grid, axis) for axis in (first, second)]
    sequence, browser, proxy = mrml_volumes.add_sequence(grid, arrays, ["0", "1"])
    browser.SetSelectedItemNumber(1)
    slicer.app.applicationLogic().GetModuleLogic("Sequences").UpdateProxyNodesFromSequences(browser)
    for number, array in enumerate(arrays):
        node = sequence.GetNthDataNode(number)
        remember(keyOf(node, opened._parameterNode.model), predicted_contrast(Volume(array, grid)))
    parameters = opened._parameterNode
    parameters.inputVolume, parameters.mode, parameters.scaleK = proxy, ScaleMode.AXES, 4.0
    views.showInViews(proxy)
    for name in ("Red", "Yellow", "Green"):
        widget(name).sliceLogic().FitSliceToBackground()
    slicerHost.click(opened.ui.previewButton)

    told = []
    for allFrames in (False, True):
        parameters.allFrames = allFrames
        slicerHost.process_events(0.1)
        rest(opened, slicerHost)
        agrees = "The result is made to agree" in opened.ui.profileLabel.text
        assert ("before agreement with the scan" in labelOfView(opened.preview._lens.view)) == agrees
        told.append(agrees)

    assert told == [second.kind == "gaussian", first.kind == "gaussian"]


def test_a_worker_that_ends_unexpectedly_ends_the_preview_with_a_message(previewing, slicerHost):
    import psutil

    for number in worker_processes():
        psutil.Process(number).kill()

    assert slicerHost.wait_until(lambda: not previewing.ui.previewButton.checked, timeout=SECONDS)
    assert "The preview has ended" in previewing.ui.previewLabel.text
    assert helpers() == []


def test_an_oblique_view_is_requested_in_its_own_plane():
    fine = mrml_volumes.grid("axial").upsampled(2)
    turn = np.array([[1, 0, 0], [0, np.cos(0.5), -np.sin(0.5)], [0, np.sin(0.5), np.cos(0.5)]])
    toRAS = np.eye(4)
    toRAS[:3, :3] = 0.1 * turn
    middle = fine.ras_affine @ [*(np.array(fine.size) / 2 - 0.5), 1]
    toRAS[:3, 3] = middle[:3] - toRAS[:3, :3] @ [50, 50, 0]

    target = targetOf("Red", toRAS, (50, 50, 60), fine=fine, scale=(2, 2, 2), localToWorld=np.eye(4))

    flip = np.array([-1, -1, 1])
    spacing = min(fine.spacing)
    np.testing.assert_allclose(target.columnStep, flip * turn[:, 0] * spacing, atol=1e-12)
    np.testing.assert_allclose(target.rowStep, flip * turn[:, 1] * spacing, atol=1e-12)
    last = np.array(target.origin) + sum(
        np.multiply(n - 1, step) for n, step in zip(target.size, (target.columnStep, target.rowStep), strict=True)
    )
    np.testing.assert_allclose((np.array(target.origin) + last) / 2, flip * middle[:3], atol=1e-9)
