"""The comparison in the panel: whatever a user does meanwhile, its end restores the views."""

from __future__ import annotations

import mrml_volumes
import numpy as np
import pytest
import slicer
import slicer.util
from ArSSRPanel import views
from ArSSRPanel.attributes import linkInput
from ArSSRPanel.swipe import crosshairNode
from hypothesis import example, given, settings
from hypothesis import strategies as st
from panel_user import PanelUser, open_scene
from slice_views import helpers, labels, slice_widgets

LAYOUTS = (
    slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView,
    slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpYellowSliceView,
    slicer.vtkMRMLLayoutNode.SlicerLayoutDual3DView,
)


class User(PanelUser):
    """What users do during a comparison."""

    layouts = LAYOUTS

    def __init__(self, panel, host, pair, results):
        super().__init__(panel, host)
        self.pair = pair
        self.results = results

    def view(self):
        return slice_widgets()["Red"]

    def _volume(self, number: int):
        return self.pair[number % 2]

    def remove(self, number: int) -> None:
        display = self._volume(number).GetDisplayNode()
        for node in (self._volume(number), display) if number > 4 else (display, self._volume(number)):
            if node is not None:
                slicer.mrmlScene.RemoveNode(node)

    def hide(self, number: int) -> None:
        display = self._volume(number).GetDisplayNode()
        if display is not None:
            slicer.mrmlScene.RemoveNode(display)

    def rename(self, number: int) -> None:
        self._volume(number).SetName("Renamed")

    def fill(self, number: int) -> None:
        if self._volume(number).GetScene() is not None:
            grid = mrml_volumes.grid("axial")
            mrml_volumes.fill(self._volume(number), grid, mrml_volumes.blob(grid))

    def window(self, number: int) -> None:
        display = self._volume(number).GetDisplayNode()
        if display is not None:
            display.SetWindowLevel(100 + number, 50)

    def move(self, number: int) -> None:
        matrix = np.eye(4)
        matrix[:3, 3] = number
        if self._volume(number).GetScene() is not None:
            self._volume(number).SetAndObserveTransformNodeID(mrml_volumes.add_transform(matrix).GetID())

    def point(self, number: int) -> None:
        crosshairNode().SetCursorPositionXYZ([40.0 * number, 100.0, 0.0], self.view().mrmlSliceNode())

    def flip(self, number: int) -> None:
        self.panel.comparison.flip()

    def mode(self, number: int) -> None:
        self.panel.ui.compareModeComboBox.currentIndex = number % 3

    def difference(self, number: int) -> None:
        self.panel.ui.differenceCheckBox.checked = bool(number % 2)

    def result(self, number: int) -> None:
        results = [node for node in self.results if node is None or node.GetScene() is not None]
        self.panel._parameterNode.result = results[number % len(results)]

    def toggle(self, number: int) -> None:
        if self.panel.ui.compareButton.enabled:
            self.host.click(self.panel.ui.compareButton)


@pytest.fixture
def opened(scene, module, slicerHost, quick):
    panel = slicerHost.makeWidget(module)
    panel.engine.stop()
    slicer.app.startupCompleted.emit()
    return panel, slicerHost


def check(looks) -> None:
    """The views show the volume and the field of view that the user has chosen."""
    for name, widget in slice_widgets().items():
        if name in looks:
            composite = views.compositeOf(widget)
            shown = slicer.mrmlScene.GetNodeByID(composite.GetBackgroundVolumeID() or "")
            assert (shown and shown.GetName(), composite.GetForegroundVolumeID()) == ("Other", None)
            np.testing.assert_allclose(widget.mrmlSliceNode().GetFieldOfView(), looks[name], rtol=1e-4)


@settings(max_examples=20)
@example(actions=[("mode", 1), ("remove", 1), ("point", 3)])
@example(actions=[("save", 0)])
@example(actions=[("result", 0)])
@given(actions=st.lists(st.tuples(st.sampled_from(User.actions()), st.integers(0, 9)), max_size=10))
def test_whatever_a_user_does_the_end_of_a_comparison_restores_the_views(opened, actions):
    panel, host = opened
    host.closeScene()
    slicer.app.layoutManager().setLayout(LAYOUTS[0])
    coarse = mrml_volumes.grid("thick")
    fine = coarse.upsampled((1, 1, 4))
    before = mrml_volumes.add_volume(coarse, mrml_volumes.blob(coarse, height=300), name="Scan")
    after = mrml_volumes.add_volume(fine, mrml_volumes.blob(fine, height=310), name="Result")
    other = mrml_volumes.add_volume(coarse, mrml_volumes.blob(coarse), name="Other")
    half = coarse.upsampled((1, 1, 2))
    another = mrml_volumes.add_volume(half, mrml_volumes.blob(half), name="Another result")
    for result in (after, another):
        result.SetAttribute("ArSSR.Model", "arssr3")
        linkInput(result, before)
    views.showInViews(other)
    host.process_events(0.02)
    panel._parameterNode.result = after
    panel.ui.compareModeComboBox.currentIndex = 0
    looks = {name: tuple(widget.mrmlSliceNode().GetFieldOfView()) for name, widget in slice_widgets().items()}
    host.click(panel.ui.compareButton)
    someone = User(panel, host, (before, after), (another, after, other, None))
    restored = not {"layout", "scroll", "rotate", "undo"} & {name for name, _ in actions}

    for name, number in actions:
        getattr(someone, name)(number)
    host.process_events(0.05)
    if panel.ui.compareButton.checked and "fill" not in {name for name, _ in actions}:
        size = panel._parameterNode.result.GetImageData().GetDimensions()
        assert {node.GetImageData().GetDimensions() for node in helpers() if "ubic" in node.GetName()} == {size}
    panel.ui.compareButton.checked = False

    assert (helpers(), labels()) == ([], {})
    if restored:
        check(looks)
    if someone.saved:
        open_scene(someone.saved)
        host.process_events(0.02)
        if restored:
            check(looks)
    assert not host.records.complaints()
    assert not [message for message in host.records.messages if message.kind == "error"]
