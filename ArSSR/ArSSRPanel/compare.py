"""Before and after, side by side: linked slice views with the interpolated input, the result and their difference.

What the views showed before is kept and put back. The two volumes made for the comparison leave with it, and are never
saved with the scene.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import slicer
import slicer.util
import vtk
from slicer.i18n import tr as _

from ArSSRPanel.cubic import cubicArray

VIEWS = ("Red", "Yellow", "Green")
# Numbers above those of Slicer's own layouts; one for two views and one for three.
LAYOUT_IDS = {2: 6121, 3: 6122}
HELPER_ATTRIBUTE = "ArSSR.Comparison"


@dataclass
class _ViewState:
    """What a slice view showed before the comparison."""

    orientation: str
    background: str | None
    foreground: str | None
    opacity: float
    linked: int
    hotLinked: int


@dataclass
class Comparison:
    """A comparison on the screen.

    Attributes:
        helpers: The volumes made for it: the interpolated input, and the difference if it was asked for.
    """

    helpers: list[slicer.vtkMRMLScalarVolumeNode] = field(default_factory=list)
    _layout: int | None = None
    _views: dict[str, _ViewState] = field(default_factory=dict)

    def start(
        self,
        inputVolume: slicer.vtkMRMLScalarVolumeNode,
        resultVolume: slicer.vtkMRMLScalarVolumeNode,
        *,
        difference: bool = True,
        onProgress: Callable[[float], object] | None = None,
    ) -> None:
        """Show the interpolated input beside the result, and their difference if asked for.

        Args:
            inputVolume: What the result was made from.
            resultVolume: A volume made by ArSSR.
            difference: Whether to add the view of result minus interpolated input.
            onProgress: Called with the finished fraction of the interpolation.
        """
        self.stop()
        cubic = cubicArray(inputVolume, resultVolume, onProgress=onProgress)
        before = self._helper(_("{name} cubic").format(name=inputVolume.GetName()), cubic, resultVolume)
        _copyWindow(inputVolume, before)
        shown = [before, resultVolume]
        if difference:
            after = slicer.util.arrayFromVolume(resultVolume)
            residual = np.subtract(after, cubic, dtype=np.float32)
            node = self._helper(_("{name} minus cubic").format(name=resultVolume.GetName()), residual, resultVolume)
            _centerWindow(node, residual)
            shown.append(node)
        self._arrange(shown, sharpenedOrientation(inputVolume, resultVolume))

    def stop(self) -> None:
        """Put the views back as they were, and remove the volumes made for the comparison."""
        if self._layout is not None:
            layoutManager = slicer.app.layoutManager()
            if layoutManager is not None:
                for name, state in self._views.items():
                    _restore(layoutManager.sliceWidget(name), state)
                layoutManager.setLayout(self._layout)
        self._layout, self._views = None, {}
        for node in self.helpers:
            if slicer.mrmlScene.IsNodePresent(node):
                slicer.mrmlScene.RemoveNode(node.GetDisplayNode())
                slicer.mrmlScene.RemoveNode(node)
        self.helpers = []

    def _helper(
        self, name: str, array: np.ndarray, like: slicer.vtkMRMLScalarVolumeNode
    ) -> slicer.vtkMRMLScalarVolumeNode:
        """Add a volume on the grid of another one, which belongs to the comparison alone."""
        node = slicer.vtkMRMLScalarVolumeNode()
        node.SetName(slicer.mrmlScene.GenerateUniqueName(name))
        node.SetSaveWithScene(False)
        node.SetAttribute(HELPER_ATTRIBUTE, "1")
        slicer.mrmlScene.AddNode(node)
        self.helpers.append(node)
        slicer.util.updateVolumeFromArray(node, array)
        matrix = vtk.vtkMatrix4x4()
        like.GetIJKToRASMatrix(matrix)
        node.SetIJKToRASMatrix(matrix)
        node.SetAndObserveTransformNodeID(like.GetTransformNodeID())
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetSaveWithScene(False)
        return node

    def _arrange(self, volumes: list[slicer.vtkMRMLScalarVolumeNode], orientation: str) -> None:
        """Lay out one linked view for each volume."""
        layoutManager = slicer.app.layoutManager()
        if layoutManager is None:  # without a main window there is nothing to arrange
            return
        layoutNode = layoutManager.layoutLogic().GetLayoutNode()
        number = LAYOUT_IDS[len(volumes)]
        if not layoutNode.IsLayoutDescription(number):
            layoutNode.AddLayoutDescription(number, layoutDescription(len(volumes)))
        self._layout = layoutNode.GetViewArrangement()
        layoutManager.setLayout(number)
        for name, volume in zip(VIEWS, volumes, strict=False):
            widget = layoutManager.sliceWidget(name)
            self._views[name] = _stateOf(widget)
            widget.mrmlSliceNode().SetOrientation(orientation)
            composite = widget.sliceLogic().GetSliceCompositeNode()
            composite.SetLinkedControl(1)
            composite.SetHotLinkedControl(1)
            composite.SetForegroundVolumeID(None)
            composite.SetBackgroundVolumeID(volume.GetID())
            widget.sliceLogic().FitSliceToBackground()


def layoutDescription(count: int) -> str:
    """Return the layout of ``count`` slice views side by side, as Slicer's XML."""
    views = "".join(
        f'<item><view class="vtkMRMLSliceNode" singletontag="{name}">'
        f'<property name="orientation" action="default">Axial</property>'
        f'<property name="viewlabel" action="default">{name[0]}</property></view></item>'
        for name in VIEWS[:count]
    )
    return f'<layout type="horizontal">{views}</layout>'


