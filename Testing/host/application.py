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


class qSlicerMainWindow(QtWidgets.QMainWindow):
    """The main window, which is never shown: it has a status bar and the list of modules."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self.statusBar().messageChanged.connect(self._status)

    def _status(self, text: str) -> None:
        if text:
            records.messages.append(Message("status", text))


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

    # ---- Parts

    def layoutManager(self) -> qSlicerLayoutManager:
        """Return the manager of the views."""
        return self._layout_manager

    def moduleManager(self) -> qSlicerModuleManager:
        """Return the manager of the modules."""
        return self._module_manager

    def userSettings(self) -> QtCore.QSettings:
        """Return the settings of the user, in a file that is deleted with the process."""
        return self._settings

    settings = revisionUserSettings = userSettings

    # ---- Behavior

    def isInTesting(self) -> bool:
        """Return that message boxes only log."""
        return self._testing

    testingEnabled = isInTesting

    @staticmethod
    def translate(_context: str, text: str, *_: object) -> str:
        """Return the text: the host speaks English."""
        return text

    def restart(self) -> None:
        """Only record that a restart was requested."""
        records.messages.append(Message("box", "restart"))
        logging.info("The application would restart now.")

    def _set_temporary(self, path: str) -> None:
        self._temporary = path

    temporaryPath = Property(str, lambda self: self._temporary, _set_temporary)
    documentationBaseUrl = Property(str, lambda _: "https://slicer.readthedocs.io/en/latest/")
    revision = Property(str, lambda _: "34000")
