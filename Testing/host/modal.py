"""Dialogs that would wait for a user: they return immediately, or raise an error if there is no answer.

A test queues the answers of the user with `Host.answer`; a dialog without an answer raises, so that tests never hang.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6 import QtGui, QtWidgets

from host.records import Message, records

_STATIC = {
    QtWidgets.QMessageBox: {"about", "aboutQt", "critical", "information", "question", "warning"},
    QtWidgets.QFileDialog: {
        "getExistingDirectory",
        "getOpenFileName",
        "getOpenFileNames",
        "getSaveFileName",
    },
    QtWidgets.QInputDialog: {"getDouble", "getInt", "getItem", "getMultiLineText", "getText"},
    QtWidgets.QColorDialog: {"getColor"},
}


def instead_of(native: type, name: str) -> Callable[..., Any] | None:
    """Return the replacement of a method that would wait for a user, or leave the application."""
    for owner, names in _STATIC.items():
        if issubclass(native, owner) and name in names:
            return lambda *arguments: next_answer(f"{native.__name__}.{name}", _texts(arguments))
    if name == "exec" and issubclass(native, QtWidgets.QDialog | QtWidgets.QMenu):
        return _run_dialog
    if issubclass(native, QtGui.QDesktopServices) and name == "openUrl":
        return _open_url
    return None


def next_answer(asked: str, text: str, *, default: Any = None, kind: str = "dialog") -> Any:
    """Record a question and return its queued answer.

    Raises:
        RuntimeError: If no answer is queued, and there is no default.
    """
    records.messages.append(Message(kind, text, asked))
    if records.answers:
        return records.answers.popleft()
    if default is not None:
        return default
    msg = f"{asked} would wait for a user: {text!r}. Queue what the user answers with host.answer(value)."
    raise RuntimeError(msg)


def _texts(arguments: tuple[object, ...]) -> str:
    return " | ".join(argument for argument in arguments if isinstance(argument, str))


def _run_dialog(dialog: QtWidgets.QWidget) -> Any:
    text = dialog.text() if isinstance(dialog, QtWidgets.QMessageBox) else ""
    return next_answer(f"{type(dialog).__name__}.exec", text or dialog.windowTitle())


def _open_url(*arguments: Any) -> bool:
    records.messages.append(Message("url", arguments[-1].toString()))
    return True
