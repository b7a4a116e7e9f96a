"""What a network is made of, as plain values that travel inside its checkpoint.

Each network has a frozen dataclass of its own, beside its layers. Every value is checked before anything is allocated,
so that a hostile file cannot ask for gigabytes. From a file to a configuration leads `registry`, which knows all kinds.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from ArSSRLib.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What every configuration has.

    Attributes:
        KINDS: Kinds that the class describes.
        BOUNDS: Least and largest value of its numbers. The largest network inside all bounds holds 283 MB of weights.
        COORDINATES: What its decoder can be told in training; see ``coordinates`` in a recipe.
        kind: Names the architecture in files.

    Raises:
        InputError: If a value has another type or lies outside its range.
    """

    KINDS: ClassVar[tuple[str, ...]] = ()
    BOUNDS: ClassVar[Mapping[str, tuple[float, float]]] = {}
    COORDINATES: ClassVar[tuple[str, ...]] = ("relative",)

    kind: str = ""

    def __post_init__(self) -> None:
        """Refuse values that no network can have."""
        for field in dataclasses.fields(self):
            self._check_type(field.name)
            value = getattr(self, field.name)
            if field.name == "kind" and value not in self.KINDS:
                msg = f"The model's kind is {shown(value)}; {type(self).__name__} describes {', '.join(self.KINDS)}."
                raise InputError(msg)
            least, largest = self.BOUNDS.get(field.name, (value, value))
            if not least <= value <= largest:
                msg = f"The model's {field.name} is {shown(value)}; choose a value from {least} to {largest}."
                raise InputError(msg)

    @property
    def only_scale(self) -> float | None:
        """The one scale along every axis that the network is made for, unitless; None if it takes any."""
        return None

    @property
    def largest_scale(self) -> float | None:
        """The largest scale that the network was made for, unitless; None if the configuration does not say."""
        return None

    @property
    def outputs_image(self) -> bool:
        """Whether the network outputs the image itself, which half precision would round, instead of a residual."""
        return False

    def to_json(self) -> str:
        """Return one line of JSON that `registry.model_config_from_json` reads."""
        return json.dumps(dataclasses.asdict(self))

    def _check_type(self, name: str) -> None:
        value, expected = getattr(self, name), type(getattr(type(self), name))
        if expected is float and type(value) is int:
            # A frozen dataclass is set this way only; TOML and JSON may write 8 for 8.0.
            object.__setattr__(self, name, float(value))
        elif type(value) is not expected:
            msg = f"The model's {name} is {shown(value)}; it should be of type {expected.__name__}."
            raise InputError(msg)


def shown(value: object) -> str:
    """Return what a file said, short enough for one line."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
