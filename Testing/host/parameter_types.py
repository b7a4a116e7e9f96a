"""Stand-in for the types of slicer.parameterNodeWrapper: annotations, and storage of values in a node.

Supported: bool, int, float, str, Enum and one class of MRML node. For more, set SLICER_SOURCE_DIR.
"""

from __future__ import annotations

import enum
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import slicer


@dataclass(frozen=True)
class Default:
    """Annotation: the default value of a parameter."""

    value: Any = None


class Validator:
    """Annotation that refuses values."""

    def validate(self, value: Any) -> None:
        """Raise ValueError or TypeError for an invalid value."""


@dataclass(frozen=True)
class NotNone(Validator):
    """Refuses None."""

    def validate(self, value: Any) -> None:
        """Raise ValueError for None."""
        _require(value is not None, "Value must not be None")


@dataclass(frozen=True)
class IsInstance(Validator):
    """Refuses values of other classes; None passes."""

    classtype: Any

    def validate(self, value: Any) -> None:
        """Raise TypeError for another class."""
        if value is not None and not isinstance(value, self.classtype):
            msg = f"Value must be of type '{self.classtype}', is type '{type(value)}' value '{value}'"
            raise TypeError(msg)


@dataclass(frozen=True)
class WithinRange(Validator):
    """Refuses values outside of limits, which are included."""

    minimum: float
    maximum: float

    def validate(self, value: Any) -> None:
        """Raise ValueError outside of the limits."""
        inside = self.minimum <= value <= self.maximum
        _require(inside, f"Value must be within range [{self.minimum}, {self.maximum}], is {value}")


def _require(fits: bool, message: str) -> None:
    if not fits:
        raise ValueError(message)


@dataclass(frozen=True)
class Kind:
    """Storage of values of one type in a parameter node.

    Attributes:
        default: Default value.
        accepts: Classes of values.
        write: Converts a value to text.
        read: Converts a text to a value.
        optional: Whether None is a valid value.
    """

    default: Any
    accepts: Any
    write: Callable[[Any], str]
    read: Callable[[str], Any]
    optional: bool = False


_PLAIN = {
    bool: Kind(False, bool, str, lambda text: text == "True"),
    int: Kind(0, int, str, int),
    float: Kind(0, (int, float), str, float),
    str: Kind("", str, str, str),
}


def kind_of(datatype: Any) -> Kind:
    """Return the storage of values of a type.

    Raises:
        TypeError: If the host does not support the type.
    """
    if datatype in _PLAIN:
        return _PLAIN[datatype]
    if isinstance(datatype, type) and issubclass(datatype, enum.Enum):
        return Kind(next(iter(datatype)), datatype, lambda member: member.name, datatype.__getitem__)
    if is_node_class(datatype):
        return Kind(None, datatype, str, str, optional=True)
    msg = f"The test host keeps no parameters of type {datatype}. Use one it knows, or set SLICER_SOURCE_DIR."
    raise TypeError(msg)


def is_node_class(datatype: Any) -> bool:
    """Return whether a type is a class of MRML nodes."""
    return isinstance(datatype, type) and issubclass(datatype, slicer.vtkMRMLNode)


def split(datatype: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return a type without its annotations, and the annotations."""
    arguments = typing.get_args(Annotated[datatype, "one at least, so that there are always some"])
    return arguments[0], arguments[1:-1]


def first(annotations: tuple[Any, ...], wanted: type) -> Any:
    """Return the first annotation of a class, or None."""
    return next((annotation for annotation in annotations if isinstance(annotation, wanted)), None)


class Parameter:
    """One typed attribute of a parameter node wrapper."""

    def __init__(self, name: str, datatype: Any, default: Any = None) -> None:
        self.name, self.datatype = name, datatype
        self.plain, annotations = split(datatype)
        self._kind = kind_of(self.plain)
        given = default or first(annotations, Default)
        self.default = given.value if given is not None else self._kind.default
        always: list[Validator] = [] if self._kind.optional else [NotNone()]
        self._validators = [*always, IsInstance(self._kind.accepts)]
        self._validators += [item for item in annotations if isinstance(item, Validator)]

    def is_in(self, node: Any) -> bool:
        """Return whether the node has a value."""
        return bool(node.HasParameter(self.name))

    def write(self, node: Any, value: Any) -> None:
        """Store a value.

        Raises:
            ValueError: If an annotation refuses the value.
            TypeError: If it has another class.
        """
        for validator in self._validators:
            validator.validate(value)
        with slicer.util.NodeModify(node):
            if self._kind.optional:
                node.SetParameter(self.name, "")
                node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)
            else:
                node.SetParameter(self.name, self._kind.write(value))

    def read(self, node: Any) -> Any:
        """Return the stored value, or the default."""
        if not self.is_in(node):
            self.write(node, self.default)
        if self._kind.optional:
            return node.GetNodeReference(self.name)
        return self._kind.read(node.GetParameter(self.name))
