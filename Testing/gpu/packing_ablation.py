"""The cost of packing for a network: the same short run on the packed volumes and on the originals.

    python Testing/gpu/packing_ablation.py ORIGINALS PACKED --volumes 12 --steps 300

Both folders contain "train" and "val". Both runs have the same recipe, seed and target grid, so that they draw the same
patches; both networks are evaluated on the centers of the same original validation volumes.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]

from ArSSRLib.io.sources import read_checked  # noqa: E402 - found by the line above
from ArSSRLib.training.dataset import BatchSampler, load_training_volumes  # noqa: E402
from ArSSRLib.training.loop import Trainer  # noqa: E402
from ArSSRLib.training.packing import packed_sources  # noqa: E402
from ArSSRLib.training.preparation import Preparation, prepare  # noqa: E402
from ArSSRLib.training.processes import Processes  # noqa: E402
from ArSSRLib.training.recipe import read_recipe  # noqa: E402
from ArSSRLib.training.validation import Case, make_case, mean_gains, score_case, settings_for  # noqa: E402

RECIPE = ROOT / "ArSSRLib" / "training" / "recipes" / "arssr2_cpu.toml"
SMALL = ("model.channels=24", "model.blocks=2", "model.feature_channels=32", "points=2000", "precision='fp32'")
EDGE, VALIDATED, SPACING = 72, 2, 1.2
CPU = torch.device("cpu")


def main() -> None:
    """Train both, and print the mean gain over the floor of both."""
    parser = argparse.ArgumentParser(description="Compare training on packed volumes with training on the originals.")
    parser.add_argument("originals", type=Path)
    parser.add_argument("packed", type=Path)
    parser.add_argument("--volumes", type=int, default=12)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    cases: list[Case] = []
    for seed in range(arguments.seeds):
        gains = {}
        for name, folder, spacing in (
            ("originals", arguments.originals, SPACING),
            ("packed", arguments.packed, SPACING),
        ):
            with tempfile.TemporaryDirectory() as output:
                trainer = _trained(folder, Path(output), spacing, arguments, seed)
            cases = cases or _cases(arguments.originals, trainer)
            scores = [score_case(trainer.average, case, CPU) for case in cases]
            gains[name] = mean_gains(scores)
            print(seed, name, {key: round(value, 3) for key, value in gains[name].items()}, flush=True)
        print(
            f"seed {seed}: packed - originals {gains['packed']['mean'] - gains['originals']['mean']:+.3f} dB",
            flush=True,
        )


def _trained(folder: Path, output: Path, spacing: float, arguments: argparse.Namespace, seed: int) -> Trainer:
    fixed = [f"target_spacings=[{spacing}]", "target_weights=[1.0]", f"steps={arguments.steps}", f"seed={seed}"]
    config = read_recipe(RECIPE, [f"output={str(output)!r}", *SMALL, *fixed])
    config = dataclasses.replace(config, ema_decay=0.98, cache=Path(tempfile.gettempdir()) / "arssr-ablation")
    sources = packed_sources(folder / "train", "train")[:: max(1, 39 // arguments.volumes)][: arguments.volumes]
    print([source.path.name for source in sources], flush=True)
    grids = load_training_volumes(sources, config)
    trainer = Trainer(config, BatchSampler(grids, config), [], processes=Processes(0, 1, CPU))
    while trainer.step < arguments.steps:
        trainer.train_step(trainer.sampler.draw(trainer.step))
    return trainer


def _cases(originals: Path, trainer: Trainer) -> list[Case]:
    cases = []
    for source in packed_sources(originals / "val", "val")[:VALIDATED]:
        array = prepare(read_checked(source.path), Preparation(spacing=SPACING)).array
        middle = tuple(slice((n - EDGE) // 2, (n - EDGE) // 2 + EDGE) for n in array.shape)
        cases += [
            make_case(source.path.name, array[middle].copy(), *setting)
            for setting in settings_for(trainer.config.model)
        ]
    return cases


if __name__ == "__main__":
    main()
