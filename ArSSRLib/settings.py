"""Settings from a TOML file: read, changed one by one, and turned into the types of a dataclass.

What the settings mean and which are impossible is for the dataclass that they become.
"""

from __future__ import annotations

import difflib
import tomllib
import typing
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ArSSRLib.errors import InputError


def read_settings(path: Path, overrides: Sequence[str] = (), *, kind: str, example: str) -> dict[str, Any]:
    """Read a TOML file as plain values.

    Args:
        path: The file.
        overrides: ``key=value`` pairs, each value in TOML; ``table.key`` reaches into a table.
        kind: What the file is, for errors.
        example: Where a good one is found, for errors.

    Raises:
        InputError: If the file cannot be read, or an override is none.
    """
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"{path} cannot be read as a TOML {kind} ({error}); begin with one of {example}."
        raise InputError(msg) from error
    for override in overrides:
        _override(table, override)
    return table


def refuse_unknown(table: Iterable[str], known: Iterable[str], *, origin: str) -> None:
    """Refuse a key that nobody reads, by its name; ``origin`` says in errors where it stands.

    Raises:
        InputError: If there is one.
    """
    names = list(known)
    for name in table:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            guess = f"did you mean {close[0]}?" if close else f"the keys are {', '.join(names)}."
            msg = f"{origin} has the unknown key {name}; {guess}"
            raise InputError(msg)


def converted(name: str, value: Any, hint: Any, *, kind: str) -> Any:  # noqa: ANN401 - whatever TOML holds
    """Return a value of a TOML file in the type that a dataclass wants.

    Args:
        name: Of the key, for errors.
        value: As TOML has it.
        hint: Type of the field: int, float, bool, str, Path, a path or None (for ""), or a tuple of one of them.
        kind: What the file is, for errors.

    Raises:
        InputError: If it is of another type.
    """
    if hint is Path and isinstance(value, str) and value:
        return Path(value)
    if hint == Path | None and isinstance(value, str):
        return Path(value) if value else None
    if typing.get_origin(hint) is tuple and isinstance(value, list | tuple):
        part_hint = typing.get_args(hint)[0]
        return tuple(converted(name, part, part_hint, kind=kind) for part in value)
    if hint is float and type(value) in (int, float):
        return float(value)
    if hint in (int, str, bool) and type(value) is hint:
        return value
    msg = f"The {kind}'s {name} = {value!r} should be {_named(hint)}."
    raise InputError(msg)


def _named(hint: Any) -> str:  # noqa: ANN401 - a type, or what typing makes of several
    if typing.get_origin(hint) is tuple:
        return f"a list, each part {_named(typing.get_args(hint)[0])}"
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    return names.get(hint, "a path")


def _override(table: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals:
        msg = f'An override is written key=value, got "{override}".'
        raise InputError(msg)
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *outer, name = key.strip().split(".")
    for part in outer:
        inner = table.setdefault(part, {})
        if not isinstance(inner, dict):
            msg = f'"{key.strip()}" cannot be set: {part} is a value, not a table; leave out what follows it.'
            raise InputError(msg)
        table = inner
    table[name] = value
