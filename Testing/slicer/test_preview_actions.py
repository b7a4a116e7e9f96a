"""The live preview with the panel and a stand-in for its worker: whatever a user does, the lens is right or gone."""

from __future__ import annotations

from typing import ClassVar

import mrml_volumes
import numpy as np
import pytest
import slicer
import slicer.util
import vtk
from ArSSRPanel import lens_plane, preview, views, watching
from ArSSRPanel.choosers import Quality
from ArSSRPanel.nodes import geometryOf, volumeFromNode
from hypothesis import example, given, settings
from hypothesis import strategies as st
from panel_user import PanelUser, open_scene
from slice_views import displayed_views, helpers, labels, slice_widgets

LAYOUTS = (
    slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView,
    slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpYellowSliceView,
    slicer.vtkMRMLLayoutNode.SlicerLayoutTwoOverTwoView,
    slicer.vtkMRMLLayoutNode.SlicerLayoutDual3DView,
    slicer.vtkMRMLLayoutNode.SlicerLayoutOneUp3DView,
)


class Worker:
    """In place of `PreviewWorker`: answers when the test says so, with a value for its volume and options."""

    running: ClassVar[list[Worker]] = []
    started = 0

    def __init__(self, request, *, onReady, onPlane, onRefused, onFailed):
        self.request = request
        self.onReady, self.onPlane, self.onRefused, self.onFailed = onReady, onPlane, onRefused, onFailed
        self.ready = False
        self.waiting = None

    def start(self):
        Worker.started += 1
        self.value = valueOf(self.request)
        self.running.append(self)

    def stop(self):
        if self in self.running:
            self.running.remove(self)

    def ask(self, question):
        assert self.ready, "a request to a worker that is not ready"
        self.waiting = question

    def act(self):
        """Become ready, or answer the last request."""
        question, self.waiting = self.waiting, None
        if not self.ready:
            self.ready = True
            self.onReady()
        elif question is not None:
            plane = np.full(question.target.size[::-1], self.value + question.target.scale[0], np.float32)
            self.onPlane({"number": question.number, "exact": question.exact, "uncorrected": False}, plane)

    def refuse(self):
        question, self.waiting = self.waiting, None
        if question is not None:
            self.onRefused(question.number, "Too large.")


def valueOf(request) -> float:
    voxels = float(volumeFromNode(request.inputVolume).array.max())
    return voxels + 0.25 * (request.options.quality == "draft")


