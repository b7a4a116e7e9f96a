"""Comparison of before and after: side by side, with a divider that follows the mouse, or by flipping with a key.

Each view is labeled. Side by side, the uncertainty of the result, if any, is shown over it. The previous state of the
views is restored afterwards, or when a scene that was saved meanwhile is loaded. Volumes created for the comparison are
removed with it, and are never saved with the scene.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import qt
import slicer
import slicer.util
import vtk
from slicer.i18n import tr as _

from ArSSRPanel import views
from ArSSRPanel.cubic import cubicArray
from ArSSRPanel.kept_state import forget, keep, restore
from ArSSRPanel.nodes import addHelperVolume
from ArSSRPanel.plane_layer import removeHelper
from ArSSRPanel.sharpened import turnToSharpened
from ArSSRPanel.swipe import Swipe
from ArSSRPanel.uncertainty_overlay import UncertaintyOverlay, uncertaintyOf
from ArSSRPanel.windowing import LinkedWindows, anatomyWindow, setWindow

VIEWS = ("Red", "Yellow", "Green")
# Numbers of ArSSR's layouts, above those of Slicer's; one for each number of views.
LAYOUT_IDS = {1: 6120, 2: 6121, 3: 6122}
FLIP_KEY = "F"


class CompareMode(enum.Enum):
    """Modes of the comparison."""

    SIDE_BY_SIDE = "side by side"
    SWIPE = "swipe"
    FLICKER = "flicker"

    def label(self) -> str:
        """Return the text in the panel."""
        return {
            CompareMode.SIDE_BY_SIDE: _("Side by side"),
            CompareMode.SWIPE: _("Swipe: the divider follows the mouse"),
            CompareMode.FLICKER: _("Flicker: press F"),
        }[self]


class Comparison:
    """A comparison in the slice views.

    Attributes:
        helpers: The volumes created for it: the interpolated input, and optionally the difference.
        pair: The input and the result; None if there is no comparison.
    """

    def __init__(self) -> None:
        self.helpers: list[slicer.vtkMRMLScalarVolumeNode] = []
        self.pair: tuple[slicer.vtkMRMLScalarVolumeNode, slicer.vtkMRMLScalarVolumeNode] | None = None
        self._layout: int | None = None
        self._kept: list[slicer.vtkMRMLNode] = []
        self._windows: LinkedWindows | None = None
        self._swipe: Swipe | None = None
        self._overlay: UncertaintyOverlay | None = None
        self._captions: dict[str, views.Caption] = {}
        self._shortcut: Any = None  # a QShortcut
        self._flip: tuple[str, list[tuple[slicer.vtkMRMLNode, str]]] | None = None

    def start(
        self,
        inputVolume: slicer.vtkMRMLScalarVolumeNode,
        resultVolume: slicer.vtkMRMLScalarVolumeNode,
        *,
        mode: CompareMode = CompareMode.SIDE_BY_SIDE,
        difference: bool = True,
        onProgress: Callable[[float], object] | None = None,
    ) -> None:
        """Show the interpolated input beside the result, and optionally, side by side only, their difference.

        ``onProgress`` is called with the finished fraction of the interpolation; it may stop the comparison or start
        another one.
        """
        self.stop()
        self.pair = pair = (inputVolume, resultVolume)
        cubic = cubicArray(inputVolume, resultVolume, onProgress=onProgress)
        if self.pair is not pair:
            return
        before = self._helper(_("Cubic {spacing}: {name}"), cubic, resultVolume, inputVolume.GetName())
        shown = [(before, _("Cubic spline, {spacing}")), (resultVolume, _("ArSSR, {spacing}"))]
        if resultVolume.GetDisplayNode() is None:
            resultVolume.CreateDefaultDisplayNodes()
        before.GetDisplayNode().SetAndObserveColorNodeID(resultVolume.GetDisplayNode().GetColorNodeID())
        self._windows = LinkedWindows([before, resultVolume])
        self._windows.set(*anatomyWindow(slicer.util.arrayFromVolume(inputVolume)))
        if difference and mode == CompareMode.SIDE_BY_SIDE:
            shown.append(self._difference(cubic, resultVolume))
        self._arrange(shown, inputVolume, resultVolume, mode=mode)

    def stop(self) -> None:
        """Restore the views, and remove the volumes created for the comparison."""
        if self._shortcut is not None:
            self._shortcut.setParent(None)
            self._shortcut.deleteLater()
        if self._swipe is not None:
            self._swipe.stop()
        if self._windows is not None:
            self._windows.release()
        if self._overlay is not None:
            self._overlay.remove()
        for caption in self._captions.values():
            caption.remove()
        self._captions = {}
        self.pair = None
        layout, kept = self._layout, self._kept
        self._shortcut = self._swipe = self._overlay = self._windows = self._flip = self._layout = None
        self._kept = []
        if layout is not None and slicer.app.layoutManager() is not None:
            forget(slicer.app.layoutManager().layoutLogic().GetLayoutNode())
            views.setLayout(layout)
        for node in kept:
            restore(node)
        for node in self.helpers:
            removeHelper(node)
        self.helpers = []

    def flip(self) -> None:
        """Switch between before and after in the view that shows the result, or between the sides of a divider."""
        if self._flip is None:
            return
        name, shown = self._flip
        shown.reverse()
        if self._swipe is not None:
            self._swipe.exchange()
            self._captions[name].write(_sidesLabel(shown))
            return
        volume, label = shown[-1]
        views.compositeOf(slicer.app.layoutManager().sliceWidget(name)).SetBackgroundVolumeID(volume.GetID())
        self._captions[name].write(label)
        if self._overlay is not None:
            self._overlay.setVisible(volume not in self.helpers)

    def _helper(
        self, name: str, array: np.ndarray, like: slicer.vtkMRMLScalarVolumeNode, of: str
    ) -> slicer.vtkMRMLScalarVolumeNode:
        """Add a volume on the grid of another one, for the comparison only."""
        spacing = _("{spacing} mm").format(spacing=" x ".join(map(views.lengthText, like.GetSpacing())))
        node = addHelperVolume(name.format(spacing=spacing, name=of))
        self.helpers.append(node)
        matrix = vtk.vtkMatrix4x4()
        like.GetIJKToRASMatrix(matrix)
        with slicer.util.NodeModify(node):
            slicer.util.updateVolumeFromArray(node, array)
            node.SetIJKToRASMatrix(matrix)
            node.SetAndObserveTransformNodeID(like.GetTransformNodeID())
        return node

    def _difference(
        self, cubic: np.ndarray, resultVolume: slicer.vtkMRMLScalarVolumeNode
    ) -> tuple[slicer.vtkMRMLScalarVolumeNode, str]:
        """Return the volume of result minus interpolated input, and the label of its view."""
        residual = np.subtract(slicer.util.arrayFromVolume(resultVolume), cubic, dtype=np.float32)
        node = self._helper(_("ArSSR minus cubic {spacing}: {name}"), residual, resultVolume, resultVolume.GetName())
        # Zero is middle gray; the window includes all but the largest differences.
        largest = float(np.percentile(np.abs(residual[::2, ::2, ::2]), 99.5)) or float(np.finfo(np.float32).tiny)
        setWindow(node, 2 * largest, 0.0)
        scale = _("black -{largest}, gray 0, white +{largest}").format(largest=f"{largest:.3g}")
        return node, f"{_('ArSSR minus cubic')}\n{scale}"

    def _arrange(
        self,
        shown: list[tuple[slicer.vtkMRMLScalarVolumeNode, str]],
        inputVolume: slicer.vtkMRMLScalarVolumeNode,
        resultVolume: slicer.vtkMRMLScalarVolumeNode,
        *,
        mode: CompareMode,
    ) -> None:
        """Lay out one linked view per volume, or a single view for all."""
        layoutManager = slicer.app.layoutManager()
        if layoutManager is None:  # without a main window, there is nothing to arrange
            return
        each = shown if mode == CompareMode.SIDE_BY_SIDE else shown[1:2]
        layoutNode = layoutManager.layoutLogic().GetLayoutNode()
        number = LAYOUT_IDS[len(each)]
        if not layoutNode.IsLayoutDescription(number):
            layoutNode.AddLayoutDescription(number, layoutDescription(len(each)))
        for widget in map(layoutManager.sliceWidget, VIEWS):
            self._kept += [widget.mrmlSliceNode(), views.compositeOf(widget)]
        for node in (layoutNode, *self._kept):
            keep(node)
        self._layout = layoutNode.GetViewArrangement()
        views.setLayout(number)
        for name, (volume, label) in zip(VIEWS, each, strict=False):
            widget = layoutManager.sliceWidget(name)
            turnToSharpened(widget.mrmlSliceNode(), inputVolume, resultVolume)
            composite = views.compositeOf(widget)
            composite.SetLinkedControl(1)
            composite.SetHotLinkedControl(1)
            composite.SetForegroundVolumeID(None)
            composite.SetBackgroundVolumeID(volume.GetID())
            self._captions[name] = views.Caption(widget, resultVolume)
            self._captions[name].write(label)
            widget.sliceLogic().FitSliceToBackground()
        after = VIEWS[min(1, len(each) - 1)]
        widget = layoutManager.sliceWidget(after)
        uncertainty = uncertaintyOf(resultVolume) if mode == CompareMode.SIDE_BY_SIDE else None
        if uncertainty is not None:
            self._overlay = UncertaintyOverlay(widget, uncertainty)
            shown[1] = (resultVolume, f"{shown[1][1]}\n{self._overlay.label}")
            self._captions[after].write(shown[1][1])
        self._flip = (after, shown[:2])
        self._shortcut = _shortcut(self.flip)
        if mode == CompareMode.SWIPE:
            self._swipe = Swipe(widget, *(volume for volume, _label in shown[:2]))
            self._captions[after].write(_sidesLabel(shown[:2]))


def _sidesLabel(shown: Sequence[tuple[slicer.vtkMRMLScalarVolumeNode, str]]) -> str:
    """Return the label of a view with a divider: what is on its left, and on its right."""
    return "  |  ".join(label for _volume, label in shown)


def layoutDescription(count: int) -> str:
    """Return the layout of ``count`` slice views side by side, in Slicer's XML."""
    items = "".join(
        f'<item><view class="vtkMRMLSliceNode" singletontag="{name}">'
        f'<property name="orientation" action="default">Axial</property>'
        f'<property name="viewlabel" action="default">{name[0]}</property></view></item>'
        for name in VIEWS[:count]
    )
    return f'<layout type="horizontal">{items}</layout>'


def _shortcut(slot: Callable[[], None]) -> Any:
    """Return a keyboard shortcut of the main window that calls a slot, or None without a window."""
    window = slicer.util.mainWindow()
    if window is None:
        return None
    shortcut = qt.QShortcut(qt.QKeySequence(FLIP_KEY), window)
    shortcut.activated.connect(slot)
    return shortcut
