"""The configuration of a network: plain values that are stored in its checkpoint.

Each network has its own frozen dataclass, next to its layers. Every value is checked before anything is allocated, so
that a malicious file cannot request gigabytes. `registry` knows all kinds and reads configurations from files.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from ArSSRLib.errors import InputError, shown


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Base class of all configurations.

    Attributes:
        KINDS: Kinds that the class describes.
        BOUNDS: Smallest and largest value of each number. The largest network within all bounds has 283 MB of weights.
        ADOPTS: Other kinds with whose weights its network can start.
        COORDINATES: Coordinates that its decoder supports in training; see ``coordinates`` in a recipe.
        kind: Name of the architecture in files.

    Raises:
        InputError: If a value has the wrong type or is out of range.
    """

    KINDS: ClassVar[tuple[str, ...]] = ()
    BOUNDS: ClassVar[Mapping[str, tuple[float, float]]] = {}
    ADOPTS: ClassVar[tuple[str, ...]] = ()
    COORDINATES: ClassVar[tuple[str, ...]] = ("relative",)

    kind: str = ""

    def __post_init__(self) -> None:
        """Refuse invalid values."""
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
        """The only scale that the network supports, along every axis, unitless; None if it supports any scale."""
        return None

    @property
    def largest_scale(self) -> float | None:
        """The largest scale for which the network is designed, unitless; None if it is not stated."""
        return None

    @property
    def outputs_image(self) -> bool:
        """Whether the network outputs the image itself, which half precision would round, rather than a residual."""
        return False

    def to_json(self) -> str:
        """Return one line of JSON that `registry.model_config_from_json` reads."""
        return json.dumps(dataclasses.asdict(self))

    def _check_type(self, name: str) -> None:
        value, expected = getattr(self, name), type(getattr(type(self), name))
        if expected is float and type(value) is int:
            # The only way to set a field of a frozen dataclass; TOML and JSON may contain 8 for 8.0.
            object.__setattr__(self, name, float(value))
        elif type(value) is not expected:
            msg = f"The model's {name} is {shown(value)}; it must be of type {expected.__name__}."
            raise InputError(msg)
