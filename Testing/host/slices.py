"""Slice views as images: Slicer's own slice logic computes them, without a screen or OpenGL."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import vtk_to_numpy

BLANK = (0, 0, 0)


def slice_image(
    volume: Any,
    orientation: str = "Axial",
    *,
    size: tuple[int, int] = (256, 256),
    offset: float | None = None,
    foreground: Any = None,
    opacity: float = 0.5,
) -> NDArray[np.uint8]:
    """Return the slice view of a volume, as users see it.

    Args:
        volume: The vtkMRMLVolumeNode in the background.
        orientation: "Axial", "Sagittal" or "Coronal".
        size: Width and height of the image.
        offset: Position along the normal of the slice, in RAS mm; the center of the volume by default.
        foreground: A volume in the foreground.
        opacity: Opacity of that volume.

    Returns:
        Red, green and blue, shape (height, width, 3), first row at the top.
    """
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
    logic.SetMRMLScene(volume.GetScene())
    node = logic.AddSliceNode("host picture")
    try:
        node.SetOrientation(orientation)
        composite = logic.GetSliceCompositeNode()
        composite.SetBackgroundVolumeID(volume.GetID())
        composite.SetForegroundVolumeID(foreground.GetID() if foreground is not None else None)
        composite.SetForegroundOpacity(opacity if foreground is not None else 0.0)
        node.SetDimensions(*size, 1)
        logic.FitSliceToBackground()
        if offset is not None:
            logic.SetSliceOffset(offset)
        return picture(logic)
    finally:
        _remove_nodes(logic, node)


def _remove_nodes(logic: Any, node: Any) -> None:
    """Remove the nodes that a slice logic has added to the scene."""
    made = [node, logic.GetSliceCompositeNode(), logic.GetSliceDisplayNode(), logic.GetSliceModelNode()]
    made += [logic.GetSliceModelDisplayNode(), logic.GetSliceModelTransformNode()]
    scene = logic.GetMRMLScene()
    logic.SetMRMLScene(None)
    for left in made:
        if left is not None and left.GetScene() is scene:
            scene.RemoveNode(left)


def view_image(name: str, *, size: tuple[int, int] = (256, 256), fit: bool = True) -> NDArray[np.uint8]:
    """Return the current image of a slice view of the layout, shape (height, width, 3), first row at the top.

    Args:
        name: Name of the view, such as "Red".
        size: Width and height of the image.
        fit: Whether to show the whole background volume, as after a click on the view's fit button.
    """
    logic = slicer.app.layoutManager().sliceWidget(name).sliceLogic()
    logic.GetSliceNode().SetDimensions(*size, 1)
    if fit:
        logic.FitSliceToBackground()
    return picture(logic)


def picture(logic: Any) -> NDArray[np.uint8]:
    """Return the image of a slice logic."""
    width, height, _ = logic.GetSliceNode().GetDimensions()
    connection = logic.GetImageDataConnection()
    if connection is None:
        return np.full((height, width, 3), BLANK, np.uint8)
    flat = vtk.vtkImageExtractComponents()
    flat.SetInputConnection(connection)
    flat.SetComponents(0, 1, 2)
    flat.Update()
    image = flat.GetOutput()
    columns, rows, _ = image.GetDimensions()
    pixels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(rows, columns, 3)
    return np.ascontiguousarray(pixels[::-1])
