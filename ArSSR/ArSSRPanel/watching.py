"""Observation of the nodes in the panel: a volume that is filled later, a region that is drawn or moved."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import qt
import slicer
import vtk

# Delay in ms: dragging a region changes it many times per second, and the panel only responds to the last change.
DELAY = 30


class NodeWatch:
    """Calls a function once, shortly after nodes have changed.

    Args:
        onChanged: Called from the event loop.
    """

    def __init__(self, onChanged: Callable[[], object]) -> None:
        self._nodes: list[slicer.vtkMRMLNode] = []
        self._tags: list[tuple[slicer.vtkMRMLNode, int]] = []
        self._timer = singleShotTimer(DELAY, onChanged)

    def follow(self, nodes: Iterable[slicer.vtkMRMLNode | None]) -> None:
        """Observe these nodes only."""
        wanted = [node for node in nodes if node is not None]
        if wanted == self._nodes:
            return
        self._release()
        self._nodes = wanted
        for node in wanted:
            for event in _eventsOf(node):
                self._tags.append((node, node.AddObserver(event, self._onModified)))

    def stop(self) -> None:
        """Stop observing; there are no further calls."""
        self._timer.stop()
        self._release()

    def _release(self) -> None:
        for node, tag in self._tags:
            node.RemoveObserver(tag)
        self._nodes, self._tags = [], []

    def _onModified(self, caller: object, event: str) -> None:
        self._timer.start()


def singleShotTimer(interval: int, onTimeout: Callable[[], object]) -> qt.QTimer:
    """Return a timer that calls a function once, the given number of ms after each start."""
    timer = qt.QTimer()
    timer.setSingleShot(True)
    timer.setInterval(interval)
    timer.timeout.connect(onTimeout)
    return timer


def _eventsOf(node: slicer.vtkMRMLNode) -> list[int]:
    events = [vtk.vtkCommand.ModifiedEvent]
    if node.IsA("vtkMRMLTransformableNode"):
        events.append(slicer.vtkMRMLTransformableNode.TransformModifiedEvent)
    if node.IsA("vtkMRMLVolumeNode"):
        events.append(slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent)
    if node.IsA("vtkMRMLMarkupsNode"):
        events.append(slicer.vtkMRMLMarkupsNode.PointModifiedEvent)
    return events


def placeRegion(region: slicer.vtkMRMLMarkupsROINode) -> None:
    """Let the user place a new region of interest with the next clicks in a view."""
    logic = slicer.app.applicationLogic()
    selection = logic.GetSelectionNode()
    if region.GetDisplayNode() is None:
        region.CreateDefaultDisplayNodes()
    selection.SetReferenceActivePlaceNodeClassName(region.GetClassName())
    selection.SetActivePlaceNodeID(region.GetID())
    logic.GetInteractionNode().SwitchToSinglePlaceMode()
