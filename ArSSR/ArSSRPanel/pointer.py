"""Where the mouse points in the slice views, as Slicer's own crosshair node tells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer

# Called with the slice node below the pointer and the position in its view, in pixels from the lower left corner.
OnPointer = Callable[[slicer.vtkMRMLSliceNode, float, float], object]


class PointerWatch:
    """Tells where the mouse points, until it is stopped.

    Args:
        onPointer: Called at each move inside a slice view.
    """

    def __init__(self, onPointer: OnPointer) -> None:
        """Begin to listen."""
        self._onPointer = onPointer
        self._crosshair: Any = crosshairNode()
        self._tag = self._crosshair.AddObserver(
            slicer.vtkMRMLCrosshairNode.CursorPositionModifiedEvent, self._onModified
        )

    def stop(self) -> None:
        """Stop listening."""
        if self._crosshair is not None:
            self._crosshair.RemoveObserver(self._tag)
        self._crosshair = None

    def _onModified(self, caller: object, event: str) -> None:
        position = [0.0, 0.0, 0.0]
        node = self._crosshair.GetCursorPositionXYZ(position)
        if node is not None:
            self._onPointer(node, position[0], position[1])


def crosshairNode() -> slicer.vtkMRMLCrosshairNode:
    """Return the node of the scene that follows the mouse; Slicer has one, named "default"."""
    scene = slicer.mrmlScene
    found = scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    if found is None:
        found = slicer.vtkMRMLCrosshairNode()
        found.SetCrosshairName("default")
        found.SetSingletonTag("default")
        scene.AddNode(found)
    return found
