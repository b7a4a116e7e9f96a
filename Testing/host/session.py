"""The running host: completes `slicer`, manages the scene, loads modules, runs the event loop."""

from __future__ import annotations

import atexit
import importlib
import sys
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from host import core

core.import_slicer()

import shiboken6  # noqa: E402
import slicer  # noqa: E402  slicer-core, imported above without our folder of that name
from PySide6 import QtCore, QtWidgets  # noqa: E402

from host import hierarchy, modules, qt_modules, rendering, slices  # noqa: E402
from host.application import qSlicerApplication  # noqa: E402
from host.pythonqt import class_for  # noqa: E402
from host.records import Message, records  # noqa: E402
from host.values import unwrap, wrap  # noqa: E402

# Names in `slicer`, and the corresponding stand-ins.
_PYTHON_LAYER = {
    "i18n": "host.i18n",
    "packaging": "host.packaging",
    "ScriptedLoadableModule": "host.scripted_loadable_module",
    "parameterNodeWrapper": "host.parameter_node",
}
_HARMLESS = ("This plugin does not support", "QFont::", "Cannot create window")


class Host:
    """A Slicer without a screen, one per process: see `host.boot`."""

    render = staticmethod(rendering.render)
    slice_image = staticmethod(slices.slice_image)
    view_image = staticmethod(slices.view_image)

    def __init__(self) -> None:
        self.records = records
        self._imports: dict[str, dict[str, types.ModuleType]] = {}  # before a module was loaded
        self._folder = tempfile.TemporaryDirectory(prefix="arssr-host-")
        # Slicer's color logic reports an error if its folder of color files is missing.
        (Path(self._folder.name) / "share" / "ColorFiles").mkdir(parents=True)
        QtCore.qInstallMessageHandler(_qt_message)
        self._application = qSlicerApplication(self._folder.name)
        rendering.dress(self._application)
        self._complete_slicer()
        self._import_python_layer()
        self._watch_displays()
        atexit.register(self._shut_down)
        self.newScene()

    def _complete_slicer(self) -> None:
        sys.modules["qt"], sys.modules["ctk"] = qt_modules.qt_module(), qt_modules.ctk_module()
        qt_modules.fill_slicer(slicer)
        for name in ("modules", "moduleNames"):
            module = types.ModuleType(f"slicer.{name}")
            setattr(slicer, name, module)
            sys.modules[f"slicer.{name}"] = module
        slicer.qSlicerScriptedLoadableModule = class_for(modules.qSlicerScriptedLoadableModule)
        slicer.qSlicerScriptedLoadableModuleWidget = class_for(modules.qSlicerScriptedLoadableModuleWidget)
        slicer.app = wrap(self._application)
        slicer.mrmlScene = None
        for name, module in self._application.moduleManager().known.items():
            setattr(slicer.modules, name.lower(), wrap(module))

    def _import_python_layer(self) -> None:
        source = core.slicer_source()
        if source is not None:
            slicer.__path__.append(str(source))
        for name, room in _PYTHON_LAYER.items():
            module = importlib.import_module(f"slicer.{name}" if source is not None else room)
            sys.modules[f"slicer.{name}"] = module
            setattr(slicer, name, module)
        if source is not None:
            importlib.import_module("host.packaging").replace_installers(slicer.packaging)
        sys.modules["SampleData"] = importlib.import_module("host.sample_data")

    def _watch_displays(self) -> None:
        """Record messages of slicer.util; a confirmation returns the queued answer of the test, or yes."""
        kinds = {"infoDisplay": "info", "warningDisplay": "warning", "errorDisplay": "error", "messageBox": "box"}
        for name, kind in kinds.items():
            setattr(slicer.util, name, _recorded(getattr(slicer.util, name), kind))
        for name in ("confirmOkCancelDisplay", "confirmYesNoDisplay", "confirmRetryCloseDisplay"):
            setattr(slicer.util, name, _confirmed(getattr(slicer.util, name)))

    # ---- Scene

    def newScene(self) -> Any:
        """Replace the scene by a new one with color nodes, slice views and the logics of slicer-core."""
        self.releaseScene()
        scene = slicer.vtkMRMLScene()
        logic = slicer.vtkSlicerApplicationLogic()
        logic.SetMRMLScene(scene)
        logic.SetTemporaryPath(self._folder.name)
        logic.SetHomeDirectory(self._folder.name)
        logic.SetShareDirectory("share")
        logic.GetColorLogic().SetMRMLApplicationLogic(logic)
        logic.GetColorLogic().SetMRMLScene(scene)
        logic.GetColorLogic().AddDefaultColorNodes()
        slicer.mrmlScene = scene
        self._application._logic = logic
        slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
        hierarchy.keep_items(scene)
        for module in self._application.moduleManager().findChildren(modules.qSlicerCoreModule):
            module.observe(logic)
        self._application.layoutManager().observe(logic)
        crosshair = slicer.vtkMRMLCrosshairNode()
        crosshair.SetCrosshairName("default")
        crosshair.SetSingletonTag("default")
        scene.AddNode(crosshair)  # created by displayable managers in Slicer
        scene.SetUndoOn()
        return scene

    def releaseScene(self) -> None:
        """Release the scene and everything that observes it."""
        if slicer.mrmlScene is None:
            return
        self._application.layoutManager().release()
        for module in self._application.moduleManager().findChildren(modules.qSlicerCoreModule):
            module.observe(None)
        slicer.mrmlScene.Clear(1)
        self._application._logic.SetMRMLScene(None)
        self._application._logic = None
        slicer.mrmlScene = None

    def closeScene(self) -> None:
        """Close the scene like the menu File."""
        slicer.mrmlScene.Clear(0)

    # ---- Modules

    def loadModule(self, path: str | Path) -> types.ModuleType:
        """Load a scripted module like Slicer's factory, and return its Python module."""
        name = Path(path).stem
        self._imports.setdefault(name, dict(sys.modules))
        manager = self._application.moduleManager()
        module = modules.qSlicerScriptedLoadableModule(manager)
        module.setPythonSource(str(path))
        manager.known[name] = module
        manager.moduleLoaded.emit(name)
        return sys.modules[name]

    def makeWidget(self, module: str | types.ModuleType) -> Any:
        """Return the widget of a loaded module, set up and entered."""
        name = module if isinstance(module, str) else module.__name__
        representation = self._application.moduleManager().module(name).widgetRepresentation()
        # Slicer shows the panel, so `visible` of its widgets is what users see.
        representation.setAttribute(QtCore.Qt.WidgetAttribute.WA_DontShowOnScreen)
        representation.show()
        representation.enter()
        return representation.self()

    def closeWidget(self, module: str | types.ModuleType) -> None:
        """Leave a module and delete its widget, as Slicer does at exit; its observers must be gone."""
        name = module if isinstance(module, str) else module.__name__
        manager = self._application.moduleManager()
        representation = manager.module(name)._widget
        if representation is None:
            return
        widget = representation.self()
        representation.exit()
        manager.moduleAboutToBeUnloaded.emit(name)
        for observation in getattr(widget, "Observations", ()):
            records.slot_failed(AssertionError(f"{name}Widget.cleanup() left an observer: {observation[1:3]}"))
        representation.forget_self()
        manager.module(name).forget_widget()
        slicer.modules.__dict__.pop(f"{name}Widget", None)
        shiboken6.delete(representation)

    def unloadModule(self, module: str | types.ModuleType) -> None:
        """Remove a module completely."""
        name = module if isinstance(module, str) else module.__name__
        self.closeWidget(name)
        native = self._application.moduleManager().known.pop(name)
        for attribute in (name.lower(), f"{name}Instance"):
            slicer.modules.__dict__.pop(attribute, None)
        slicer.moduleNames.__dict__.pop(name, None)
        slicer.__dict__.get("selfTests", {}).pop(name, None)
        sys.modules.pop(name, None)
        modules.restore_imports(self._imports.pop(name))
        shiboken6.delete(native)

    # ---- Events, and what a user does

    def process_events(self, seconds: float = 0.0) -> None:
        """Run the event loop, once or for a while."""
        end = time.monotonic() + seconds
        self._application.processEvents()
        while time.monotonic() < end:
            self._application.processEvents(QtCore.QEventLoop.ProcessEventsFlag.AllEvents, 10)
        self._application.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete.value)

    def wait_until(self, condition: Callable[[], bool], timeout: float = 10.0) -> bool:
        """Run the event loop until a condition holds; return False if it does not within `timeout` seconds."""
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                return False
            self._application.processEvents(QtCore.QEventLoop.ProcessEventsFlag.AllEvents, 10)
            time.sleep(0.001)
        return True

    def click(self, button: Any) -> None:
        """Click like a user.

        Raises:
            AssertionError: If the button is disabled or hidden, so that no user could click it.
        """
        native = unwrap(button)
        if not native.isEnabled() or native.isHidden():
            state = "disabled" if not native.isEnabled() else "hidden"
            msg = f"The button {native.objectName() or native.text()!r} is {state}: a user cannot click it."
            raise AssertionError(msg)
        native.click()

    def answer(self, value: object) -> None:
        """Queue the user's answer to the next question or dialog."""
        records.answers.append(value)

    def _shut_down(self) -> None:
        """Delete everything in an order that Qt and VTK support."""
        for name in [name for name in self._application.moduleManager().known if name not in modules.CORE_LOGICS]:
            self.unloadModule(name)
        self.releaseScene()
        QtCore.qInstallMessageHandler(None)
        for widget in QtWidgets.QApplication.topLevelWidgets():
            if shiboken6.isValid(widget) and widget.parent() is None:  # lists of combo boxes are deleted with these
                shiboken6.delete(widget)
        self._folder.cleanup()


def _qt_message(kind: QtCore.QtMsgType, _: QtCore.QMessageLogContext, text: str) -> None:
    if text.startswith(_HARMLESS):
        return
    print(text, file=sys.stderr)
    if kind not in {QtCore.QtMsgType.QtDebugMsg, QtCore.QtMsgType.QtInfoMsg}:
        records.qt_warnings.append(text)


def _recorded(display: Callable[..., Any], kind: str) -> Callable[..., Any]:
    def show(text: str, *arguments: Any, **options: Any) -> Any:
        records.messages.append(Message(kind, text, str(options.get("windowTitle") or "")))
        return None if kind == "box" else display(text, *arguments, **options)

    return show


def _confirmed(display: Callable[..., Any]) -> Callable[..., Any]:
    def ask(text: str, *arguments: Any, **options: Any) -> Any:
        records.messages.append(Message("confirm", text, str(options.get("windowTitle") or "")))
        display(text, *arguments, **options)
        return records.answers.popleft() if records.answers else True

    return ask