class User(PanelUser):
    """Everything that users do while a preview is on."""

    layouts = LAYOUTS

    def __init__(self, panel, host):
        super().__init__(panel, host)
        self.volumes = []
        self.count = 0

    @property
    def volume(self):
        return self.panel._parameterNode.inputVolume

    def view(self):
        lens = self.panel.preview._lens
        return slice_widgets().get(lens.view if lens is not None else "Red") or slice_widgets()["Red"]

    def _content(self, number: int) -> np.ndarray:
        self.count += 1
        return mrml_volumes.blob(mrml_volumes.grid("thick"), height=1000 + 10 * self.count + number)

    def add(self, number: int = 0) -> None:
        grid = mrml_volumes.grid("thick")
        volume = mrml_volumes.add_volume(grid, self._content(number), name=f"V{self.count}")
        volume.SetUndoEnabled(True)
        self.volumes.append(volume)

    def choose(self, number: int) -> None:
        present = [volume for volume in self.volumes if volume.GetScene() is not None]
        if present:
            self.panel._parameterNode.inputVolume = present[number % len(present)]

    def change(self, number: int) -> None:
        if self.volume is not None:
            mrml_volumes.fill(self.volume, mrml_volumes.grid("thick"), self._content(number))

    def edit(self, number: int) -> None:
        if self.volume is not None:
            slicer.util.arrayFromVolume(self.volume)[...] += 1
            slicer.util.arrayFromVolumeModified(self.volume)

    def space(self, number: int) -> None:
        if self.volume is not None:
            self.volume.SetSpacing(1, 1, 1 + number / 2)

    def rename(self, number: int) -> None:
        if self.volume is not None:
            self.volume.SetName(f"Renamed {number}")

    def remove(self, number: int) -> None:
        if self.volume is not None:
            slicer.mrmlScene.RemoveNode(self.volume)

    def move(self, number: int) -> None:
        if self.volume is not None:
            matrix = np.eye(4)
            matrix[:3, 3] = number - 5
            transform = mrml_volumes.add_transform(matrix)
            self.volume.SetAndObserveTransformNodeID(transform.GetID() if number else None)

    def bend(self, number: int) -> None:
        if self.volume is not None:
            bent = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "Warp")
            bent.SetAndObserveTransformToParent(vtk.vtkThinPlateSplineTransform())
            self.volume.SetAndObserveTransformNodeID(bent.GetID())

    def quality(self, number: int) -> None:
        self.panel._parameterNode.quality = Quality.DRAFT if number % 2 else Quality.STANDARD

    def scale(self, number: int) -> None:
        self.panel._parameterNode.scale = 1.5 + number / 4

    def zoom(self, number: int) -> None:
        node = self.view().mrmlSliceNode()
        node.SetFieldOfView(*(length * (0.5 + number / 6) for length in node.GetFieldOfView()[:2]), 1)

    def click(self, number: int) -> None:
        if shown := displayed_views():
            widget = slice_widgets()[shown[number % len(shown)]]
            width, height = widget.mrmlSliceNode().GetDimensions()[:2]
            interactor = widget.sliceView().interactor()
            interactor.SetEventInformation(width // 2, height * (number + 1) // 11, 0, 0)
            interactor.InvokeEvent("LeftButtonPressEvent")

    def drag(self, number: int) -> None:
        interactor = self.view().sliceView().interactor()
        interactor.SetEventInformation(100 + 10 * number, 150, 0, 0)
        interactor.InvokeEvent("MouseMoveEvent")
        interactor.InvokeEvent("LeftButtonReleaseEvent")

    def remember(self, number: int) -> None:
        slicer.mrmlScene.SaveStateForUndo()

    def toggle(self, number: int) -> None:
        if self.panel.ui.previewButton.enabled:
            self.host.click(self.panel.ui.previewButton)

    def close(self, number: int) -> None:
        self.host.closeScene()
        self.volumes = []
        self.add()
        self.choose(0)

    def answer(self, number: int) -> None:
        for worker in list(Worker.running):
            worker.act() if number else worker.refuse()

    def fail(self, number: int) -> None:
        for worker in list(Worker.running):
            worker.stop()
            worker.onFailed(RuntimeError("It has crashed."))


@pytest.fixture
def user(scene, monkeypatch, module, slicerHost, quick):
    """A user of a panel with short pauses."""
    monkeypatch.setattr(Worker, "running", [])
    panel = slicerHost.makeWidget(module)
    panel.engine.stop()
    slicer.app.startupCompleted.emit()
    return panel, slicerHost


@pytest.fixture
def quickly(monkeypatch):
    """Preview without pauses and without a process."""
    monkeypatch.setattr(preview, "PreviewWorker", Worker)
    for room, names in ((preview, ("DELAY", "REST", "SETTLE")), (watching, ("DELAY",))):
        for name in names:
            monkeypatch.setattr(room, name, 1, raising=False)


def settle(panel, host) -> None:
    """Let the user rest until everything is answered."""
    live = panel.preview
    for _ in range(100):
        host.process_events(0.002)
        for worker in list(Worker.running):
            worker.act()
        timers = (live._moved, live._rested, live._settled, panel.watch._timer)
        if not any(timer.active for timer in timers) and not any(worker.waiting for worker in Worker.running):
            return
    pytest.fail("the preview never rests")


def check(panel) -> None:
    """The lens shows the current volume at its place, or there is nothing left of it."""
    live, lens = panel.preview, panel.preview._lens
    if not panel.ui.previewButton.checked:
        assert (lens, Worker.running, helpers(), labels()) == (None, [], [], {})
        return
    parameters = panel._parameterNode
    (worker,) = Worker.running
    request = parameters.request()
    assert (worker.request.inputVolume, worker.request.options) == (request.inputVolume, request.options)
    shown = slice_widgets()
    assert lens.view in (displayed_views() or shown), "the lens is in a hidden view"
    volume = request.inputVolume
    assert volume.GetParentTransformNode() is None or volume.GetParentTransformNode().IsTransformToWorldLinear()
    toWorld = vtk.vtkMatrix4x4()
    slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(volume.GetParentTransformNode(), None, toWorld)
    toWorld = slicer.util.arrayFromVTKMatrix(toWorld)
    target = lens_plane.targetOf(
        lens.view,
        np.linalg.inv(toWorld) @ slicer.util.arrayFromVTKMatrix(shown[lens.view].mrmlSliceNode().GetXYToRAS()),
        lens.square,
        fine=geometryOf(volume).upsampled(request.scale),
        scale=request.scale,
        localToWorld=toWorld,
    )
    if target is None:
        assert (helpers(), labels()) == ([], {})
        return
    assert live.state.shown is not None
    assert (live.state.shown.target, live.state.shown.exact) == (target, True)
    (node,) = helpers()
    for name, widget in shown.items():
        assert (views.compositeOf(widget).GetForegroundVolumeID() == node.GetID()) == (name == lens.view)
    np.testing.assert_allclose(mrml_volumes.ijk_to_ras(node), np.reshape(target.ijkToRAS, (4, 4)), atol=1e-9)
    inner = mrml_volumes.array_of(node)[0, 1:-1, 1:-1]
    assert np.unique(inner).tolist() in ([], [valueOf(request) + request.scale[0]])
    assert list(labels()) == [lens.view]


@settings(max_examples=40)
@example(actions=[("answer", 1), ("answer", 1), ("save", 0)])
@example(actions=[("layout", 1)])
@example(actions=[("bend", 0)])
@given(actions=st.lists(st.tuples(st.sampled_from(User.actions()), st.integers(0, 9)), max_size=12))
def test_whatever_a_user_does_the_lens_is_right_or_gone(quickly, user, actions):
    panel, host = user
    host.closeScene()
    slicer.app.layoutManager().setLayout(LAYOUTS[0])
    someone = User(panel, host)
    someone.add()
    someone.choose(0)
    views.showInViews(someone.volume)
    for widget in slice_widgets().values():
        widget.sliceLogic().FitSliceToAll()
    host.process_events(0.02)
    if not panel.ui.previewButton.checked:
        host.click(panel.ui.previewButton)

    for name, number in actions:
        getattr(someone, name)(number)
    settle(panel, host)

    check(panel)
    panel.preview.stop()
    check(panel)
    if someone.saved:
        open_scene(someone.saved)
        composites = [views.compositeOf(widget) for widget in slice_widgets().values()]
        assert {(node.GetForegroundVolumeID(), node.GetForegroundOpacity()) for node in composites} == {(None, 0.0)}
    assert not host.records.complaints()


def test_changes_in_quick_succession_start_one_worker(user, monkeypatch):
    panel, host = user
    monkeypatch.setattr(preview, "PreviewWorker", Worker)
    someone = User(panel, host)
    someone.add()
    someone.choose(0)
    host.process_events(0.1)
    host.click(panel.ui.previewButton)
    started = Worker.started

    for number in range(5):
        someone.change(number)
        host.process_events(0.08)  # longer than the panel waits for further changes

    assert Worker.started == started
    assert host.wait_until(lambda: Worker.started > started, timeout=5)
    host.process_events(0.1)
    assert (Worker.started, len(Worker.running)) == (started + 1, 1)
    panel.preview.stop()
