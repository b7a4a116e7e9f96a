"""Stand-in for slicer.parameterNodeWrapper: typed attributes of a parameter node, synchronized with widgets."""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any

import qt
import vtk

from host.gui_connectors import connector_for
from host.parameter_types import (
    Default,
    IsInstance,
    NotNone,
    Parameter,
    Validator,
    WithinRange,
)

__all__ = [
    "Default",
    "IsInstance",
    "NotNone",
    "SlicerParameterNamePropertyName",
    "Validator",
    "WithinRange",
    "parameterNodeWrapper",
]

SlicerParameterNamePropertyName = "SlicerParameterName"


class _Wrapped:
    """The members that `parameterNodeWrapper` adds to a class."""

    allParameters: typing.ClassVar[dict[str, Parameter]]

    def __init__(self, parameterNode: Any) -> None:
        self.parameterNode = parameterNode
        self._connections: dict[int, tuple[dict[str, Any], int]] = {}
        self._next_tag = 0
        self._showing = False
        for parameter in self.allParameters.values():
            if not parameter.is_in(parameterNode):
                parameter.write(parameterNode, parameter.default)

    def getValue(self, name: str) -> Any:
        """Return the value of a parameter."""
        return self._parameter(name).read(self.parameterNode)

    def setValue(self, name: str, value: Any) -> None:
        """Set the value of a parameter."""
        self._parameter(name).write(self.parameterNode, value)

    @classmethod
    def dataType(cls, name: str) -> Any:
        """Return the type of a parameter, with its annotations."""
        return cls._parameter(name).datatype

    @classmethod
    def _parameter(cls, name: str) -> Parameter:
        if name not in cls.allParameters:
            msg = f"Cannot find a param with the given name: {name}. Found parameters {list(cls.allParameters)}"
            raise ValueError(msg)
        return cls.allParameters[name]

    # ---- Widgets

    def connectGui(self, gui: Any) -> int:
        """Connect every widget with the property SlicerParameterName to the parameter of that name."""
        widgets = gui.findChildren(qt.QWidget) if hasattr(gui, "isWidgetType") else vars(gui).values()
        named = {widget.property(SlicerParameterNamePropertyName): widget for widget in widgets}
        return self.connectParametersToGui({name: widget for name, widget in named.items() if name})

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        """Connect parameters to widgets; the widgets show the parameters immediately."""
        connectors = {name: connector_for(widget, self.dataType(name)) for name, widget in mapping.items()}
        for name, connector in connectors.items():
            connector.write(self.getValue(name))
            connector.watch(self._follow(name, connector))
        tag = self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._show())
        self._next_tag += 1
        self._connections[self._next_tag] = (connectors, tag)
        return self._next_tag

    def disconnectGui(self, tag: int) -> None:
        """Undo `connectGui`."""
        connectors, observer = self._connections.pop(tag, ({}, None))
        for connector in connectors.values():
            connector.release()
        if observer is not None:
            self.RemoveObserver(observer)

    def _follow(self, name: str, connector: Any) -> Callable[[], None]:
        def follow() -> None:
            if not self._showing:
                self.setValue(name, connector.read())

        return follow

    def _show(self) -> None:
        if self._showing:
            return
        self._showing = True
        try:
            for connectors, _ in list(self._connections.values()):
                for name, connector in connectors.items():
                    connector.write(self.getValue(name))
        finally:
            self._showing = False

    # ---- The node itself

    def StartModify(self) -> int:
        """Hold back the events of the node."""
        return int(self.parameterNode.StartModify())

    def EndModify(self, wasModified: int) -> None:
        """Send the held events of the node."""
        self.parameterNode.EndModify(wasModified)

    def AddObserver(self, event: Any, callback: Any, priority: float = 0.0) -> int:
        """Observe the node."""
        return int(self.parameterNode.AddObserver(event, callback, priority))

    def RemoveObserver(self, tag: int) -> None:
        """Stop observing the node."""
        self.parameterNode.RemoveObserver(tag)

    def Modified(self) -> None:
        """Notify the observers of the node."""
        self.parameterNode.Modified()


def _attribute(parameter: Parameter) -> property:
    def read(self: _Wrapped) -> Any:
        return parameter.read(self.parameterNode)

    def write(self: _Wrapped, value: Any) -> None:
        parameter.write(self.parameterNode, value)

    return property(read, write)


def parameterNodeWrapper(classtype: type | None = None) -> Any:
    """Convert a class with annotated attributes to a wrapper of a parameter node."""
    if classtype is None:
        return parameterNodeWrapper
    parameters = {}
    for name, datatype in typing.get_type_hints(classtype, include_extras=True).items():
        if hasattr(_Wrapped, name):
            msg = f"Cannot use reserved name '{name}' in a parameterNodeWrapper"
            raise ValueError(msg)
        default = Default(getattr(classtype, name)) if hasattr(classtype, name) else None
        parameters[name] = Parameter(name, datatype, default)
    attributes = {name: _attribute(parameter) for name, parameter in parameters.items()}
    about = {"allParameters": parameters, "__module__": classtype.__module__, "__doc__": classtype.__doc__}
    return type(classtype.__name__, (_Wrapped, classtype), {**attributes, **about})
