"""Reads .ui files: a QUiLoader with the widgets of CTK and Slicer.

Connections of type `vtkMRMLScene*` or `vtkMRMLNode*` are not possible between PySide classes; those in the file are
removed from the XML and made here.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

from PySide6 import QtCore, QtUiTools, QtWidgets

from host import ctk_widgets, node_widgets
from host.records import records

CUSTOM = {widget.__name__: widget for widget in (*ctk_widgets.PRESENT, *node_widgets.PRESENT)}


class QUiLoader(QtUiTools.QUiLoader):
    """Loads a widget from a .ui file."""

    def load(self, source: Any, parent: QtWidgets.QWidget | None = None) -> QtWidgets.QWidget:
        """Load the widget described by an open QFile (or a path)."""
        if isinstance(source, str):
            source = QtCore.QFile(source)
        if not source.isOpen():
            source.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        root = ET.fromstring(bytes(source.readAll().data()))
        mrml = _take_mrml_connections(root)
        _refuse_unknown_widgets(root)
        buffer = QtCore.QBuffer()
        buffer.setData(ET.tostring(root))
        buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        widget = super().load(buffer, parent)
        named = {child.objectName(): child for child in (widget, *widget.findChildren(QtCore.QObject))}
        for sender, signal, receiver, slot in mrml:
            if sender not in named or receiver not in named:
                records.bad_connections.append(f"{sender}.{signal} to {receiver}.{slot} in the .ui file")
                continue
            getattr(named[sender], signal.split("(")[0]).connect(getattr(named[receiver], slot.split("(")[0]))
        return widget

    def createWidget(
        self, class_name: str, parent: QtWidgets.QWidget | None = None, name: str = ""
    ) -> QtWidgets.QWidget:
        """Create one widget of the file."""
        if class_name not in CUSTOM:
            return super().createWidget(class_name, parent, name)
        widget = CUSTOM[class_name](parent)
        widget.setObjectName(name)
        return widget


def _take_mrml_connections(root: ET.Element) -> list[tuple[str, str, str, str]]:
    """Remove the connections with arguments of MRML types, and return them."""
    taken = []
    for connections in root.iter("connections"):
        for entry in list(connections):
            fields = [entry.findtext(field, "") for field in ("sender", "signal", "receiver", "slot")]
            if "vtkMRML" in fields[1] or "vtkMRML" in fields[3]:
                connections.remove(entry)
                taken.append((fields[0], fields[1], fields[2], fields[3]))
    return taken


def _refuse_unknown_widgets(root: ET.Element) -> None:
    """Qt would show an unknown widget as its base class, and Slicer would show nothing."""
    used = {widget.get("class", "") for widget in root.iter("widget")}
    unknown = [name for name in used if name not in CUSTOM and not hasattr(QtWidgets, name) and name != "Line"]
    if unknown:
        names = ", ".join(sorted(unknown))
        msg = f"The .ui file uses {names}, which the test host does not have: see host.loader.CUSTOM."
        raise RuntimeError(msg)
