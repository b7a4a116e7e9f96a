# ruff: noqa: N801  the names are Slicer's
"""Modules of the application: the manager, scripted modules and modules with a C++ logic."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Property, Signal

from host.node_widgets import qMRMLWidget
from host.values import wrap

# Name of a module with a C++ logic in slicer-core, and the class of that logic.
CORE_LOGICS = {
    "Colors": "vtkSlicerColorLogic",
    "CropVolume": "vtkSlicerCropVolumeLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Models": "vtkSlicerModelsLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "Volumes": "vtkSlicerVolumesLogic",
}


def _field(kind: type | str, name: str) -> Property:
    def read(self: qSlicerScriptedLoadableModule) -> Any:
        return self._fields[name]

    def write(self: qSlicerScriptedLoadableModule, value: Any) -> None:
        self._fields[name] = value

    return Property(kind, read, write)


class qSlicerCoreModule(QtCore.QObject):
    """A module whose logic is C++."""

    def __init__(self, name: str, parent: QtCore.QObject | None = None) -> None:
        super().__init__(parent)
        self._name = name
        self._logic: Any = None

    def observe(self, application_logic: Any) -> None:
        """Set the logic of the module for a new scene, or remove it."""
        if self._logic is not None:
            self._logic.SetMRMLScene(None)
        self._logic = None
        if application_logic is not None:
            self._logic = getattr(slicer, CORE_LOGICS[self._name])()
            self._logic.SetMRMLApplicationLogic(application_logic)
            self._logic.SetMRMLScene(application_logic.GetMRMLScene())
            application_logic.SetModuleLogic(self._name, self._logic)

    def logic(self) -> Any:
        """Return the logic."""
        return self._logic

    name = Property(str, lambda self: self._name)


class qSlicerScriptedLoadableModule(QtCore.QObject):
    """A module written in Python, as the object that its class gets as `parent`."""

    def __init__(self, parent: QtCore.QObject | None = None) -> None:
        super().__init__(parent)
        self._path = ""
        self._widget: qSlicerScriptedLoadableModuleWidget | None = None
        self._fields: dict[str, Any] = {
            **dict.fromkeys(("title", "helpText", "acknowledgementText"), ""),
            **{name: [] for name in ("categories", "contributors", "dependencies", "associatedNodeTypes")},
            "icon": QtGui.QIcon(),
            "hidden": False,
            "index": -1,
        }

    def setPythonSource(self, path: str) -> None:
        """Import the file and create its class of the same name."""
        self._path = path
        name = self._module_name()
        self.setObjectName(name)
        python = import_file(name, path)
        setattr(slicer.modules, name.lower(), wrap(self))
        setattr(slicer.moduleNames, name, name)
        setattr(slicer.modules, f"{name}Instance", getattr(python, name)(wrap(self)))

    def _module_name(self) -> str:
        return Path(self._path).stem

    def logic(self) -> Any:
        """Return the C++ logic of every scripted module, which is empty, not the logic of the module itself."""
        return slicer.vtkSlicerScriptedLoadableModuleLogic()

    def widgetRepresentation(self) -> qSlicerScriptedLoadableModuleWidget | None:
        """Return the widget, created on first use."""
        if self._widget is None and hasattr(sys.modules[self._module_name()], f"{self._module_name()}Widget"):
            self._widget = self.createNewWidgetRepresentation()
        return self._widget

    def createNewWidgetRepresentation(self) -> qSlicerScriptedLoadableModuleWidget:
        """Return a new widget, set up."""
        widget = qSlicerScriptedLoadableModuleWidget()
        widget.setMRMLScene(slicer.mrmlScene)
        widget.setPythonSource(self._path)
        widget.setup()
        return widget

    def forget_widget(self) -> None:
        """Release the widget, which is deleted elsewhere."""
        self._widget = None

    title = _field(str, "title")
    helpText = _field(str, "helpText")
    acknowledgementText = _field(str, "acknowledgementText")
    categories = _field("QStringList", "categories")
    contributors = _field("QStringList", "contributors")
    dependencies = _field("QStringList", "dependencies")
    associatedNodeTypes = _field("QStringList", "associatedNodeTypes")
    icon = _field(QtGui.QIcon, "icon")
    hidden = _field(bool, "hidden")
    index = _field(int, "index")
    name = Property(str, _module_name)
    path = Property(str, lambda self: self._path)


class qSlicerScriptedLoadableModuleWidget(qMRMLWidget):
    """The page of a module in the module panel; Python's widget class gets it as `parent`."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        QtWidgets.QVBoxLayout(self)
        self._source, self._self, self._entered = "", None, False

    def setPythonSource(self, path: str) -> None:
        """Create the widget class of the file."""
        self._source = path
        name = f"{Path(path).stem}Widget"
        self._self = getattr(sys.modules[Path(path).stem], name)(wrap(self))
        setattr(slicer.modules, name, self._self)

    def setup(self) -> None:
        """Build the contents."""
        self._call("setup")

    def reload(self) -> None:
        """Create the widget class again, after its file was imported again."""
        self.setPythonSource(self._source)
        self.setup()

    def enter(self) -> None:
        """The user opens the module."""
        self._entered = True
        self._call("enter")

    def exit(self) -> None:
        """The user opens another module."""
        self._entered = False
        self._call("exit")

    def _call(self, name: str) -> None:
        if hasattr(self._self, name):
            getattr(self._self, name)()

    def self(self) -> Any:
        """Return the Python widget."""
        return self._self

    def forget_self(self) -> None:
        """Release the Python widget."""
        self._self = None

    moduleName = Property(str, lambda self: Path(self._source).stem)
    isEntered = Property(bool, lambda self: self._entered)


class qSlicerModuleManager(QtCore.QObject):
    """All modules."""

    moduleAboutToBeUnloaded = Signal(str)
    moduleLoaded = Signal(str)

    def __init__(self, parent: QtCore.QObject | None = None) -> None:
        super().__init__(parent)
        self.known: dict[str, QtCore.QObject] = {name: qSlicerCoreModule(name, self) for name in CORE_LOGICS}

    def module(self, name: str) -> QtCore.QObject | None:
        """Return a module by its name, or None."""
        return self.known.get(name)


def restore_imports(before: dict[str, Any]) -> None:
    """Undo the effect of reloading a module on the packages it uses, because tests refer to the original classes."""
    replaced = {name for name, module in before.items() if sys.modules.get(name) is not module}
    packages = {name.partition(".")[0] for name in replaced}
    for name in [name for name in sys.modules if name.partition(".")[0] in packages and name not in before]:
        del sys.modules[name]
    sys.modules.update({name: before[name] for name in replaced})


def import_file(name: str, path: str) -> Any:
    """Import a module's file under its own name; its folder joins sys.path, as in Slicer."""
    folder = str(Path(path).parent)
    if folder not in sys.path:
        sys.path.append(folder)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        msg = f"{path} is no Python file."
        raise ImportError(msg)
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
