"""The slice views: their content, and their labels.

Nothing here depends on the content itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import slicer
import slicer.util
import vtk
from slicer.i18n import tr as _

# Index of the text at the center of the upper edge; Slicer itself writes into the four corners.
_UPPER_EDGE = vtk.vtkCornerAnnotation.UpperEdge


def sliceWidgets() -> Iterator[tuple[str, Any]]:
    """Yield the name and the widget of every slice view; none without a main window."""
    manager = slicer.app.layoutManager()
    for name in manager.sliceViewNames() if manager is not None else ():
        widget = manager.sliceWidget(name)
        if widget is not None and widget.mrmlSliceNode() is not None:
            yield name, widget


def compositeOf(widget: Any) -> slicer.vtkMRMLSliceCompositeNode:
    """Return the node that defines the volumes in a slice view."""
    return widget.sliceLogic().GetSliceCompositeNode()


def setLayout(number: int) -> None:
    """Show a layout, and wait until its views have their sizes: fitting a volume earlier would be wrong."""
    slicer.app.layoutManager().setLayout(number)
    slicer.app.processEvents()


def setLabel(widget: Any, text: str) -> None:
    """Write lines at the upper edge of a slice view; "" removes them. The view cuts off lines that are too long."""
    view = widget.sliceView()
    view.cornerAnnotation().SetText(_UPPER_EDGE, text)
    view.scheduleRender()


class Caption:
    """Lines at the upper edge of a slice view, with the spacing of a volume along the axes of the view.

    Args:
        widget: The slice view.
        volume: The volume; the spacing follows when the view is rotated.
    """

    def __init__(self, widget: Any, volume: slicer.vtkMRMLScalarVolumeNode) -> None:
        self._widget = widget
        self._volume = volume
        self._text, self._shown = "", ""
        node = widget.mrmlSliceNode()
        self._tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._write())

    def write(self, text: str) -> None:
        """Show lines, in which "{spacing}" is replaced."""
        self._text = text
        self._write()

    def remove(self) -> None:
        """Remove the lines, and stop following the view."""
        self._widget.mrmlSliceNode().RemoveObserver(self._tag)
        setLabel(self._widget, "")

    def _write(self) -> None:
        shown = self._text.replace("{spacing}", spacingInView(self._widget.mrmlSliceNode(), self._volume))
        if shown != self._shown:
            self._shown = shown
            setLabel(self._widget, shown)


def spacingInView(node: slicer.vtkMRMLSliceNode, volume: slicer.vtkMRMLScalarVolumeNode) -> str:
    """Return the voxel spacing of a volume across and down a slice view, in words."""
    toRAS, toWorld = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(toRAS)
    slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(volume.GetParentTransformNode(), None, toWorld)
    toWorld = slicer.util.arrayFromVTKMatrix(toWorld) @ slicer.util.arrayFromVTKMatrix(toRAS)
    axes = slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())[:3, :2]
    # Voxels per mm along the axes of the view; in an oblique view, the axis of the volume that changes fastest counts.
    steps = np.abs(np.linalg.solve(toWorld[:3, :3], axes / np.linalg.norm(axes, axis=0)))
    across, down = map(lengthText, 1 / steps.max(axis=0))
    return _("{across} x {down} mm").format(across=across, down=down)


def lengthText(millimeters: float) -> str:
    """Return a voxel spacing as text, with two digits below 1 mm, and three above."""
    return f"{millimeters:.{2 if millimeters < 1 else 3}g}"


def showInViews(volume: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Show a volume in all slice views, at their current position, or fitted if they were empty."""
    empty = [widget for _name, widget in sliceWidgets() if compositeOf(widget).GetBackgroundVolumeID() is None]
    slicer.util.setSliceViewerLayers(background=volume, fit=False)
    for widget in empty:
        widget.sliceLogic().FitSliceToBackground()
