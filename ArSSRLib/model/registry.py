"""The kinds of networks, and how a configuration becomes a network.

Every file of this folder with a ``KINDS`` dictionary, from a kind to its configuration and network classes, is
registered automatically.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import pkgutil
from collections.abc import Mapping
from importlib import import_module

from ArSSRLib import model
from ArSSRLib.errors import InputError, shown
from ArSSRLib.model.config import ModelConfig
from ArSSRLib.model.interface import SuperResolutionModel

Kind = tuple[type[ModelConfig], type[SuperResolutionModel]]


@functools.cache
def kinds() -> dict[str, Kind]:
    """Return the configuration class and the network class of every kind, in the order of the files."""
    found: dict[str, Kind] = {}
    for module in pkgutil.iter_modules(model.__path__):
        found |= getattr(import_module(f"{model.__name__}.{module.name}"), "KINDS", {})
    return found


def build_model(config: ModelConfig) -> SuperResolutionModel:
    """Create the network of a configuration, with initial weights and in training mode."""
    _, network = kinds()[config.kind]
    return network(config)


def model_config_from_dict(table: object) -> ModelConfig:
    """Create a configuration from plain values, as in a TOML table or a JSON object; missing ones have their defaults.

    Raises:
        InputError: If ``kind`` or another key is unknown, or a value has the wrong type or is out of range.
    """
    if not isinstance(table, Mapping):
        msg = f"A model's configuration must be a table of keys and values, got {type(table).__name__}."
        raise InputError(msg)
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in kinds():
        msg = f"The model's kind is {shown(kind)}; choose one of {', '.join(kinds())}, or update ArSSR if it is newer."
        raise InputError(msg)
    config, _ = kinds()[kind]
    known = [field.name for field in dataclasses.fields(config)]
    unknown = [key for key in table if key not in known]
    if unknown:
        msg = f"The model's configuration has unknown keys {shown(unknown)}; {kind} has {', '.join(known)}."
        raise InputError(msg)
    return config(**table)


def model_config_from_json(text: str) -> ModelConfig:
    """Read a configuration from JSON; the same errors as for `model_config_from_dict`."""
    try:
        table = json.loads(text)
    except (ValueError, RecursionError) as error:
        msg = f"The model's configuration is not JSON ({error}): {shown(text)}."
        raise InputError(msg) from error
    return model_config_from_dict(table)
