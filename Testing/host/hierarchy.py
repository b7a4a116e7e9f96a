"""The subject hierarchy's plugins, as far as the host has them: a node that is added gets an item.

Slicer's plugins decide node by node; here what the user sees as data gets an item under the scene, and loses
it when it is removed.
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
    """Give every data node of a scene an item in its subject hierarchy from now on."""
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
