"""The modules `qt` and `ctk`, and the widgets in `slicer`, with every class wrapped by `host.pythonqt`."""

from __future__ import annotations

import types
from typing import Any

import shiboken6
from PySide6 import QtCore, QtGui, QtNetwork, QtWidgets

from host import ctk_widgets, loader, node_widgets
from host.pythonqt import Wrapper, class_for
from host.qt6_only import CLASSES

_LIBRARIES = (QtCore, QtGui, QtWidgets, QtNetwork)
_OWN = {"QUiLoader": loader.QUiLoader}


class _QtModule(types.ModuleType):
    """Module `qt`, which wraps a class on first use."""

    def __getattr__(self, name: str) -> Any:
        found = _OWN.get(name) or next((getattr(part, name) for part in _LIBRARIES if hasattr(part, name)), None)
        is_class = isinstance(found, type) and issubclass(found, shiboken6.Object)
        if not is_class or name in CLASSES:
            msg = f"module 'qt' has no attribute '{name}'"
            raise AttributeError(msg)
        setattr(self, name, class_for(found))
        return self.__dict__[name]


def qt_module() -> types.ModuleType:
    """Create the module `qt`."""
    return _QtModule("qt", "Qt as PythonQt shows it, made by the test host.")


class _CtkModule(types.ModuleType):
    """Module `ctk`: a widget that the host lacks can be named, as Slicer's own files do, but not created."""

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("ctk"):
            msg = f"module 'ctk' has no attribute '{name}'"
            raise AttributeError(msg)
        return _absent(name)


def ctk_module() -> types.ModuleType:
    """Create the module `ctk`."""
    module = _CtkModule("ctk", "The widgets of CTK that the test host has.")
    fill(module, ctk_widgets.PRESENT)
    return module


def fill_slicer(module: types.ModuleType) -> None:
    """Put the widgets that use the scene into `slicer`, together with those that Slicer's own files name."""
    fill(module, node_widgets.PRESENT)
    for name in ("qMRMLRangeWidget", "qMRMLSliderWidget", "qMRMLSpinBox"):
        setattr(module, name, _absent(name))


def fill(module: types.ModuleType, present: tuple[type, ...]) -> None:
    """Put wrapped widget classes into a module."""
    for native in present:
        setattr(module, native.__name__, class_for(native))


def _absent(name: str) -> type:
    def refuse(*_: object) -> None:
        msg = f"The test host has no {name}. Use another widget, or add it to the host."
        raise RuntimeError(msg)

    return type(name, (Wrapper,), {"__init__": refuse})
