"""A temporary plane of voxels over a slice view: the lens of the preview, or one side of a swipe comparison.

It is a volume with a single slice in the foreground of one view. It is hidden from lists and never saved, and the
previous foreground of the view is restored afterwards, or when a scene that was saved meanwhile is loaded.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import slicer.util
import vtk

from ArSSRPanel.kept_state import forget, keep
from ArSSRPanel.nodes import addHelperVolume
from ArSSRPanel.views import compositeOf


class PlaneLayer:
    """Shows planes of voxels over one slice view.

    Args:
        widget: The slice view.
        name: Name of the volume, which Slicer writes into the corner of the view.
        like: The volume whose window, level and colors are used.
    """

    def __init__(self, widget: Any, name: str, like: slicer.vtkMRMLScalarVolumeNode) -> None:
        self.widget = widget
        self._name = name
        self._like = like
        self._node: slicer.vtkMRMLScalarVolumeNode | None = None
        composite = compositeOf(widget)
        self._before = (composite.GetForegroundVolumeID(), composite.GetForegroundOpacity())
        self._keeps = False
        self._tags: list[tuple[Any, int]] = []

    def show(self, plane: np.ndarray, ijkToRAS: np.ndarray) -> None:
        """Show a plane, shape (rows, columns), replacing the previous one.

        The matrix, shape (4, 4), leads from (column, row, 0, 1) to the world in RAS mm.
        """
        if self._node is None:
            self._node = addHelperVolume(self._name)
            self._follow()
            self._keeps = keep(compositeOf(self.widget), "Foreground", "ForegroundOpacity")
        with slicer.util.NodeModify(self._node):
            slicer.util.updateVolumeFromArray(self._node, np.ascontiguousarray(plane)[None])
            self._node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(ijkToRAS))
        composite = compositeOf(self.widget)
        if composite.GetForegroundVolumeID() != self._node.GetID():
            composite.SetForegroundVolumeID(self._node.GetID())
            composite.SetForegroundOpacity(1.0)

    def hide(self) -> None:
        """Show no plane until the next one."""
        composite = compositeOf(self.widget)
        if self._node is not None and composite.GetForegroundVolumeID() == self._node.GetID():
            composite.SetForegroundVolumeID(None)

    def remove(self) -> None:
        """Restore the foreground of the view; nothing of the plane is left."""
        for display, tag in self._tags:
            display.RemoveObserver(tag)
        self._tags = []
        node, self._node = self._node, None
        if node is None:
            return
        composite = compositeOf(self.widget)
        if composite is not None and composite.GetForegroundVolumeID() == node.GetID():
            volume, opacity = self._before
            composite.SetForegroundVolumeID(volume)
            composite.SetForegroundOpacity(opacity)
        if composite is not None and self._keeps:
            forget(composite)
        removeHelper(node)

    def _follow(self) -> None:
        """Copy the display of the volume, also after changes."""
        shown = self._like.GetDisplayNode()
        if shown is not None:
            self._copyLook(shown)
            self._tags.append(
                (shown, shown.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._copyLook(shown)))
            )

    def _copyLook(self, shown: slicer.vtkMRMLScalarVolumeDisplayNode) -> None:
        display = self._node.GetDisplayNode() if self._node is not None else None
        if display is None:
            return
        with slicer.util.NodeModify(display):
            display.SetAndObserveColorNodeID(shown.GetColorNodeID())
            display.SetInterpolate(shown.GetInterpolate())
            display.AutoWindowLevelOff()
            display.SetWindowLevel(shown.GetWindow(), shown.GetLevel())


def removeHelper(node: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Remove a temporary volume from the scene, with its display node."""
    scene, display = node.GetScene(), node.GetDisplayNode()
    if scene is None:  # removed with its scene
        return
    if display is not None:
        scene.RemoveNode(display)
    scene.RemoveNode(node)
