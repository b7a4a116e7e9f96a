"""The lens in a slice view: its position, its response to the mouse, and its content."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import slicer
import vtk

from ArSSRPanel import views
from ArSSRPanel.plane_layer import PlaneLayer
from ArSSRPanel.sharpened import bestView

# Edge of the lens as a fraction of the shorter side of its view, and its smallest and largest length in pixels.
PART_OF_VIEW, LEAST_EDGE, LARGEST_EDGE = 0.5, 64, 400
# A smaller plane has no space for a frame, in pixels of the plane.
LEAST_FRAMED = 12
# Priority above that of Slicer's own handlers, so that dragging the lens has no other effect.
PRIORITY = 10.0


class Lens:
    """A square in one of the slice views; a click moves it to a position, and it can be dragged.

    Args:
        like: The volume whose window, level and colors are used.
        onMoved: Called when the lens, or the slice under it, has moved.
        along: Direction in RAS along which the result differs most, shape (3,); None if there is none.

    Attributes:
        view: Name of the slice view of the lens; "" if there is none.
    """

    def __init__(
        self,
        like: slicer.vtkMRMLScalarVolumeNode,
        onMoved: Callable[[], object],
        *,
        along: np.ndarray | None = None,
    ) -> None:
        """Place the lens at the center of a visible view in which the result differs most."""
        self._like = like
        self._onMoved = onMoved
        self._along = along
        self._widgets: dict[str, Any] = {}
        self.view = ""
        self._position = (0.5, 0.5)
        self._grab: tuple[float, float] | None = None
        self._layer: PlaneLayer | None = None
        self._tags: list[tuple[Any, int]] = []
        self.refresh()

    @property
    def sliceNode(self) -> slicer.vtkMRMLSliceNode:
        """The node of that view."""
        return self._widgets[self.view].mrmlSliceNode()

    @property
    def square(self) -> tuple[float, float, float]:
        """Center and edge in pixels of the view: x, y, edge."""
        width, height = self.sliceNode.GetDimensions()[:2]
        edge = min(max(PART_OF_VIEW * min(width, height), LEAST_EDGE), LARGEST_EDGE)
        return (self._position[0] * width, self._position[1] * height, edge)

    def refresh(self) -> None:
        """Observe new views, and move from a hidden view to a visible one; the user may have changed the layout."""
        known, self._widgets = self._widgets, dict(views.sliceWidgets())
        for name in self._widgets.keys() - known.keys():
            self._watch(name, self._widgets[name])
        visible = [name for name, widget in self._widgets.items() if widget.mrmlSliceNode().IsMappedInLayout()]
        if self.view not in (visible or self._widgets):
            self.clear()
            self.view = bestView(visible or self._widgets, self._widgets, self._along)

    def moveTo(self, name: str, x: float, y: float) -> None:
        """Move the center of the lens to a pixel of a slice view."""
        width, height = self._widgets[name].mrmlSliceNode().GetDimensions()[:2]
        if name != self.view:
            self.clear()
            self.view = name
        self._position = (min(max(x / max(width, 1), 0.0), 1.0), min(max(y / max(height, 1), 0.0), 1.0))
        self._onMoved()

    def show(self, plane: np.ndarray, ijkToRAS: np.ndarray, label: str) -> None:
        """Show a plane with a frame, replacing the previous one.

        Args:
            plane: Intensities, shape (rows, columns); NaN is shown black.
            ijkToRAS: From (column, row, 0, 1) to the world in RAS mm, shape (4, 4).
            label: Lines for the edge of the view.
        """
        if self._layer is None:
            self._layer = PlaneLayer(self._widgets[self.view], "ArSSR preview", self._like)
        display = self._like.GetDisplayNode()
        window, level = (display.GetWindow(), display.GetLevel()) if display is not None else (1.0, 0.5)
        shown = np.where(np.isfinite(plane), plane, level - window / 2).astype(np.float32)
        if min(shown.shape) >= LEAST_FRAMED:
            shown[[0, -1], :] = shown[:, [0, -1]] = level + window / 2
        self._layer.show(shown, ijkToRAS)
        views.setLabel(self._widgets[self.view], label)

    def clear(self) -> None:
        """Show nothing until the next plane."""
        layer, self._layer = self._layer, None
        if layer is not None:
            layer.remove()
            views.setLabel(layer.widget, "")

    def remove(self) -> None:
        """Remove the lens from the views; nothing of it is left."""
        for watched, tag in self._tags:
            watched.RemoveObserver(tag)
        self._tags = []
        self.clear()

    def _watch(self, name: str, widget: Any) -> None:
        """Observe the slice and the mouse in a view."""
        node = widget.mrmlSliceNode()
        self._tags.append((node, node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._onSlice(name))))
        interactor = widget.sliceView().interactor()
        handlers = {
            "LeftButtonPressEvent": self._onPress,
            "MouseMoveEvent": self._onMove,
            "LeftButtonReleaseEvent": self._onRelease,
        }
        for event, handler in handlers.items():
            self._tags.append((interactor, self._observe(interactor, event, name, handler)))

    @staticmethod
    def _observe(interactor: Any, event: str, name: str, handler: Callable[[str, Any], bool]) -> int:
        """Let a handler process a mouse event first; if it returns True, the event is consumed."""
        tag: list[int] = []

        def onEvent(caller: object, event: str) -> None:
            if handler(name, interactor):
                interactor.GetCommand(tag[0]).AbortFlagOn()

        tag.append(interactor.AddObserver(event, onEvent, PRIORITY))
        return tag[0]

    def _onSlice(self, name: str) -> None:
        if name == self.view:
            self._onMoved()

    def _onPress(self, name: str, interactor: Any) -> bool:
        mode = slicer.app.applicationLogic().GetInteractionNode().GetCurrentInteractionMode()
        modified = interactor.GetShiftKey() or interactor.GetControlKey() or interactor.GetAltKey()
        if modified or mode != slicer.vtkMRMLInteractionNode.ViewTransform:
            return False
        x, y = interactor.GetEventPosition()
        centerX, centerY, edge = self.square
        inside = name == self.view and max(abs(x - centerX), abs(y - centerY)) <= edge / 2
        self._grab = (centerX - x, centerY - y) if inside else (0.0, 0.0)
        if not inside:
            self.moveTo(name, x, y)
        return True

    def _onMove(self, name: str, interactor: Any) -> bool:
        if self._grab is None or name != self.view:
            return False
        x, y = interactor.GetEventPosition()
        self.moveTo(name, x + self._grab[0], y + self._grab[1])
        return True

    def _onRelease(self, name: str, interactor: Any) -> bool:
        dragged, self._grab = self._grab is not None, None
        return dragged
