"""Qt objects with the interface of PythonQt.

Every Qt class has one wrapper class whose only base is `Wrapper`, so that `isinstance(button, qt.QWidget)` is False,
and `type(button) == qt.QPushButton` is True, as in Slicer. Attributes are looked up in PythonQt's order: property,
signal, method, enum value, dynamic property, child of that name. The behavior follows PythonQt's
PythonQtInstanceWrapper.cpp and PythonQtClassWrapper.cpp.

Not imitated: overriding C++ virtual methods in Python subclasses.
"""

from __future__ import annotations

import functools
import weakref
from typing import Any, ClassVar

import shiboken6
from PySide6 import QtCore

from host import modal, qobject_methods, signals, values
from host.qt6_only import ENUMS, is_qt6_only
from host.values import EnumValue, unwrap, unwrap_all, wrap

_classes: dict[type, type[Wrapper]] = {}
_instances: weakref.WeakValueDictionary[int, Wrapper] = weakref.WeakValueDictionary()
# The base classes of everything in Qt, which are not Qt classes themselves.
_ROOTS = {shiboken6.Object, object}
_RENAMED = {"exec_": "exec", "print_": "print", "raise_": "raise_"}


class WrapperClass(type):
    """Type of the wrapper classes, for `qt.QProcess.NotRunning` and `qt.QTimer.singleShot`."""

    def __getattr__(cls, name: str) -> Any:
        """Look up an enum value, a nested class or a method of the C++ class."""
        native = cls.__dict__.get("_native_class") or next(
            (base.__dict__["_native_class"] for base in cls.__mro__ if "_native_class" in base.__dict__), None
        )
        if native is None or name.startswith("_"):
            raise AttributeError(name)
        value = enum_value(native, name)
        if value is not None:
            return value
        member = getattr(native, name, None)
        if isinstance(member, type) and issubclass(member, shiboken6.Object):
            return class_for(member)
        if callable(member) and not isinstance(member, type) and not is_qt6_only(native, name):
            return Method(native.__name__, name, modal.instead_of(native, name) or member)
        msg = f"type object '{cls.__name__}' has no attribute '{name}'"
        raise AttributeError(msg)


class Method:
    """A C++ method: only positional arguments are accepted, and refusals are ValueErrors.

    Functions that Qt calls back are guarded, unless the method keeps them unchanged (`connect`).
    """

    def __init__(self, owner: str, name: str, function: Any, *, guards: bool = True) -> None:
        self._owner, self.__name__, self._function, self._guards = owner, name, function, guards

    def __call__(self, *arguments: object, **keywords: object) -> Any:
        """Call into Qt."""
        called = f"Called {self._owner}.{self.__name__}"
        if keywords:
            msg = f"{called} with keyword arguments, but called slot does not support kwargs."
            raise ValueError(msg)
        native = unwrap_all(arguments)
        if self._guards:
            native = [signals.guarded(item) if _is_function(item) else item for item in native]
        try:
            return wrap(self._function(*native))
        except TypeError as error:
            if error.__traceback__ is not None and error.__traceback__.tb_next is not None:
                raise  # from a method of the host, not from the conversion of the arguments
            msg = f"{called} with wrong arguments: {arguments!r}"
            raise ValueError(msg) from None

    def __repr__(self) -> str:
        """Name the method."""
        return f"<built-in method {self.__name__} of {self._owner}>"


def _is_function(value: object) -> bool:
    return callable(value) and not isinstance(value, type | shiboken6.Object)


class Wrapper(metaclass=WrapperClass):
    """The Python interface of one Qt object."""

    __slots__ = ("__weakref__", "_native")
    _native_class: ClassVar[type]

    def __init__(self, *arguments: object, **keywords: object) -> None:
        if keywords:
            msg = f"Called {type(self).__name__} with keyword arguments, but called slot does not support kwargs."
            raise ValueError(msg)
        try:
            native = self._native_class(*unwrap_all(arguments))
        except TypeError as error:
            if error.__traceback__ is not None and error.__traceback__.tb_next is not None:
                raise
            msg = f"Could not find matching overload for given arguments: {type(self).__name__}{arguments!r}"
            raise ValueError(msg) from None
        _adopt(self, native)

    def className(self) -> str:
        """Return the name of the C++ class."""
        return type(self).__name__

    def inherits(self, name: str) -> bool:
        """Return whether the C++ class is, or derives from, the class of that name."""
        native = _living(self, "inherits")
        if isinstance(native, QtCore.QObject):
            return bool(native.inherits(name))
        return any(base.__name__ == name for base in type(native).__mro__)

    def delete(self) -> None:
        """Delete the C++ object immediately."""
        shiboken6.delete(_living(self, "delete"))

    def __getattr__(self, name: str) -> Any:
        """Look up an attribute that this Python class does not have."""
        if name.startswith("_"):
            raise AttributeError(name)
        native = _living(self, name)
        return _qobject_attribute(native, name) if isinstance(native, QtCore.QObject) else _member(native, name)

    def __setattr__(self, name: str, value: object) -> None:
        """Set a property; new attributes only on Python subclasses."""
        if name.startswith("_"):
            object.__setattr__(self, name, value)
            return
        native = _living(self, name)
        if isinstance(native, QtCore.QObject) and _set_property(native, name, value):
            return
        if "_native_class" not in type(self).__dict__:
            object.__setattr__(self, name, value)
            return
        kind = f"'{type(self).__name__}' object"
        if hasattr(type(native), name):
            msg = f"Slot or signal '{name}' can not be overwritten on {kind}"
        else:
            msg = f"'{name}' does not exist on {kind} and creating new attributes on C++ objects is not allowed"
        raise AttributeError(msg)

    def __eq__(self, other: object) -> bool:
        """Compare by address, or by value for objects other than a QObject."""
        if not isinstance(other, Wrapper):
            return False
        if isinstance(self._native, QtCore.QObject):
            return _address(self._native) == _address(other._native)
        return bool(self._native == other._native)

    def __hash__(self) -> int:
        """Hash by address."""
        return hash(_address(self._native))

    def __bool__(self) -> bool:
        """A destroyed object is False."""
        return shiboken6.isValid(self._native)

    def __repr__(self) -> str:
        """Name the class, and the object if it has a name."""
        named = self._native.objectName() if bool(self) and isinstance(self._native, QtCore.QObject) else ""
        return f"{type(self).__name__} ({type(self).__name__} at: 0x{id(self._native):x}{named and ' ' + named})"


