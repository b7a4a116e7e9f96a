"""Settings from a TOML or JSON file: reading, overriding, and converting to a dataclass.

The dataclass defines the meaning and the constraints of its settings.
"""

from __future__ import annotations

import dataclasses
import difflib
import sys
import tomllib
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ArSSRLib.errors import InputError, reason_of, shown

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Made = TypeVar("Made", bound="DataclassInstance")


_NAMES = {
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    bool: ("true or false", "truth values"),
    str: ("text", "texts"),
    Path: ("a path", "paths"),
}


def read_settings(path: Path, overrides: Sequence[str] = (), *, kind: str, example: str) -> dict[str, Any]:
    """Read a TOML file as plain values.

    Args:
        path: The file.
        overrides: ``key=value`` pairs, each value in TOML; ``table.key`` reaches into a table.
        kind: Kind of the file, for messages.
        example: Path of a valid example, for messages.

    Raises:
        InputError: If the file cannot be read, or an override is malformed.
    """
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"{path} cannot be read as a TOML {kind} ({reason_of(error)}); start from one in {example}."
        raise InputError(msg) from error
    for override in overrides:
        _override(table, override)
    return table


def refuse_unknown(table: Iterable[str], known: Iterable[str], *, origin: str) -> None:
    """Refuse unknown keys; ``origin`` is their location, for messages.

    Raises:
        InputError: If there is an unknown key.
    """
    names = list(known)
    for name in table:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            guess = f"did you mean {close[0]}?" if close else f"the keys are {', '.join(names)}."
            msg = f"{origin} has the unknown key {name}; {guess}"
            raise InputError(msg)


def converted(name: str, value: Any, hint: Any, *, kind: str) -> Any:  # noqa: ANN401 - whatever TOML or JSON holds
    """Convert a value of a TOML or JSON file to the type of a field of a dataclass.

    Args:
        name: Name of the key, for messages.
        value: Value in the file.
        hint: Type of the field: int, float, bool, str, Path, an optional one (None for null, and a path for ""), a
            tuple of them, or a dataclass for a table with all of its fields.
        kind: Kind of the file, for messages.

    Raises:
        InputError: If it has another type.
    """
    inner = typing.get_args(hint)
    if isinstance(hint, types.UnionType):
        nothing = value is None or (hint == Path | None and value == "")
        return None if nothing else converted(name, value, inner[0], kind=kind)
    if typing.get_origin(hint) is tuple and isinstance(value, list | tuple):
        hints = inner[:1] * len(value) if inner[-1] is ... else inner
        if len(hints) == len(value):
            return tuple(converted(name, part, wanted, kind=kind) for part, wanted in zip(value, hints, strict=True))
    if isinstance(hint, type) and dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return dataclass_from(hint, value, kind=kind)
    if _is_single(hint, value):
        return hint(value)
    msg = f"The {kind}'s {name} = {shown(value)} must be {_named(hint)}."
    raise InputError(msg)


def values_from(
    make: type[DataclassInstance],
    table: Mapping[str, Any],
    readers: Mapping[str, Callable[[Any], Any]],
    *,
    kind: str,
    origin: str,
) -> dict[str, Any]:
    """Return the values for a dataclass from the content of a settings file; ``kind`` and ``origin`` are for messages.

    ``readers`` convert the values that have another form in the file than in the dataclass.

    Raises:
        InputError: If a key is unknown or missing, or a value has the wrong type.
    """
    hints = typing.get_type_hints(make)
    refuse_unknown(table, hints, origin=origin)
    missing = [f.name for f in dataclasses.fields(make) if f.default is dataclasses.MISSING and f.name not in table]
    if missing:
        way = "--init MODEL" if missing == ["model"] else f"--set {missing[0]}=VALUE"
        msg = (
            f"{origin} lacks {', '.join(missing)}; add {'it' if len(missing) == 1 else 'them'} to the {kind}, or use "
            f"{way}."
        )
        raise InputError(msg)
    return {
        name: readers[name](value) if name in readers else converted(name, value, hints[name], kind=kind)
        for name, value in table.items()
    }


def dataclass_from(
    make: type[Made], table: Mapping[str, Any], *, kind: str, origin: str = "", complete: bool = True
) -> Made:
    """Return a dataclass from a table whose keys must be its fields.

    Args:
        make: The dataclass.
        table: The table.
        kind: Kind of the file, for messages.
        origin: Name of the table in the file, for messages; empty for the file itself.
        complete: Whether fields with a default are also required.

    Raises:
        InputError: If a key is unknown or missing, or a value has the wrong type.
    """
    hints, origin = typing.get_type_hints(make), origin or f"The {kind}"
    refuse_unknown(table, hints, origin=origin)
    needed = [field.name for field in dataclasses.fields(make) if complete or field.default is dataclasses.MISSING]
    missing = [name for name in needed if name not in table]
    if missing:
        msg = f"{origin} lacks {', '.join(missing)}; it must have the keys {', '.join(needed)}."
        raise InputError(msg)
    return make(**{name: converted(name, value, hints[name], kind=kind) for name, value in table.items()})


def _is_single(hint: Any, value: Any) -> bool:  # noqa: ANN401 - whatever TOML or JSON holds
    """Return whether the type is one of `_NAMES`, and a value of a file is valid for it; true is not a number."""
    if hint is Path:
        return isinstance(value, str) and value != "" and "\0" not in value
    if hint is float:
        return type(value) in (int, float) and abs(value) <= sys.float_info.max
    return hint in _NAMES and type(value) is hint


def _named(hint: Any, *, several: bool = False) -> str:  # noqa: ANN401 - a type, or what typing makes of several
    inner = typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        count = "" if inner[-1] is ... else f"{len(inner)} "
        return f"{'lists' if several else 'a list'} of {count}{_named(inner[0], several=True)}"
    one, more = _NAMES.get(inner[0] if isinstance(hint, types.UnionType) else hint, ("a table", "tables"))
    return more if several else one


def _override(table: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals:
        msg = f'An override must be key=value, got "{override}".'
        raise InputError(msg)
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *outer, name = key.strip().split(".")
    for part in outer:
        inner = table.setdefault(part, {})
        if not isinstance(inner, dict):
            msg = f'"{key.strip()}" cannot be set: {part} is a value, not a table; omit what follows it.'
            raise InputError(msg)
        table = inner
    table[name] = value
