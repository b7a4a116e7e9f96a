"""The position of the mouse in the slice views, from Slicer's crosshair node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer

# Called with the slice node under the mouse and the position in its view, in pixels from the lower left corner.
OnPointer = Callable[[slicer.vtkMRMLSliceNode, float, float], object]


class PointerWatch:
    """Reports the position of the mouse until it is stopped.

    Args:
        onPointer: Called after each movement inside a slice view.
    """

    def __init__(self, onPointer: OnPointer) -> None:
        self._onPointer = onPointer
        self._crosshair: Any = crosshairNode()
        self._tag = self._crosshair.AddObserver(
            slicer.vtkMRMLCrosshairNode.CursorPositionModifiedEvent, self._onModified
        )

    def stop(self) -> None:
        """Stop observing."""
        if self._crosshair is not None:
            self._crosshair.RemoveObserver(self._tag)
        self._crosshair = None

    def _onModified(self, caller: object, event: str) -> None:
        position = [0.0, 0.0, 0.0]
        node = self._crosshair.GetCursorPositionXYZ(position)
        if node is not None:
            self._onPointer(node, position[0], position[1])


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
