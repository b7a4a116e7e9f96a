"""Following the nodes that the panel shows: a volume that is filled later, a region that is drawn or moved."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import qt
import slicer
import vtk

# A region that is dragged changes many times a second; the panel answers to the last of them. In ms.
DELAY = 30
_VOLUME_EVENTS = (slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent,)
_MARKUPS_EVENTS = (slicer.vtkMRMLMarkupsNode.PointModifiedEvent,)


class NodeWatch:
    """Calls back soon, and once, after nodes have changed.

    Args:
        onChanged: Called from the event loop.
    """

    def __init__(self, onChanged: Callable[[], object]) -> None:
        """Watch nothing yet."""
        self._nodes: list[slicer.vtkMRMLNode] = []
        self._tags: list[tuple[slicer.vtkMRMLNode, int]] = []
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(DELAY)
        self._timer.timeout.connect(onChanged)

    def follow(self, nodes: Iterable[slicer.vtkMRMLNode | None]) -> None:
        """Watch these nodes, and no others."""
        wanted = [node for node in nodes if node is not None]
        if wanted == self._nodes:
            return
        self._release()
        self._nodes = wanted
        for node in wanted:
            for event in _eventsOf(node):
                self._tags.append((node, node.AddObserver(event, self._onModified)))

    def stop(self) -> None:
        """Watch nothing, and do not call any more."""
        self._timer.stop()
        self._release()

    def _release(self) -> None:
        for node, tag in self._tags:
            node.RemoveObserver(tag)
        self._nodes, self._tags = [], []

    def _onModified(self, caller: object, event: str) -> None:
        self._timer.start()


def _eventsOf(node: slicer.vtkMRMLNode) -> list[int]:
    events = [vtk.vtkCommand.ModifiedEvent]
    if node.IsA("vtkMRMLTransformableNode"):
        events.append(slicer.vtkMRMLTransformableNode.TransformModifiedEvent)
    if node.IsA("vtkMRMLVolumeNode"):
        events.extend(_VOLUME_EVENTS)
    if node.IsA("vtkMRMLMarkupsNode"):
        events.extend(_MARKUPS_EVENTS)
    return events


def placeRegion(region: slicer.vtkMRMLMarkupsROINode) -> None:
    """Let the next clicks in a view place a new region of interest."""
    logic = slicer.app.applicationLogic()
    selection = logic.GetSelectionNode()
    if region.GetDisplayNode() is None:
        region.CreateDefaultDisplayNodes()
    selection.SetReferenceActivePlaceNodeClassName(region.GetClassName())
    selection.SetActivePlaceNodeID(region.GetID())
    logic.GetInteractionNode().SwitchToSinglePlaceMode()
