"""Conversion of values between Qt and Python, as in PythonQt.

Lists become tuples, enums become numbers, objects become wrappers (see `host.pythonqt`); in the other direction,
numpy's scalars become numbers. The behavior follows PythonQt's PythonQtConversion.cpp.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import shiboken6

WHOLE = frozenset({"int", "uint", "short", "ushort", "long", "ulong", "qlonglong", "qulonglong"})
REAL = frozenset({"double", "float"})


def _unchanged(native: shiboken6.Object) -> object:
    return native


# Replaced by host.pythonqt, which has the classes.
wrap_object: Callable[[shiboken6.Object], object] = _unchanged


class EnumValue(int):
    """A value of a Qt enum: a number, as in PythonQt, that keeps its name."""

    native: enum.Enum

    def __new__(cls, native: enum.Enum) -> EnumValue:
        """Create the number of one member (or of a combination of flags)."""
        value = super().__new__(cls, native.value)
        value.native = native
        return value

    def __or__(self, other: object) -> Any:
        """Combine two flags of one enum."""
        if isinstance(other, EnumValue) and isinstance(self.native, enum.Flag):
            return EnumValue(self.native | other.native)
        return super().__or__(other)

    def __repr__(self) -> str:
        """Return the name of the member, for failed assertions."""
        return f"{type(self.native).__name__}.{self.native.name}({int(self)})"

    __str__ = int.__repr__
    __hash__ = int.__hash__


def wrap(value: object) -> Any:
    """Convert a value from Qt to Python."""
    if isinstance(value, enum.Enum):
        return EnumValue(value)
    if isinstance(value, shiboken6.Object):
        return wrap_object(value)
    if isinstance(value, list | tuple):
        return tuple(wrap(item) for item in value)
    if isinstance(value, dict):
        return {key: wrap(item) for key, item in value.items()}
    return value


def unwrap(value: object) -> Any:
    """Convert a value from Python to Qt."""
    if isinstance(value, EnumValue):
        return value.native
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return [unwrap(item) for item in value]
    if isinstance(value, dict):
        return {key: unwrap(item) for key, item in value.items()}
    return getattr(value, "_native", value) if not isinstance(value, type) else value


def unwrap_all(values: Iterable[object]) -> list[Any]:
    """Convert the arguments of a call to Qt."""
    return [unwrap(value) for value in values]


def for_property(value: object, kind: str) -> Any:
    """Return the value for a property of a C++ type.

    Raises:
        TypeError: If the property refuses it; numbers refuse None and text, text accepts everything.
    """
    value = unwrap(value)
    if kind == "bool":
        return bool(value)
    if kind in WHOLE | REAL:
        if not isinstance(value, int | float):
            msg = f"a number is needed, not {value!r}"
            raise TypeError(msg)
        return math.floor(value) if kind in WHOLE else float(value)
    if kind == "QString":
        return str(value)
    if kind == "QStringList":
        if not isinstance(value, list):
            msg = f"a list of strings is needed, not {value!r}"
            raise TypeError(msg)
        return [str(item) for item in value]
    return value
