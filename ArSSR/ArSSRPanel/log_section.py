"""The section of the panel that tells what happened; it names no patient, so that it can be sent with a question."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import slicer


class LogSection:
    """Shows what happened since the module was opened.

    Args:
        ui: The widgets of the panel.
    """

    def __init__(self, ui: Any) -> None:
        """Connect the widgets of the section."""
        self._ui = ui
        ui.copyLogButton.clicked.connect(self._onCopy)
        ui.clearLogButton.clicked.connect(self._onClear)

    def add(self, message: str) -> None:
        """Add a line."""
        self._ui.logTextEdit.appendPlainText(f"{datetime.now():%H:%M:%S}  {message}")

    def _onCopy(self, checked: bool = False) -> None:
        slicer.app.clipboard().setText(self._ui.logTextEdit.plainText)

    def _onClear(self, checked: bool = False) -> None:
        self._ui.logTextEdit.clear()
