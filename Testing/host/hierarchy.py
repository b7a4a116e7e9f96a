"""The subject hierarchy, as far as the host has it: added nodes get an item.

Slicer's plugins decide for each node; here, nodes that users see as data get an item under the scene, which is removed
with the node.
"""

from __future__ import annotations

from typing import Any

import slicer
import vtk

from host.signals import guarded

_DATA = (
    "vtkMRMLVolumeNode",
    "vtkMRMLMarkupsNode",
    "vtkMRMLModelNode",
    "vtkMRMLSegmentationNode",
    "vtkMRMLSequenceBrowserNode",
    "vtkMRMLSequenceNode",
    "vtkMRMLTableNode",
    "vtkMRMLTextNode",
    "vtkMRMLTransformNode",
)


def keep_items(scene: Any) -> None:
    """From now on, give every data node of a scene an item in its subject hierarchy."""
    for event, follow in ((scene.NodeAddedEvent, _added), (scene.NodeAboutToBeRemovedEvent, _removed)):
        callback = guarded(follow)
        callback.CallDataType = vtk.VTK_OBJECT
        scene.AddObserver(event, callback)


def _added(scene: Any, _: str, node: Any) -> None:
    if node.GetHideFromEditors() or scene.IsImporting() or not any(map(node.IsA, _DATA)):
        return
    hierarchy = _hierarchy(scene)
    if hierarchy.GetItemByDataNode(node) == hierarchy.GetInvalidItemID():
        hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)


def _removed(scene: Any, _: str, node: Any) -> None:
    if scene.IsClosing() or not any(map(node.IsA, _DATA)):
        return
    hierarchy = _hierarchy(scene)
    item = hierarchy.GetItemByDataNode(node)
    if item != hierarchy.GetInvalidItemID():
        hierarchy.RemoveItem(item, False, False)


def _hierarchy(scene: Any) -> Any:
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
