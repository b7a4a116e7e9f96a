"""The user's settings of the views, kept in the scene while a preview or a comparison shows something else.

They are attributes and references of the changed nodes. Slicer does not announce that a scene is saved, so a scene that
is saved meanwhile contains both: the temporary state, and the one that is restored when the scene is loaded.
"""

from __future__ import annotations

import json
from typing import Any

import slicer
import slicer.util
import vtk

ATTRIBUTE = "ArSSR.Kept"
# The settings by the names of their methods, in the order in which they are restored. Nothing else is taken from files.
SETTINGS = {
    "vtkMRMLLayoutNode": ("ViewArrangement",),
    "vtkMRMLSliceNode": ("SliceToRAS", "Dimensions", "FieldOfView", "XYZOrigin"),
    "vtkMRMLSliceCompositeNode": ("ForegroundOpacity", "LinkedControl", "HotLinkedControl"),
    "vtkMRMLScalarVolumeDisplayNode": (
        *("Window", "Level", "AutoWindowLevel"),
        *("LowerThreshold", "UpperThreshold", "ApplyThreshold", "AutoThreshold"),
    ),
}
LINKS = ("LinkedControl", "HotLinkedControl")
VOLUMES = ("Background", "Foreground")


def keep(node: slicer.vtkMRMLNode, *names: str) -> bool:
    """Keep the settings and the volumes with these names, or all; return False if some are already kept."""
    if node.GetAttribute(ATTRIBUTE) is not None:
        return False
    kept = {name: _valueOf(node, name) for name in SETTINGS.get(node.GetClassName(), ()) if name in names or not names}
    if node.IsA("vtkMRMLSliceCompositeNode"):
        for name in VOLUMES:
            if name in names or not names:
                kept[name] = None  # the reference follows when a volume gets another ID
                node.SetNodeReferenceID(f"{ATTRIBUTE}.{name}", getattr(node, f"Get{name}VolumeID")())
    node.SetAttribute(ATTRIBUTE, json.dumps(kept))
    return True


def forget(node: slicer.vtkMRMLNode) -> None:
    """Discard what is kept of a node."""
    node.RemoveAttribute(ATTRIBUTE)
    for name in VOLUMES:
        node.RemoveNodeReferenceIDs(f"{ATTRIBUTE}.{name}")


def restore(node: slicer.vtkMRMLNode, *, loaded: bool = False) -> None:
    """Restore what is kept of a node, if anything; the size of a view only if it was ``loaded`` from a file."""
    kept = _keptOf(node)
    # Unlinked first: a linked view would change the volumes of other views.
    for name in LINKS:
        if name in kept:
            _set(node, name, 0)
    for name in VOLUMES:
        if name in kept:
            getattr(node, f"Set{name}VolumeID")(node.GetNodeReferenceID(f"{ATTRIBUTE}.{name}"))
    modifying = node.StartModify()
    try:
        for name in SETTINGS.get(node.GetClassName(), ()):
            if name in kept and (loaded or name != "Dimensions"):
                _set(node, name, kept[name])
        if node.IsA("vtkMRMLSliceNode"):
            node.UpdateMatrices()
    finally:
        node.EndModify(modifying)
    forget(node)


def restoreLoaded(scene: slicer.vtkMRMLScene) -> None:
    """Restore the views of a scene that was saved, or captured, during a preview or a comparison."""
    for kind in SETTINGS:
        for node in slicer.util.getNodesByClass(kind, scene):
            kept = _keptOf(node)
            # The preview covers the foreground only; the user may have chosen another one since.
            replaced = "Foreground" in kept and "Background" not in kept and node.GetForegroundVolumeID() is not None
            if replaced:
                forget(node)
            elif kept:
                restore(node, loaded=True)


def restoreWhenLoaded() -> None:
    """Restore the views of every scene that is loaded from now on, and of the current one."""
    scene = slicer.mrmlScene
    for event in (scene.EndImportEvent, scene.EndRestoreEvent):
        scene.AddObserver(event, lambda caller, _event: restoreLoaded(caller))
    restoreLoaded(scene)


def _valueOf(node: slicer.vtkMRMLNode, name: str) -> Any:
    value = getattr(node, f"Get{name}")()
    if isinstance(value, vtk.vtkMatrix4x4):
        return [value.GetElement(row, column) for row in range(4) for column in range(4)]
    return value


def _set(node: slicer.vtkMRMLNode, name: str, value: Any) -> None:
    if name == "SliceToRAS":
        node.GetSliceToRAS().DeepCopy(value)
    else:
        getattr(node, f"Set{name}")(*(value if isinstance(value, list) else [value]))


def _keptOf(node: slicer.vtkMRMLNode) -> dict[str, Any]:
    text = node.GetAttribute(ATTRIBUTE)
    return {} if text is None else json.loads(text)
