# ruff: noqa: N801  the names are Slicer's
"""`slicer.app`: the application object, its settings and its main window."""

from __future__ import annotations

import logging
from typing import Any

import slicer
from PySide6 import QtCore, QtWidgets
from PySide6.QtCore import Property, Signal

from host.layout import qSlicerLayoutManager
from host.modules import qSlicerModuleManager
from host.records import Message, records


class qSlicerCommandOptions(QtCore.QObject):
    """What the application was started with: tests run, no window is wanted."""

    noMainWindow = Property(bool, lambda _: True)
    isTestingEnabled = Property(bool, lambda _: True)


class ModuleSelector(QtCore.QObject):
    """The list of modules at the top of the main window."""

    moduleSelected = Signal(str)

    def __init__(self, parent: QtCore.QObject) -> None:
        super().__init__(parent)
        self._selected = ""

    def selectModule(self, name: str) -> None:
        """Show a module."""
        self._selected = name
        self.moduleSelected.emit(name)

    selectedModule = Property(str, lambda self: self._selected, selectModule)


class qSlicerMainWindow(QtWidgets.QMainWindow):
    """The main window, never shown: it has a status bar and the list of modules."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self._selector = ModuleSelector(self)
        self.statusBar().messageChanged.connect(self._status)

    def _status(self, text: str) -> None:
        if text:
            records.messages.append(Message("status", text))

    def moduleSelector(self) -> ModuleSelector:
        """Return the list of modules."""
        return self._selector


class qSlicerApplication(QtWidgets.QApplication):
    """The application, in testing mode."""

    startupCompleted = Signal()

    def __init__(self, temporary: str) -> None:
        super().__init__(["ArSSR test host"])
        self.setApplicationName("Slicer")
        self.setOrganizationName("ArSSR test host")
        self._temporary = temporary
        settings = QtCore.QSettings.Format.IniFormat
        QtCore.QSettings.setDefaultFormat(settings)
        QtCore.QSettings.setPath(settings, QtCore.QSettings.Scope.UserScope, f"{temporary}/settings")
        self._settings = QtCore.QSettings()
        self._layout_manager = qSlicerLayoutManager(self)
        self._module_manager = qSlicerModuleManager(self)
        self._options = qSlicerCommandOptions(self)
        self._window = qSlicerMainWindow()
        self._logic: Any = None
        self._testing = True

    # ---- Scene

    def mrmlScene(self) -> Any:
        """Return the scene."""
        return slicer.mrmlScene

    def applicationLogic(self) -> Any:
        """Return the vtkSlicerApplicationLogic of the scene."""
        return self._logic

    def moduleLogic(self, name: str) -> Any:
        """Return the logic of a module."""
        return self._logic.GetModuleLogic(name)

    # ---- Parts

    def layoutManager(self) -> qSlicerLayoutManager:
        """Return what knows the views."""
        return self._layout_manager

    def moduleManager(self) -> qSlicerModuleManager:
        """Return what knows the modules."""
        return self._module_manager

    def commandOptions(self) -> qSlicerCommandOptions:
        """Return the command line."""
        return self._options

    def userSettings(self) -> QtCore.QSettings:
        """Return the settings of the user, in a file that is deleted with the process."""
        return self._settings

    settings = revisionUserSettings = userSettings

    def startupEnvironment(self) -> QtCore.QProcessEnvironment:
        """Return the environment for programs other than Slicer's."""
        return QtCore.QProcessEnvironment.systemEnvironment()

    environment = startupEnvironment

    # ---- Behavior

    def isInTesting(self) -> bool:
        """Tell that message boxes must only log."""
        return self._testing

    testingEnabled = isInTesting

    @staticmethod
    def translate(_context: str, text: str, *_: object) -> str:
        """Return the text: the host speaks English."""
        return text

    def pauseRender(self) -> None:
        """Do nothing: there is nothing to draw."""

    resumeRender = pauseRender

    def restart(self) -> None:
        """Only note that a restart was asked for."""
        records.messages.append(Message("box", "restart"))
        logging.info("The application would restart now.")

    def _set_temporary(self, path: str) -> None:
        self._temporary = path

    temporaryPath = Property(str, lambda self: self._temporary, _set_temporary)
    slicerHome = Property(str, lambda self: self._temporary)
    documentationBaseUrl = Property(str, lambda _: "https://slicer.readthedocs.io/en/latest/")
    isInstalled = Property(bool, lambda _: True)
    majorVersion = Property(int, lambda _: 5)
    minorVersion = Property(int, lambda _: 12)
    revision = Property(str, lambda _: "34000")
