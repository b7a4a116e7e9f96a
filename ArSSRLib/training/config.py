"""TrainingConfig: one TOML file, every value documented, unknown keys refused by name."""

from __future__ import annotations

import dataclasses
import tomllib
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ArSSRLib.errors import InputError
from ArSSRLib.model.config import ModelConfig, model_config_from_dict


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides what a training run computes.

    Attributes:
        training_data: Folder of high-resolution volumes to learn from.
        validation_data: Folder of high-resolution volumes to choose the checkpoint by; none of the training subjects.
        output: Folder for checkpoints, log and final weights.
        model: Architecture, the ``[model]`` table.
        target_spacings: Isotropic spacings in mm to which each volume is resampled as ground truth; 0 keeps its grid.
        target_weights: How often each of these grids is drawn.
        batch_items: Patches a step, each with its own scale, profile and volume.
        patch_size: Coarse voxels along each axis of a patch.
        margin: Coarse voxels at the border of a patch in which no points are drawn, for they see its padding.
        points: Query points a patch.
        isotropic_share: Part of the items with one scale for all axes.
        thick_share: Part of the items with one thick axis; the rest has three independent scales.
        whole_scale_share: Part of the items whose scales are rounded to a whole or half number, as users ask for.
        scale_range: Least and largest scale of isotropic and independent items.
        thick_scale_range: Least and largest scale of a thick axis.
        profile_weights: How often point sampling, Gaussian, box and k-space truncation are drawn.
        thickness_range: Slice thickness as a part of the coarse spacing.
        nominal_share: Part of the items whose slices are as thick as they are apart, as most protocols have them.
        noise_share: Part of the items with Rician noise.
        noise_maximum: Largest standard deviation of the noise, as a part of the intensity range.
        gamma_share: Part of the items with a random power curve.
        curve_share: Part of the items with a random tone curve.
        steps: Optimizer steps of the whole run.
        learning_rate: Largest learning rate of Adam.
        warm_up_steps: Steps over which the learning rate rises linearly.
        hold_share: Part of the steps at the largest learning rate before the cosine begins; 0 is a plain cosine.
        gradient_clip: Largest norm of the gradient.
        ema_decay: Decay a step of the averaged weights that are validated and exported.
        squared_share: Weight of the root mean square in the loss; the rest is the mean absolute error.
        precision: "fp32", or "bf16" where the processor computes it faster.
        validate_every: Steps between validations.
        validation_stride: Every how manieth validation volume is used; 1 is all.
        checkpoint_every: Steps between checkpoints.
        seed: Seed of weights and of every draw.
    """

    training_data: Path
    validation_data: Path
    output: Path
    model: ModelConfig
    target_spacings: tuple[float, ...] = (0.0, 1.2)
    target_weights: tuple[float, ...] = (0.4, 0.6)
    batch_items: int = 6
    patch_size: int = 20
    margin: int = 2
    points: int = 6000
    isotropic_share: float = 0.55
    thick_share: float = 0.35
    whole_scale_share: float = 0.4
    scale_range: tuple[float, float] = (1.25, 4.25)
    thick_scale_range: tuple[float, float] = (1.5, 8.0)
    profile_weights: tuple[float, float, float, float] = (0.5, 0.38, 0.08, 0.04)
    thickness_range: tuple[float, float] = (0.6, 1.3)
    nominal_share: float = 0.5
    noise_share: float = 0.12
    noise_maximum: float = 0.03
    gamma_share: float = 0.2
    curve_share: float = 0.1
    steps: int = 20000
    learning_rate: float = 8e-4
    warm_up_steps: int = 200
    hold_share: float = 0.5
    gradient_clip: float = 0.5
    ema_decay: float = 0.999
    squared_share: float = 0.5
    precision: str = "fp32"
    validate_every: int = 1000
    validation_stride: int = 1
    checkpoint_every: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values that cannot train, before anything is read."""
        checks = {
            "scale_range": 1 <= self.scale_range[0] <= self.scale_range[1] <= 16,
            "thick_scale_range": 1 <= self.thick_scale_range[0] <= self.thick_scale_range[1] <= 16,
            "patch_size": 4 <= self.patch_size <= 128,
            "margin": 0 <= self.margin < self.patch_size / 2,
            "target_spacings": len(self.target_spacings) == len(self.target_weights) > 0,
            "steps": self.steps > self.warm_up_steps >= 0,
            "hold_share": 0 <= self.hold_share <= 1,
            "profile_weights": len(self.profile_weights) == 4 and sum(self.profile_weights) > 0,
            "isotropic_share": self.isotropic_share >= 0 and self.isotropic_share + self.thick_share <= 1,
            "batch_items": self.batch_items >= 1 and self.points >= 1,
            "precision": self.precision in ("fp32", "bf16"),
        }
        for name, passed in checks.items():
            if not passed:
                value = getattr(self, name)
                msg = (
                    f"The recipe's {name} = {value} is impossible; see the description of TrainingConfig for its range."
                )
                raise InputError(msg)


def read_recipe(path: Path, overrides: Sequence[str] = ()) -> TrainingConfig:
    """Read a TOML recipe.

    Args:
        path: The recipe; relative folders in it are relative to the working directory.
        overrides: ``key=value`` pairs, each value in TOML; ``model.key`` reaches into the model table.

    Raises:
        InputError: If the file cannot be read, or a key is unknown, missing or of another type.
    """
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"{path} cannot be read as a TOML recipe ({error}); begin with one of ArSSRLib/training/recipes."
        raise InputError(msg) from error
    for override in overrides:
        _override(table, override)
    return config_from_table(table, origin=str(path))


def config_from_table(table: dict[str, Any], *, origin: str) -> TrainingConfig:
    """Turn a parsed TOML table into a configuration; ``origin`` names it in errors.

    Raises:
        InputError: If a key is unknown, missing or of another type.
    """
    hints = typing.get_type_hints(TrainingConfig)
    unknown = sorted(set(table) - set(hints))
    required = [f.name for f in dataclasses.fields(TrainingConfig) if f.default is dataclasses.MISSING]
    missing = [name for name in required if name not in table]
    if unknown or missing:
        found = f"unknown keys {unknown}" if unknown else f"no {missing}"
        msg = f"{origin} has {found}; the keys are {', '.join(hints)}."
        raise InputError(msg)
    values = {name: _convert(name, value, hints[name]) for name, value in table.items() if name != "model"}
    return TrainingConfig(**values, model=model_config_from_dict(table["model"]))


def table_of(config: TrainingConfig) -> dict[str, Any]:
    """Return a configuration as plain values, as it stands in a TOML file."""
    table = dataclasses.asdict(config)
    return {name: str(value) if isinstance(value, Path) else value for name, value in table.items()}


def _convert(name: str, value: Any, hint: Any) -> Any:  # noqa: ANN401 - whatever TOML holds
    if hint is Path and isinstance(value, str):
        return Path(value)
    if typing.get_origin(hint) is tuple and isinstance(value, list | tuple):
        if all(isinstance(x, int | float) for x in value):
            return tuple(float(x) for x in value)
    elif hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif hint in (int, str) and type(value) is hint:
        return value
    msg = f"The recipe's {name} = {value!r} should be of type {getattr(hint, '__name__', hint)}."
    raise InputError(msg)


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
        table = table.setdefault(part, {})
    table[name] = value