def sharpenedOrientation(
    inputVolume: slicer.vtkMRMLScalarVolumeNode, resultVolume: slicer.vtkMRMLScalarVolumeNode
) -> str:
    """Return the slice orientation in which the gain shows: one that contains the axis with the largest factor."""
    before, after = inputVolume.GetSpacing(), resultVolume.GetSpacing()
    factors = [coarse / fine for coarse, fine in zip(before, after, strict=True)]
    if max(factors) < 1.05 * min(factors):
        return "Axial"
    matrix = slicer.util.arrayFromVTKMatrix(_matrixOf(inputVolume))
    alongSuperior = np.argmax(np.abs(matrix[:3, int(np.argmax(factors))])) == 2
    return "Coronal" if alongSuperior else "Axial"


def _matrixOf(volume: slicer.vtkMRMLScalarVolumeNode) -> vtk.vtkMatrix4x4:
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASDirectionMatrix(matrix)
    return matrix


def _copyWindow(source: slicer.vtkMRMLScalarVolumeNode, target: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Show a volume with the window and level of another."""
    shown = source.GetDisplayNode()
    if shown is not None:
        display = target.GetDisplayNode()
        display.AutoWindowLevelOff()
        display.SetWindowLevel(shown.GetWindow(), shown.GetLevel())
        display.SetAndObserveColorNodeID(shown.GetColorNodeID())


def _centerWindow(volume: slicer.vtkMRMLScalarVolumeNode, difference: np.ndarray) -> None:
    """Show zero as middle gray, and all but the largest differences."""
    largest = float(np.percentile(np.abs(difference[::2, ::2, ::2]), 99.5))
    display = volume.GetDisplayNode()
    display.AutoWindowLevelOff()
    display.SetWindowLevel(2 * max(largest, float(np.finfo(np.float32).tiny)), 0.0)


def _stateOf(widget: Any) -> _ViewState:
    composite = widget.sliceLogic().GetSliceCompositeNode()
    return _ViewState(
        orientation=widget.mrmlSliceNode().GetOrientation(),
        background=composite.GetBackgroundVolumeID(),
        foreground=composite.GetForegroundVolumeID(),
        opacity=composite.GetForegroundOpacity(),
        linked=composite.GetLinkedControl(),
        hotLinked=composite.GetHotLinkedControl(),
    )


def _restore(widget: Any, state: _ViewState) -> None:
    composite = widget.sliceLogic().GetSliceCompositeNode()
    # Unlinked first: a linked view would hand its volume on to the others.
    composite.SetLinkedControl(0)
    composite.SetHotLinkedControl(0)
    widget.mrmlSliceNode().SetOrientation(state.orientation)
    composite.SetBackgroundVolumeID(state.background)
    composite.SetForegroundVolumeID(state.foreground)
    composite.SetForegroundOpacity(state.opacity)
    composite.SetLinkedControl(state.linked)
    composite.SetHotLinkedControl(state.hotLinked)
