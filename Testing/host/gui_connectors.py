"""Stand-in for the widgets of slicer.parameterNodeWrapper: synchronization of parameters and widgets.

The pairs of widget and type are Slicer's; other pairs are refused, as in Slicer.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

import ctk
import qt
import slicer

from host import parameter_types as types
from host.parameter_types import first, is_node_class, split


class Connector:
    """Reads, writes and observes one widget, as implemented by subclasses."""

    signal = ""

    def __init__(self, widget: Any, datatype: Any) -> None:
        self.widget = widget
        self.plain, self.annotations = split(datatype)
        self._changed: Callable[[], None] | None = None
        self.prepare()

    def prepare(self) -> None:
        """Apply the annotations to the widget."""

    def read(self) -> Any:
        """Return the value of the widget."""
        return getattr(self.widget, self.attribute)

    def write(self, value: Any) -> None:
        """Show a value."""
        if value != getattr(self.widget, self.attribute):
            setattr(self.widget, self.attribute, value)

    attribute = ""

    def watch(self, changed: Callable[[], None]) -> None:
        """Call `changed` whenever the user changes the widget."""
        if self.signal:
            self._changed = changed
            getattr(self.widget, self.signal).connect(changed)

    def release(self) -> None:
        """Stop watching."""
        if self._changed is not None:
            getattr(self.widget, self.signal).disconnect(self._changed)
            self._changed = None


class _Checked(Connector):
    signal, attribute = "toggled", "checked"

    def prepare(self) -> None:
        if not self.widget.checkable:
            self.widget.checkable = True


class _Text(Connector):
    signal, attribute = "textChanged", "text"


class _Label(Connector):
    attribute = "text"


class _Number(Connector):
    signal, attribute = "valueChanged", "value"

    def prepare(self) -> None:
        limits = first(self.annotations, types.WithinRange)
        if type(self.widget) is ctk.ctkSliderWidget and limits is None:
            msg = f"Cannot have a connection to {self.widget.className()} where the type is unbounded."
            raise RuntimeError(msg)
        unlimited = 2**31 - 1
        self.widget.minimum = limits.minimum if limits is not None else -unlimited
        self.widget.maximum = limits.maximum if limits is not None else unlimited

    def read(self) -> Any:
        return self.plain(self.widget.value)


class _Combo(Connector):
    """A combo box with one item per member of an Enum."""

    signal = "currentIndexChanged"

    def prepare(self) -> None:
        self._values = list(self.plain)
        self.widget.clear()
        self.widget.addItems([member.label() if hasattr(member, "label") else member.name for member in self._values])

    def read(self) -> Any:
        return self._values[self.widget.currentIndex]

    def write(self, value: Any) -> None:
        self.widget.currentIndex = self._values.index(value)


class _Node(Connector):
    signal = "currentNodeChanged"

    def prepare(self) -> None:
        self.widget.nodeTypes = [self.plain.__name__]

    def read(self) -> Any:
        return self.widget.currentNode()

    def write(self, value: Any) -> None:
        self.widget.setCurrentNode(value)


def connector_for(widget: Any, datatype: Any) -> Connector:
    """Return the connector between a parameter of a type and a widget.

    Raises:
        RuntimeError: If Slicer has no connection between the two.
    """
    plain = split(datatype)[0]
    member = isinstance(plain, type) and issubclass(plain, enum.Enum)
    pairs: list[tuple[type[Connector], bool, tuple[Any, ...]]] = [
        (_Checked, plain is bool, (qt.QCheckBox, qt.QPushButton)),
        (_Number, plain is int, (qt.QSpinBox,)),
        (_Number, plain in {int, float}, (qt.QDoubleSpinBox, ctk.ctkSliderWidget)),
        (_Combo, member, (qt.QComboBox,)),
        (_Text, plain is str, (qt.QLineEdit,)),
        (_Label, plain is str, (qt.QLabel,)),
        (_Node, is_node_class(plain), (slicer.qMRMLNodeComboBox,)),
    ]
    for connector, fits, widgets in pairs:
        if fits and type(widget) in widgets:
            return connector(widget, datatype)
    msg = f"Unable to create GUI connector from datatype '{datatype}' to widget type '{type(widget)}'."
    raise RuntimeError(msg)
