"""Signals and slots with the behavior of PythonQt.

A slot receives as many arguments as it accepts; its exceptions are printed and discarded (and recorded for the tests);
a nonexistent signal is printed, and `connect` returns False. The behavior follows PythonQt's PythonQtSignalReceiver.cpp
and PythonQtStdDecorators.cpp.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from typing import Any

import shiboken6
from PySide6 import QtCore

from host.records import records
from host.values import unwrap, unwrap_all, wrap

Slot = Callable[..., object]
# By address of the sender: name of the signal, the connected function, and the function that Qt calls.
_connections: dict[int, list[tuple[str, Slot, Slot]]] = {}


def guarded(function: Slot, limit: int | None = None) -> Slot:
    """Return the function that Qt calls instead of a Python function, without any exceptions.

    Args:
        function: Any callable.
        limit: Largest number of arguments in the signature of `connect`; all of them by default.
    """
    takes = _arguments_taken(function)

    @functools.wraps(function, updated=())
    def call(*arguments: object) -> object:
        count = min(n for n in (len(arguments), limit, takes) if n is not None)
        try:
            return unwrap(function(*wrap(list(arguments[:count]))))
        except Exception as error:
            records.slot_failed(error)
            return None

    del call.__wrapped__  # PySide would count the arguments of the function, not of this one
    return call


def _arguments_taken(function: Slot) -> int | None:
    """Count like PythonQt: parameters with a default count, only `*args` accepts all."""
    method = inspect.ismethod(function)
    plain = function.__func__ if method else function
    if not inspect.isfunction(plain) or plain.__code__.co_flags & inspect.CO_VARARGS:
        return None
    return plain.__code__.co_argcount - method


class BoundSignal:
    """`button.clicked`: connect, disconnect, emit, or call to emit."""

    def __init__(self, sender: QtCore.QObject, name: str, limit: int | None = None) -> None:
        self._sender, self._name, self._limit = sender, name, limit

    def _native(self) -> QtCore.SignalInstance:
        """Return PySide's signal, with all its arguments: `clicked` is `clicked(bool)`."""
        signal = getattr(self._sender, self._name)
        method = next(method for method in _signals_of(self._sender) if method.name() == self._name.encode())
        kinds = tuple(bytes(kind.data()).decode() for kind in method.parameterTypes())
        return signal[kinds if len(kinds) > 1 else kinds[0]] if kinds else signal

    def connect(self, function: Slot) -> bool:
        """Call `function` whenever the signal is emitted."""
        if not callable(function):
            msg = f"{self._name} can be connected to something callable only, got {function!r}."
            raise ValueError(msg)
        relay = guarded(function, self._limit)
        self._native().connect(relay)
        _remember(self._sender).append((self._name, function, relay))
        return True

    def disconnect(self, *functions: Slot) -> bool:
        """Undo one connection of `function`, or all connections; False if there was none."""
        mine = _remember(self._sender)
        found = [entry for entry in mine if entry[0] == self._name and (not functions or entry[1] == functions[0])]
        for entry in found[:1] if functions else found:
            self._native().disconnect(entry[2])
            mine.remove(entry)
        return bool(found)

    def emit(self, *arguments: object) -> None:
        """Emit the signal."""
        self._native().emit(*unwrap_all(arguments))

    __call__ = emit


def _remember(sender: QtCore.QObject) -> list[tuple[str, Slot, Slot]]:
    """Return the connections of a sender, which are removed with it."""
    address = shiboken6.getCppPointer(sender)[0]
    if address not in _connections:
        _connections[address] = []
        sender.destroyed.connect(functools.partial(_forget, address))
    return _connections[address]


def _forget(address: int, *_: object) -> None:
    _connections.pop(address, None)


def connection_count() -> int:
    """Return the number of active connections to Python."""
    return sum(len(entries) for entries in _connections.values())


def has_signal(native: QtCore.QObject, name: str) -> bool:
    """Return whether `name` is a signal of the object, regardless of its arguments."""
    return any(method.name() == name.encode() for method in _signals_of(native))


def _signals_of(native: QtCore.QObject) -> Iterator[QtCore.QMetaMethod]:
    meta = native.metaObject()
    methods = (meta.method(index) for index in range(meta.methodCount()))
    return (method for method in methods if method.methodType() == QtCore.QMetaMethod.MethodType.Signal)


def by_signature(native: QtCore.QObject, signature: str) -> BoundSignal | None:
    """Return the signal named by a text such as "clicked(bool)"; print an error and return None if there is none.

    A widget of the host with MRML nodes lists their C++ signatures in `mrml_signals`, because Python cannot declare a
    signal of type `vtkMRMLNode*`.
    """
    known = QtCore.QMetaObject.normalizedSignature(signature)
    known = known.data().decode() if isinstance(known, QtCore.QByteArray) else str(known)
    arguments = known[known.find("(") + 1 : -1]
    count = len(arguments.split(",")) if arguments else 0
    name = getattr(native, "mrml_signals", {}).get(known)
    if name is None and native.metaObject().indexOfSignal(known) >= 0:
        name = known[: known.find("(")]
    if name is not None:
        return BoundSignal(native, name, count)
    class_name = native.metaObject().className()
    print(f"PythonQt: QObject::connect() signal '{signature}' does not exist on {class_name}", file=sys.stderr)
    records.bad_connections.append(f"{class_name}.{signature}")
    return None


def emit_by_name(native: QtCore.QObject, signature: str, *arguments: Any) -> bool:
    """Emit the signal named by a text; return False if there is none."""
    signal = by_signature(native, signature)
    if signal is not None:
        signal.emit(*arguments)
    return signal is not None
