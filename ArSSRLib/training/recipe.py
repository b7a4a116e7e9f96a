"""Conversion between training configurations and TOML files; unknown keys are refused.

`config` defines the values and their constraints.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ArSSRLib.errors import InputError
from ArSSRLib.model.config import ModelConfig
from ArSSRLib.model.registry import kinds, model_config_from_dict
from ArSSRLib.settings import read_settings, values_from
from ArSSRLib.training.config import TrainingConfig, fixed_scale_values


def read_recipe(path: Path, overrides: Sequence[str] = (), *, model: ModelConfig | None = None) -> TrainingConfig:
    """Read a TOML recipe.

    Args:
        path: The recipe; relative folders in it are relative to the working directory.
        overrides: ``key=value`` pairs, each value in TOML; ``model.key`` reaches into the model table.
        model: Architecture of given weights. It replaces that of the recipe, which may then be missing, except for a
            kind of network that can adopt these weights and the values that only this kind has. Of the overrides,
            only ``model.blocks`` and ``model.kind`` may change it.

    Raises:
        InputError: If the file cannot be read, a key is unknown, missing, of the wrong type or impossible, or an
            override would change the given architecture.
    """
    table = read_settings(path, overrides, kind="recipe", example="ArSSRLib/training/recipes")
    if model is not None:
        named = [override for override in overrides if override.strip().startswith("model")]
        larger = {override.partition("=")[0].strip(): override for override in named}
        refused = [override for name, override in larger.items() if name not in ("model.blocks", "model.kind")]
        if refused:
            msg = (
                f"{refused[0]} cannot be set with --init: the architecture comes with the weights, and only "
                "model.blocks and model.kind may differ; omit it, or omit --init."
            )
            raise InputError(msg)
        asked = {name.removeprefix("model."): table["model"][name.removeprefix("model.")] for name in larger}
        table["model"] = _adopting(table.get("model"), model) | asked
    return config_from_table(table, origin=str(path))


def _adopting(table: object, weights: ModelConfig) -> dict[str, Any]:
    """Return the model table of a recipe with the sizes of given weights.

    The kind of the recipe counts only if it can adopt the weights: any recipe can fine-tune any network.
    """
    given = dataclasses.asdict(weights)
    if not isinstance(table, dict):
        return given
    kind = table.get("kind")
    known = kinds()[kind][0] if isinstance(kind, str) and kind in kinds() else ModelConfig
    return {**table, **given, "kind": kind} if weights.kind in known.ADOPTS else given


def config_from_table(table: dict[str, Any], *, origin: str) -> TrainingConfig:
    """Convert a parsed TOML table to a configuration; ``origin`` names it in messages.

    Raises:
        InputError: If a key is unknown, missing, of the wrong type or impossible.
    """
    values = values_from(TrainingConfig, table, {"model": model_config_from_dict}, kind="recipe", origin=origin)
    scale = values["model"].only_scale
    fixed = {} if scale is None else fixed_scale_values(scale)  # so that only model.scale needs a change
    return TrainingConfig(**fixed | values)


def table_of(config: TrainingConfig) -> dict[str, Any]:
    """Return a configuration as values for JSON and TOML: text, numbers, lists and one table."""
    return {name: _plain(value) for name, value in dataclasses.asdict(config).items()}


def default_table() -> dict[str, Any]:
    """Return the defaults of all optional keys, in the form of :func:`table_of`."""
    optional = (field for field in dataclasses.fields(TrainingConfig) if field.default is not dataclasses.MISSING)
    return {field.name: _plain(field.default) for field in optional}


def _plain(value: Any) -> Any:  # noqa: ANN401 - plain values of a table are of any type
    if value is None:
        return ""
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value
