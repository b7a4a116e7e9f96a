"""A divider in a slice view that follows the mouse: before on its left, after on its right."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import slicer.util
import vtk
from vtk.util import numpy_support

from ArSSRPanel import views
from ArSSRPanel.plane_layer import PlaneLayer

# Smallest width of a side, in pixels.
MARGIN = 8


class Swipe:
    """Shows one volume to the left of a divider and another to its right.

    Args:
        widget: The slice view.
        before: The volume on the left.
        after: The volume on the right.
    """

    def __init__(
        self,
        widget: Any,
        before: slicer.vtkMRMLScalarVolumeNode,
        after: slicer.vtkMRMLScalarVolumeNode,
    ) -> None:
        """Start with the divider at the center."""
        self._widget = widget
        self._before, self._after = before, after
        self.position = 0.5
        self._drawn: tuple[object, ...] = ()
        views.compositeOf(widget).SetBackgroundVolumeID(before.GetID())
        # Both volumes have the same window and colors.
        self._layer = PlaneLayer(widget, "ArSSR", after)
        self._crosshair = crosshairNode()
        moved = slicer.vtkMRMLCrosshairNode.CursorPositionModifiedEvent
        self._crosshairTag = self._crosshair.AddObserver(moved, lambda *_: self._onPointer())
        node = widget.mrmlSliceNode()
        self._tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._draw())
        self._draw()

    def stop(self) -> None:
        """Remove the divider from the view; nothing of it is left."""
        self._widget.mrmlSliceNode().RemoveObserver(self._tag)
        self._crosshair.RemoveObserver(self._crosshairTag)
        self._layer.remove()

    def moveTo(self, position: float) -> None:
        """Move the divider to a fraction of the width of the view, 0 to 1."""
        self.position = min(max(position, 0.0), 1.0)
        self._draw()

    def exchange(self) -> None:
        """Show the volume of the right side on the left, and vice versa."""
        self._before, self._after = self._after, self._before
        views.compositeOf(self._widget).SetBackgroundVolumeID(self._before.GetID())
        self._drawn = ()
        self._draw()

    def _onPointer(self) -> None:
        """Move the divider to the mouse, if it is in this view."""
        position = [0.0, 0.0, 0.0]  # in pixels from the lower left corner
        node = self._crosshair.GetCursorPositionXYZ(position)
        if node is not None and node is self._widget.mrmlSliceNode():
            self.moveTo(position[0] / max(1, node.GetDimensions()[0]))

    def _draw(self) -> None:
        """Compute the right side: the volume sampled at every pixel there."""
        node = self._widget.mrmlSliceNode()
        width, height = node.GetDimensions()[:2]
        divider = min(max(round(self.position * width), MARGIN), max(width - MARGIN, 0))
        toRAS = slicer.util.arrayFromVTKMatrix(node.GetXYToRAS())
        left, right, low, high = _extentIn(self._after, toRAS, width, height)
        first = max(divider, left)
        drawn = (first, right, low, high, toRAS.tobytes())
        if drawn == self._drawn:
            return
        self._drawn = drawn
        if first > right or low > high:
            self._layer.hide()
            return
        plane = planeOf(self._after, toRAS, (first, right, low, high))
        display = self._after.GetDisplayNode()
        if display is not None:  # a bright line makes the divider visible if both sides look alike
            plane[:, 0] = display.GetLevel() + display.GetWindow() / 2
        shift = np.eye(4)
        shift[:2, 3] = first, low
        self._layer.show(plane, toRAS @ shift)


def _extentIn(
    volume: slicer.vtkMRMLScalarVolumeNode, xyToRAS: np.ndarray, width: int, height: int
) -> tuple[int, int, int, int]:
    """Return the first and last pixel across and up that a volume may cover in a view of a size.

    A larger plane would change how Slicer fits the volume to the view.
    """
    bounds = [0.0] * 6
    volume.GetSliceBounds(bounds, slicer.util.vtkMatrixFromArray(np.linalg.inv(xyToRAS)))
    (left, low), (right, high) = np.ceil(bounds[0:4:2]), np.floor(bounds[1:4:2])
    return max(0, int(left)), min(width, int(right)) - 1, max(0, int(low)), min(height, int(high)) - 1


def planeOf(
    volume: slicer.vtkMRMLScalarVolumeNode, xyToRAS: np.ndarray, extent: tuple[int, int, int, int]
) -> np.ndarray:
    """Return a volume sampled at the pixels of a slice view, with linear interpolation as in the view itself.

    The matrix, shape (4, 4), leads from pixels of the view to the world in RAS mm; the extent is the first and last
    pixel across and up. Intensities are float32, shape (rows, columns); outside, the minimum of the volume.
    """
    rasToIJK, rasToVolume = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    volume.GetRASToIJKMatrix(rasToIJK)
    parent = volume.GetParentTransformNode()
    toIJK: Any = vtk.vtkTransform()
    if not slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(None, parent, rasToVolume):  # it is not linear
        bent = vtk.vtkGeneralTransform()
        slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, parent, bent)
        toIJK = vtk.vtkGeneralTransform()
        toIJK.Concatenate(rasToIJK)
        toIJK.Concatenate(bent)
    else:
        toIJK.Concatenate(rasToIJK)
        toIJK.Concatenate(rasToVolume)
    toIJK.Concatenate(slicer.util.vtkMatrixFromArray(xyToRAS))
    reslice = vtk.vtkImageReslice()
    reslice.SetInputData(volume.GetImageData())
    reslice.SetResliceTransform(toIJK)
    reslice.SetInterpolationModeToLinear()
    reslice.SetOutputScalarType(vtk.VTK_FLOAT)
    reslice.SetBackgroundLevel(volume.GetImageData().GetScalarRange()[0])
    reslice.SetBorder(True)
    reslice.SetOutputSpacing(1, 1, 1)
    reslice.SetOutputOrigin(0, 0, 0)
    reslice.SetOutputExtent(*extent, 0, 0)
    reslice.Update()
    values = numpy_support.vtk_to_numpy(reslice.GetOutput().GetPointData().GetScalars())
    return values.reshape(extent[3] - extent[2] + 1, extent[1] - extent[0] + 1).copy()


def crosshairNode() -> slicer.vtkMRMLCrosshairNode:
    """Return the node of the scene that follows the mouse, which Slicer names "default"."""
    scene = slicer.mrmlScene
    found = scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    if found is None:
        found = slicer.vtkMRMLCrosshairNode()
        found.SetCrosshairName("default")
        found.SetSingletonTag("default")
        scene.AddNode(found)
    return found
