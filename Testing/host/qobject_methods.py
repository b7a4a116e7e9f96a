"""Methods of every QObject that PythonQt implements itself, because they differ in C++.

The behavior follows PythonQt's PythonQtStdDecorators.cpp.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from PySide6 import QtCore

from host import signals
from host.values import wrap


def _connect(native: QtCore.QObject, signature: str, *receiver: Any) -> bool:
    signal = signals.by_signature(native, signature)
    if signal is None:
        return False
    if len(receiver) == 1:
        return signal.connect(receiver[0])
    target, slot = receiver[:2]
    return signal.connect(getattr(wrap(target), slot[: slot.find("(")]))


def _disconnect(native: QtCore.QObject, signature: str, *function: Any) -> bool:
    signal = signals.by_signature(native, signature)
    return signal is not None and signal.disconnect(*function)


def _descendants(native: QtCore.QObject) -> Iterator[QtCore.QObject]:
    for child in native.children():
        yield child
        yield from _descendants(child)


def _find_children(native: QtCore.QObject, kind: Any, name: str | None = None) -> list[QtCore.QObject]:
    found = []
    for child in _descendants(native):
        fits = child.inherits(kind) if isinstance(kind, str) else isinstance(child, _native_of(kind))
        if fits and name in {None, child.objectName()}:
            found.append(child)
    return found


def _native_of(kind: Any) -> type:
    return getattr(kind, "_native_class", kind) if isinstance(kind, type) else type(kind)


def _find_child(native: QtCore.QObject, kind: Any, name: str | None = None) -> QtCore.QObject | None:
    return next(iter(_find_children(native, kind, name)), None)


def _property(native: QtCore.QObject, name: str) -> Any:
    return QtCore.QObject.property(native, name)


METHODS = {
    "connect": _connect,
    "disconnect": _disconnect,
    "findChild": _find_child,
    "findChildren": _find_children,
    "property": _property,
    "emit": signals.emit_by_name,
}
