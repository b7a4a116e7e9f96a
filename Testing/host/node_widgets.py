# ruff: noqa: N801  the names are Slicer's
"""The widgets of Slicer that use the scene, as PySide classes; `host.qt_modules` puts them into `slicer`.

The behavior follows qMRMLNodeComboBox.cxx: it is disabled without a scene, None is not offered, subclasses of the node
types are offered, and an added node is not selected automatically while the menu has items such as "Create new Volume".
"""

from __future__ import annotations

import functools
import weakref
from typing import Any, ClassVar

import slicer
from PySide6 import QtWidgets
from PySide6.QtCore import Property, Signal

from host.signals import guarded

_EVENTS = (
    slicer.vtkMRMLScene.NodeAddedEvent,
    slicer.vtkMRMLScene.NodeRemovedEvent,
    slicer.vtkMRMLScene.EndBatchProcessEvent,
    slicer.vtkMRMLScene.EndCloseEvent,
    slicer.vtkMRMLScene.EndImportEvent,
)


class qMRMLWidget(QtWidgets.QWidget):
    """A widget that passes its scene to the widgets in it."""

    mrmlSceneChanged = Signal(object)
    mrml_signals: ClassVar = {"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged"}

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene = None

    def setMRMLScene(self, scene: Any) -> None:
        """Set the scene."""
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)

    def mrmlScene(self) -> Any:
        """Return the scene, or None."""
        return self._scene


def _flag(name: str) -> Property:
    def read(self: qMRMLNodeComboBox) -> bool:
        return bool(self._flags[name])

    def write(self: qMRMLNodeComboBox, value: bool) -> None:
        self._flags[name] = value
        self._refresh()

    return Property(bool, read, write)