def class_for(native: type) -> type[Wrapper]:
    """Return the wrapper class of a Qt class."""
    if native not in _classes:
        _classes[native] = WrapperClass(native.__name__, (Wrapper,), {"_native_class": native, "__slots__": ()})
    return _classes[native]


def _wrap_object(native: shiboken6.Object) -> Wrapper:
    """Return the wrapper of an object, which is always the same one while it is referenced."""
    known = _instances.get(_address(native)) if isinstance(native, QtCore.QObject) else None
    if known is not None and known._native is native:
        return known
    wrapper = object.__new__(class_for(next(base for base in type(native).__mro__ if base not in _ROOTS)))
    _adopt(wrapper, native)
    return wrapper


values.wrap_object = _wrap_object


def _adopt(wrapper: Wrapper, native: shiboken6.Object) -> None:
    object.__setattr__(wrapper, "_native", native)
    if isinstance(native, QtCore.QObject):
        _instances[_address(native)] = wrapper
        if "_native_class" not in type(wrapper).__dict__:
            native._host_wrapper = wrapper  # its Python attributes live as long as the C++ object


def _address(native: shiboken6.Object) -> int:
    return int(shiboken6.getCppPointer(native)[0]) if shiboken6.isValid(native) else id(native)


def _living(wrapper: Wrapper, name: str) -> Any:
    native = object.__getattribute__(wrapper, "_native")
    if not shiboken6.isValid(native):
        msg = f"Trying to access '{name}' of a destroyed {type(wrapper).__name__} object"
        raise ValueError(msg)
    return native


def _qobject_attribute(native: QtCore.QObject, name: str) -> Any:
    if name == "name":
        name = "objectName"
    if native.metaObject().indexOfProperty(name) >= 0 and not is_qt6_only(type(native), name):
        return wrap(_read_property(native, name))
    special = qobject_methods.METHODS.get(name)
    if special is not None:
        return Method(type(native).__name__, name, functools.partial(special, native), guards=False)
    if signals.has_signal(native, name) and not is_qt6_only(type(native), name):
        return signals.BoundSignal(native, name)
    if name.encode() in [bytes(known.data()) for known in native.dynamicPropertyNames()]:
        return wrap(QtCore.QObject.property(native, name))
    try:
        return _member(native, name)
    except AttributeError:
        child = next((child for child in native.children() if child.objectName() == name), None)
        if child is None:
            raise
        return wrap(child)


def _read_property(native: QtCore.QObject, name: str) -> Any:
    try:
        return QtCore.QObject.property(native, name)
    except RuntimeError:  # PySide does not convert properties whose type is an enum of another class
        return getattr(native, name)()


def _member(native: shiboken6.Object, name: str) -> Any:
    """Return a method or an enum value of any Qt object."""
    owner = type(native)
    value = enum_value(owner, name)
    if value is not None:
        return value
    name = _RENAMED.get(name, name)
    member = getattr(owner, name, None)
    if member is None or isinstance(member, type) or not callable(member) or is_qt6_only(owner, name):
        msg = f"{owner.__name__} has no attribute named '{name}'"
        raise AttributeError(msg)
    replaced = modal.instead_of(owner, name)
    return Method(owner.__name__, name, replaced.__get__(native) if replaced else getattr(native, name))


def _set_property(native: QtCore.QObject, name: str, value: object) -> bool:
    """Set a static or dynamic property that exists; False if there is none of that name."""
    meta, index = native.metaObject(), native.metaObject().indexOfProperty("objectName" if name == "name" else name)
    if index < 0 or is_qt6_only(type(native), name):
        dynamic = name.encode() in [bytes(known.data()) for known in native.dynamicPropertyNames()]
        if dynamic:
            QtCore.QObject.setProperty(native, name, unwrap(value))
        return dynamic
    about = meta.property(index)
    if not about.isWritable():
        msg = f"Property '{name}' of {meta.className()} object is not writable"
        raise AttributeError(msg)
    try:
        accepted = about.write(native, values.for_property(value, about.metaType().name()))
    except TypeError:
        accepted = False
    if not accepted:
        kind = type(value).__name__
        msg = f"Property '{name}' of type '{about.typeName()}' does not accept an object of type {kind} ({value!r})"
        raise AttributeError(msg)
    return True


def enum_value(native: type, name: str) -> EnumValue | None:
    """Find a value by its name alone, in the spelling of Qt 5, which PythonQt supports in both versions of Qt."""
    for base in native.__mro__:
        for member in vars(base).values():
            is_enum = isinstance(member, type) and hasattr(member, "__members__") and member.__name__ not in ENUMS
            if is_enum and name in member.__members__ and not is_qt6_only(base, name):
                return EnumValue(member[name])
    return None
