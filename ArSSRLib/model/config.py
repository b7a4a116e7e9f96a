"""What a network is made of, as plain values that travel inside its checkpoint.

One frozen dataclass for each kind of network. Every value is checked before anything is allocated, so that a
hostile file cannot ask for gigabytes. Nothing here imports PyTorch until a model is built.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from ArSSRLib.errors import InputError

if TYPE_CHECKING:
    from ArSSRLib.model.arssr import ArSSR
    from ArSSRLib.model.arssr2 import ArSSR2
    from ArSSRLib.model.fixed_scale import FixedScale

    SuperResolutionModel: TypeAlias = ArSSR | ArSSR2 | FixedScale

ENCODER_NAMES = ("RDN", "ResCNN", "SRResNet")

# Least and largest value of each number. The largest network inside these bounds holds 283 MB of weights.
_BOUNDS: dict[str, tuple[float, float]] = {
    "feature_channels": (1, 512),
    "decoder_depth": (2, 16),
    "decoder_width": (1, 1024),
    "channels": (1, 192),
    "blocks": (1, 32),
    "decoder_layers": (1, 16),
    "max_scale": (1.0, 64.0),
    "scale": (1.0, 16.0),
}


@dataclass(frozen=True, kw_only=True)
class ArSSRConfig:
    """The published network.

    Attributes:
        kind: Names the architecture in files.
        encoder: "RDN", "ResCNN" or "SRResNet".
        feature_channels: Channels of the feature map.
        decoder_depth: Linear layers in each of the decoder's two stages.
        decoder_width: Channels between these layers.

    Raises:
        InputError: If a value has another type or lies outside its range.

    Source:
        Wu et al. 2023, https://doi.org/10.1109/JBHI.2022.3223106
    """

    kind: Literal["arssr"] = "arssr"
    encoder: str = "RDN"
    feature_channels: int = 128
    decoder_depth: int = 4
    decoder_width: int = 256

    def __post_init__(self) -> None:
        """Refuse values that no network can have."""
        _check(self)
        if self.encoder not in ENCODER_NAMES:
            msg = f"The model's encoder is {self.encoder!r}; choose one of {', '.join(ENCODER_NAMES)}."
            raise InputError(msg)


@dataclass(frozen=True, kw_only=True)
class ArSSR2Config:
    """Our network.

    Attributes:
        kind: Names the architecture in files.
        channels: Channels inside the encoder.
        blocks: Residual blocks of the encoder.
        feature_channels: Channels of the feature map and of the decoder.
        decoder_layers: Layers of the decoder, the last convolution of the encoder included.
        max_scale: Largest scale that the network was made for, unitless.

    Raises:
        InputError: If a value has another type or lies outside its range.
    """

    kind: Literal["arssr2"] = "arssr2"
    channels: int = 48
    blocks: int = 6
    feature_channels: int = 64
    decoder_layers: int = 2
    max_scale: float = 8.0

    def __post_init__(self) -> None:
        """Refuse values that no network can have."""
        _check(self)


@dataclass(frozen=True, kw_only=True)
class FixedScaleConfig:
    """A network for one scale, on a volume that cubic interpolation has made fine; see `fixed_scale`.

    Attributes:
        kind: Names the architecture in files: "srcnn3d", "dcsrn" or "rescnn".
        scale: Factor along every axis that it is trained for, unitless.

    Raises:
        InputError: If a value has another type or lies outside its range.
    """

    kind: str = "srcnn3d"
    scale: float = 2.0

    def __post_init__(self) -> None:
        """Refuse values that no network can have."""
        _check(self)


ModelConfig: TypeAlias = ArSSRConfig | ArSSR2Config | FixedScaleConfig

_KINDS: dict[str, type[ArSSRConfig] | type[ArSSR2Config] | type[FixedScaleConfig]] = {
    "arssr": ArSSRConfig,
    "arssr2": ArSSR2Config,
    "srcnn3d": FixedScaleConfig,
    "dcsrn": FixedScaleConfig,
    "rescnn": FixedScaleConfig,
}


def model_config_from_dict(table: object) -> ModelConfig:
    """Turn plain values, as they stand in a TOML table or a JSON object, into a configuration.

    Args:
        table: The key ``kind`` and any of the other attributes of its class; what is left out has its default.

    Raises:
        InputError: If ``kind`` or another key is unknown, or a value is of another type or out of range.
    """
    if not isinstance(table, Mapping):
        msg = f"A model's configuration is a table of keys and values, got {type(table).__name__}."
        raise InputError(msg)
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        msg = f"The model's kind is {_shown(kind)}; choose one of {', '.join(_KINDS)}, or update ArSSR if it is newer."
        raise InputError(msg)
    known = [field.name for field in dataclasses.fields(_KINDS[kind])]
    unknown = [key for key in table if key not in known]
    if unknown:
        msg = f"The model's configuration has unknown keys {_shown(unknown)}; {kind} has {', '.join(known)}."
        raise InputError(msg)
    return _KINDS[kind](**table)


def model_config_from_json(text: str) -> ModelConfig:
    """Read a configuration from JSON; see `model_config_from_dict` for what is refused."""
    try:
        table = json.loads(text)
    except (ValueError, RecursionError) as error:
        msg = f"The model's configuration is not JSON ({error}): {_shown(text)}."
        raise InputError(msg) from error
    return model_config_from_dict(table)


def model_config_to_json(config: ModelConfig) -> str:
    """Write a configuration as one line of JSON that `model_config_from_json` reads."""
    return json.dumps(dataclasses.asdict(config))


def build_model(config: ModelConfig) -> SuperResolutionModel:
    """Make the network that a configuration describes, with fresh weights and in training mode."""
    # Imported here: one kind of network does not load the other, and a configuration alone needs no PyTorch.
    if isinstance(config, ArSSRConfig):
        from ArSSRLib.model.arssr import ArSSR  # noqa: PLC0415

        return ArSSR(config)
    if isinstance(config, FixedScaleConfig):
        from ArSSRLib.model.fixed_scale import FixedScale  # noqa: PLC0415

        return FixedScale(config)
    from ArSSRLib.model.arssr2 import ArSSR2  # noqa: PLC0415

    return ArSSR2(config)


def _check(config: ModelConfig) -> None:
    for field in dataclasses.fields(config):
        value, default = getattr(config, field.name), getattr(type(config), field.name)
        expected = type(default)
        if expected is float and type(value) is int:
            # A frozen dataclass is set this way only; TOML and JSON may write 8 for 8.0.
            value = float(value)
            object.__setattr__(config, field.name, value)
        if type(value) is not expected:
            msg = f"The model's {field.name} is {_shown(value)}; it should be of type {expected.__name__}."
            raise InputError(msg)
        if field.name == "kind" and _KINDS.get(value) is not type(config):
            described = ", ".join(kind for kind, described in _KINDS.items() if described is type(config))
            msg = f"The model's kind is {_shown(value)}; {type(config).__name__} describes {described}."
            raise InputError(msg)
        if field.name in _BOUNDS:
            least, largest = _BOUNDS[field.name]
            if not least <= value <= largest:
                msg = f"The model's {field.name} is {_shown(value)}; choose a value from {least} to {largest}."
                raise InputError(msg)


def _shown(value: object) -> str:
    """Return what a file said, short enough for one line."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