class qMRMLNodeComboBox(QtWidgets.QWidget):
    """A list of the nodes of a scene, of certain types."""

    currentNodeChanged = Signal(object)
    currentNodeIDChanged = Signal(str)
    currentNodeValidChanged = Signal(bool)
    nodeActivated = Signal(object)
    nodeAdded = Signal(object)
    nodeAddedByUser = Signal(object)
    nodeAddedByUserAction = Signal(object)
    mrml_signals: ClassVar = {
        "currentNodeChanged(vtkMRMLNode*)": "currentNodeChanged",
        "currentNodeChanged(bool)": "currentNodeValidChanged",
        "nodeActivated(vtkMRMLNode*)": "nodeActivated",
        "nodeAdded(vtkMRMLNode*)": "nodeAdded",
        "nodeAddedByUser(vtkMRMLNode*)": "nodeAddedByUser",
        "nodeAddedByUserAction(vtkMRMLNode*)": "nodeAddedByUserAction",
    }

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._flags = dict.fromkeys(
            ("noneEnabled", "renameEnabled", "editEnabled", "showHidden"), False
        ) | dict.fromkeys(("addEnabled", "removeEnabled", "showChildNodeTypes", "selectNodeUponCreation"), True)
        self._types: list[str] = []
        self._attributes: dict[str, dict[str, str | None]] = {}
        self._base_name, self._none_text = "", "None"
        self._scene, self._nodes, self._current, self._requested = None, [], None, None
        self._observers: list[tuple[Any, int]] = []
        self._box = QtWidgets.QComboBox()
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._box)
        self.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Fixed)
        self._box.activated.connect(self._activated)
        self.destroyed.connect(functools.partial(_unobserve, self._observers))
        self.setEnabled(False)

    # ---- Scene

    def setMRMLScene(self, scene: Any) -> None:
        """List the nodes of a scene."""
        if scene is self._scene:
            return
        _unobserve(self._observers)
        self._scene = scene
        if scene is not None:
            this = weakref.ref(self)  # the scene must not keep the selector alive
            changed = guarded(lambda *_: this()._refresh())
            self._observers += [(scene, scene.AddObserver(event, changed)) for event in _EVENTS]
        requested, self._requested = self._requested, None
        self._refresh()
        if requested is not None:
            self.setCurrentNode(requested)
        self.setEnabled(scene is not None)

    def mrmlScene(self) -> Any:
        """Return the scene, or None."""
        return self._scene

    # ---- Which nodes

    noneEnabled = _flag("noneEnabled")
    addEnabled = _flag("addEnabled")
    removeEnabled = _flag("removeEnabled")
    renameEnabled = _flag("renameEnabled")
    editEnabled = _flag("editEnabled")
    showHidden = _flag("showHidden")
    showChildNodeTypes = _flag("showChildNodeTypes")
    selectNodeUponCreation = _flag("selectNodeUponCreation")

    def _set_types(self, types: list[str]) -> None:
        self._types = [name for name in types if name]
        self._refresh()

    def _set_base_name(self, name: str) -> None:
        self._base_name = name

    def _set_none_text(self, text: str) -> None:
        self._none_text = text
        self._refresh()

    nodeTypes = Property("QStringList", lambda self: self._types, _set_types)
    baseName = Property(str, lambda self: self._base_name, _set_base_name)
    noneDisplay = Property(str, lambda self: self._none_text, _set_none_text)

    def addAttribute(self, node_type: str, name: str, value: str | None = None) -> None:
        """Offer only nodes with this attribute (and this value, unless None)."""
        self._attributes.setdefault(node_type, {})[name] = value
        self._refresh()

    def _offered(self, node: Any) -> bool:
        if node.GetHideFromEditors() and not self._flags["showHidden"]:
            return False
        for name in self._types:
            children = self._flags["showChildNodeTypes"] and node.IsA(name)
            if node.GetClassName() != name and not children:
                continue
            wanted = self._attributes.get(name, {})
            return all(
                node.GetAttribute(key) is not None and value in {None, node.GetAttribute(key)}
                for key, value in wanted.items()
            )
        return False

    def _refresh(self) -> None:
        was_empty, before = not self._nodes, self._nodes
        scene = self._scene
        every = map(scene.GetNthNode, range(scene.GetNumberOfNodes())) if scene is not None else ()
        self._nodes = [node for node in every if self._offered(node)]
        blocked = self._box.blockSignals(True)
        self._box.clear()
        if self._flags["noneEnabled"]:
            self._box.addItem(self._none_text)
        self._box.addItems([node.GetName() or "" for node in self._nodes])
        self._box.blockSignals(blocked)
        self._select(self._current if self._current in self._nodes else self._fallback(was_empty))
        for node in self._nodes:
            if node not in before:
                self.nodeAdded.emit(node)

    def _fallback(self, was_empty: bool) -> Any:
        """Return the selection if the current node is no longer offered, or if there was none."""
        if self._flags["noneEnabled"] or not self._nodes:
            return None
        if self._current is not None:
            return self._nodes[-1]
        menu = any(self._flags[name] for name in ("addEnabled", "removeEnabled", "editEnabled", "renameEnabled"))
        return self._nodes[0] if was_empty and not menu else None

    # ---- The selected node

    def _select(self, node: Any) -> None:
        row = self._nodes.index(node) + self._flags["noneEnabled"] if node is not None else 0
        none_row = 0 if self._flags["noneEnabled"] else -1
        self._box.setCurrentIndex(none_row if node is None else row)
        if node is not self._current:
            self._current = node
            self.currentNodeChanged.emit(node)
            self.currentNodeValidChanged.emit(node is not None)
            self.currentNodeIDChanged.emit(node.GetID() if node is not None else "")

    def _activated(self, row: int) -> None:
        row -= self._flags["noneEnabled"]
        node = self._nodes[row] if row >= 0 else None
        self._select(node)
        self.nodeActivated.emit(node)

    def currentNode(self) -> Any:
        """Return the selected node, or None."""
        return self._current

    def setCurrentNode(self, node: Any) -> None:
        """Select a node; a node that is not offered selects None."""
        if self._scene is None:
            self._requested = node
        self._select(node if node in self._nodes else None)

    def setCurrentNodeID(self, node_id: str) -> None:
        """Select the node of this ID."""
        self.setCurrentNode(self._scene.GetNodeByID(node_id) if self._scene is not None and node_id else None)

    def _current_id(self) -> str:
        return self._current.GetID() if self._current is not None else ""

    currentNodeID = Property(str, _current_id, setCurrentNodeID)

    def nodeCount(self) -> int:
        """Return the number of offered nodes."""
        return len(self._nodes)

    def addNode(self, node_type: str = "") -> Any:
        """Create a node like the menu item "Create new ..."."""
        class_name = node_type or (self._types[0] if self._types else "")
        if self._scene is None or class_name not in self._types:
            return None
        name = self._base_name or class_name.removeprefix("vtkMRML").removesuffix("Node")
        node = self._scene.AddNewNodeByClass(class_name, self._scene.GenerateUniqueName(name))
        for key, value in self._attributes.get(class_name, {}).items():
            node.SetAttribute(key, value or "")
        if self._flags["selectNodeUponCreation"]:
            self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node


def _unobserve(observers: list[tuple[Any, int]], *_: object) -> None:
    for scene, tag in observers:
        scene.RemoveObserver(tag)
    observers.clear()


PRESENT = (qMRMLNodeComboBox, qMRMLWidget)
