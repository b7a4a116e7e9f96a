"""A training configuration from a TOML file and back; unknown keys are refused by name.

What the values mean and which are impossible lives in `config`.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ArSSRLib.errors import InputError
from ArSSRLib.model.config import FixedScaleConfig, ModelConfig, model_config_from_dict
from ArSSRLib.training.config import TrainingConfig, fixed_scale_values


def read_recipe(path: Path, overrides: Sequence[str] = (), *, model: ModelConfig | None = None) -> TrainingConfig:
    """Read a TOML recipe.

    Args:
        path: The recipe; relative folders in it are relative to the working directory.
        overrides: ``key=value`` pairs, each value in TOML; ``model.key`` reaches into the model table.
        model: Architecture that takes the place of the recipe's; the recipe then needs none, and of the overrides
            only ``model.blocks`` may speak of it.

    Raises:
        InputError: If the file cannot be read, a key is unknown, missing, of another type or impossible, or an
            override speaks of the architecture that is given.
    """
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"{path} cannot be read as a TOML recipe ({error}); begin with one of ArSSRLib/training/recipes."
        raise InputError(msg) from error
    if model is not None:
        named = [override for override in overrides if override.strip().startswith("model")]
        refused = [override for override in named if override.partition("=")[0].strip() != "model.blocks"]
        if refused:
            msg = (
                f"{refused[0]} cannot be set with --init: the architecture comes with the weights, "
                "and only model.blocks may be larger; leave one of them out."
            )
            raise InputError(msg)
        table["model"] = dataclasses.asdict(model)
    for override in overrides:
        _override(table, override)
    return config_from_table(table, origin=str(path))


def config_from_table(table: dict[str, Any], *, origin: str) -> TrainingConfig:
    """Turn a parsed TOML table into a configuration; ``origin`` names it in errors.

    Raises:
        InputError: If a key is unknown, missing, of another type or impossible.
    """
    hints = typing.get_type_hints(TrainingConfig)
    for name in table:
        if name not in hints:
            close = difflib.get_close_matches(name, hints, n=1)
            guess = f"did you mean {close[0]}?" if close else f"the keys are {', '.join(hints)}."
            msg = f"{origin} has the unknown key {name}; {guess}"
            raise InputError(msg)
    required = [f.name for f in dataclasses.fields(TrainingConfig) if f.default is dataclasses.MISSING]
    missing = [name for name in required if name not in table]
    if missing:
        way = "--init MODEL" if missing == ["model"] else f"--set {missing[0]}=..."
        msg = f"{origin} lacks {', '.join(missing)}; add it to the recipe, or say {way}."
        raise InputError(msg)
    values = {name: _convert(name, value, hints[name]) for name, value in table.items() if name != "model"}
    model = model_config_from_dict(table["model"])
    if isinstance(model, FixedScaleConfig):  # so that model.scale is the only key to change
        values = fixed_scale_values(model) | values
    return TrainingConfig(**values, model=model)


def table_of(config: TrainingConfig) -> dict[str, Any]:
    """Return a configuration as plain values that JSON and a TOML file hold: text, numbers, lists and one table."""
    plain: dict[str, Any] = {}
    for name, value in dataclasses.asdict(config).items():
        if value is None:
            plain[name] = ""
        elif isinstance(value, Path):
            plain[name] = str(value)
        else:
            plain[name] = list(value) if isinstance(value, tuple) else value
    return plain


def _convert(name: str, value: Any, hint: Any) -> Any:  # noqa: ANN401 - whatever TOML holds
    if hint is Path and isinstance(value, str) and value:
        return Path(value)
    if hint == Path | None and isinstance(value, str):
        return Path(value) if value else None
    if typing.get_origin(hint) is tuple and isinstance(value, list | tuple):
        kind = typing.get_args(hint)[0]
        return tuple(_convert(name, part, kind) for part in value)
    if hint is float and type(value) in (int, float):
        return float(value)
    if hint in (int, str, bool) and type(value) is hint:
        return value
    msg = f"The recipe's {name} = {value!r} should be {_named(hint)}."
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
