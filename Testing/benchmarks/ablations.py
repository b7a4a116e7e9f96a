"""The effect of each training choice: the same small network, steps and seed, with one choice reverted at a time.

    python Testing/benchmarks/ablations.py TRAINING_FOLDER VALIDATION_FOLDER --output ablations

Every variant is evaluated on whole validation volumes. Finished variants are kept in the output folder and not trained
again, so that an interrupted run can be continued. With the bundled network, it takes hours on a laptop; the default is
a small network with 1,000 steps, a few minutes per variant.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor, nn

from ArSSRLib.convolution.slabs import Advance, unobserved
from ArSSRLib.model import arssr2
from ArSSRLib.model.config import ModelConfig
from ArSSRLib.model.interface import Conditioning
from ArSSRLib.training import cli, recipes
from ArSSRLib.training.loop import Trainer
from ArSSRLib.training.processes import Processes, joined_processes

RECIPE = Path(recipes.__path__[0]) / "arssr2_cpu.toml"
# Small enough for a laptop, with a correspondingly short average; otherwise the recipe of the bundled weights.
SMALL = (
    "model.channels=24",
    "model.blocks=4",
    "model.feature_channels=32",
    "batch_items=4",
    "points=2000",
    "ema_decay=0.99",
)


class WithoutResidual(arssr2.ArSSR2):
    """Predicts the intensity itself instead of a change of cubic interpolation."""

    def __init__(self, config: arssr2.ArSSR2Config) -> None:
        super().__init__(config)
        nn.init.kaiming_uniform_(self.output.weight, a=math.sqrt(5))

    def encode(self, volume: Tensor, told: Conditioning | None = None) -> Tensor:
        feature_map = super().encode(volume, told)
        return torch.cat([feature_map[:, :-1], torch.zeros_like(feature_map[:, -1:])], dim=1)

    def encode_lean(self, volume: Tensor, told: Conditioning | None = None, advance: Advance = unobserved) -> Tensor:
        return self.encode(volume, told)

    def _decode(self, features: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
        return super()._decode(features, gain, shift) / arssr2.RESIDUAL_GAIN


class WithAbsoluteCoordinates(arssr2.ArSSR2):
    """The decoder receives the position in the whole encoded patch, as published, not the position in its voxel."""

    def encode(self, volume: Tensor, told: Conditioning | None = None) -> Tensor:
        self._encoded_shape = volume.shape[2:]
        return super().encode(volume, told)

    def encode_lean(self, volume: Tensor, told: Conditioning | None = None, advance: Advance = unobserved) -> Tensor:
        return self.encode(volume, told)

    def position_modulation(self, axis: int, position: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        place = (2 * (position + 0.5) / self._encoded_shape[axis] - 1).to(cell.dtype)
        turn = math.pi * place
        inputs = torch.stack([place, turn.sin(), turn.cos(), torch.zeros_like(place), cell], dim=-1)
        gain, shift = self.axis_modulation[axis](inputs).chunk(2, dim=-1)
        return 1 + gain, shift


@dataclass(frozen=True)
class Variant:
    """One reverted choice.

    Attributes:
        name: One word, for files.
        title: Title in the table.
        overrides: Values of the recipe that differ.
        network: Replacement of the network.
    """

    name: str
    title: str
    overrides: tuple[str, ...] = ()
    network: Callable[[ModelConfig], nn.Module] = field(default=arssr2.ArSSR2)


VARIANTS = (
    Variant("recipe", "the recipe"),
    Variant("adam", "Adam instead of Muon, at its own learning rate of 5e-4", ("optimizer=adam", "learning_rate=5e-4")),
    Variant("endpoints", "patches aligned by their endpoints, as published", ("alignment=endpoints",)),
    Variant("direct", "no residual: the network gives the intensity itself", network=WithoutResidual),
    Variant("absolute", "absolute coordinates, as published", network=WithAbsoluteCoordinates),
    Variant("cubic", "point sampling alone, as published", ("degradation=cubic",)),
    Variant("contrast", "no random contrast", ("gamma_share=0", "curve_share=0")),
    Variant("l1", "plain L1, as published", ("loss=l1",)),
)


def train_and_judge(variant: Variant, args: argparse.Namespace, processes: Processes) -> dict[str, float]:
    """Train a variant from the recipe's seed; return its gain over the floor in dB by setting."""
    overrides = [
        f"training_data={args.training}",
        f"validation_data={args.validation}",
        f"output={args.output / variant.name}",
        f"steps={args.steps}",
        f"validate_every={args.steps}",
        f"checkpoint_every={args.steps}",
        "validation_stride=1",
        *SMALL,
        *args.set,
        *variant.overrides,
    ]
    command = argparse.Namespace(recipe=RECIPE, overrides=overrides, init=None, resume=False)
    with mock.patch("ArSSRLib.training.loop.build_model", variant.network):
        trainer: Trainer = cli.make_trainer(command, processes)
    return fitted(trainer, progress=not args.no_progress)


def fitted(trainer: Trainer, *, progress: bool) -> dict[str, float]:
    """Train to the last step; return the gains over the floor in dB of the last validation."""
    gains: dict[str, float] = {}
    judge = trainer.validate
    with mock.patch.object(trainer, "validate", lambda received: gains.update(judge(received)) or gains):
        if trainer.fit(progress=progress):
            raise SystemExit("Stopped; what was finished before is kept in the output folder.")
    return gains


def as_markdown(results: dict[str, dict[str, float]]) -> str:
    """Return gains over the floor in dB, one row per variant."""
    titles = {variant.name: variant.title for variant in VARIANTS}
    settings = list(next(iter(results.values())))
    lines = [f"| variant | {' | '.join(settings)} |", "| --- |" + " --- |" * len(settings)]
    for name, gains in results.items():
        lines.append(f"| {titles[name]} | {' | '.join(f'{gains[setting]:+.2f}' for setting in settings)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Train small networks with one choice undone at a time.")
    parser.add_argument("training", type=Path)
    parser.add_argument("validation", type=Path)
    parser.add_argument("--output", type=Path, default=Path("runs/ablations"))
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--only", nargs="+", choices=[variant.name for variant in VARIANTS])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change the recipe of all")
    parser.add_argument("--no-progress", action="store_true")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    results = {}
    with joined_processes("cpu") as processes:
        for variant in VARIANTS:
            if args.only and variant.name not in args.only:
                continue
            kept = args.output / f"{variant.name}.json"
            if not kept.exists():
                gains = train_and_judge(variant, args, processes)
                kept.write_text(json.dumps(gains), encoding="utf-8")
            results[variant.name] = json.loads(kept.read_text(encoding="utf-8"))
    table = as_markdown(results)
    (args.output / "ablations.md").write_text(table, encoding="utf-8")
    print(table)


if __name__ == "__main__":
    main()
