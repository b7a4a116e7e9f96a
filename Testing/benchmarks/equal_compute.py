"""Train several recipes for the same time: measure the cost of a step of each, then compute the number of steps.

    python Testing/benchmarks/equal_compute.py --minutes 120 --output runs/equal --set training_data=FOLDER \
        --set validation_data=FOLDER RECIPES/arssr2_cpu.toml 'RECIPES/srcnn3d.toml model.scale=2' \
        'RECIPES/srcnn3d.toml model.scale=3'

A run is a recipe with its overrides inside the same quotes; --set changes all runs. The costs are measured alternately
on a phantom, batch and step together, on the training device. Every run is then an ordinary `arssr train` with a fixed
number of steps, so that it can be repeated and resumed bit-identically, and its schedule ends with its budget.
``plan.csv`` in the output folder stores the steps: the same command continues an interrupted plan. ``report.md`` lists
the actual time of each run.
"""

from __future__ import annotations

import argparse
import csv
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import torch
from phantom import noisy_phantom

from ArSSRLib.checkpoint import read_metadata
from ArSSRLib.device import resolve_device
from ArSSRLib.errors import ArSSRError, InputError
from ArSSRLib.model.fixed_scale import FixedScaleConfig
from ArSSRLib.normalization import IntensityRange
from ArSSRLib.training.checkpoints import FINAL, LAST
from ArSSRLib.training.config import TrainingConfig
from ArSSRLib.training.dataset import BatchSampler
from ArSSRLib.training.loop import Trainer
from ArSSRLib.training.preparation import store
from ArSSRLib.training.processes import Processes
from ArSSRLib.training.recipe import read_recipe

# Large enough for a patch of 16 at scale 8, the largest of the included CPU recipes.
EDGE = 128
# Steps before the first one that counts, in which memory is allocated and kernels are selected.
WARM_UP = 2


@dataclass(frozen=True)
class Run:
    """One training: the name of its folder, its recipe, and its overrides."""

    name: str
    recipe: Path
    overrides: tuple[str, ...]
    config: TrainingConfig


def parse_run(text: str, common: Sequence[str]) -> Run:
    """Parse a run of the command line: a recipe and its overrides."""
    recipe, *own = shlex.split(text)
    overrides = (*common, *own)
    config = read_recipe(Path(recipe), overrides)
    at_scale = f"_x{config.model.scale:g}" if isinstance(config.model, FixedScaleConfig) else ""
    return Run(f"{Path(recipe).stem}{at_scale}", Path(recipe), overrides, config)


def measure(runs: Sequence[Run], *, rounds: int, device: str) -> dict[str, float]:
    """Return the seconds per step of each run, including the batch: the median of alternating steps."""
    volume = noisy_phantom((EDGE, EDGE, EDGE))
    stored = store(
        volume.with_array(IntensityRange.of(volume.array).normalize(volume.array)), subject="phantom", voxel_hash=""
    )
    target = resolve_device(device)
    trainers = {}
    for run in runs:
        config = replace(run.config, fixed_patches=0)  # fixed cubes are cut before the first step
        sampler = BatchSampler([[stored]] * len(config.target_spacings), config, device=target)
        trainers[run.name] = Trainer(config, sampler, [], processes=Processes(0, 1, target))
    seconds: dict[str, list[float]] = {run.name: [] for run in runs}
    for number in range(WARM_UP + rounds):
        for name, trainer in trainers.items():
            start = time.perf_counter()
            trainer.train_step(trainer.sampler.draw(trainer.step)).tolist()  # waits for the device
            if number >= WARM_UP:
                seconds[name].append(time.perf_counter() - start)
    return {name: median(values) for name, values in seconds.items()}


def plan(runs: Sequence[Run], path: Path, args: argparse.Namespace) -> dict[str, int]:
    """Return the steps of each run, from an existing plan or from new measurements."""
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            steps = {row["run"]: int(row["steps"]) for row in csv.DictReader(file)}
        if set(steps) != {run.name for run in runs}:
            msg = f"{path} plans {', '.join(steps)}; ask for the same runs, or choose another output."
            raise InputError(msg)
        return steps
    costs = measure(runs, rounds=args.rounds, device=args.device)
    steps = {name: int(60 * args.minutes / cost) for name, cost in costs.items()}
    for run in runs:
        if steps[run.name] <= run.config.warm_up_steps:
            msg = f"{run.name} takes {steps[run.name]} steps in {args.minutes:g} minutes, no more than its warm-up; "
            raise InputError(msg + "raise --minutes, or lower warm_up_steps.")
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [(name, f"{1000 * cost:.1f}", steps[name]) for name, cost in costs.items()]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("run", "milliseconds a step", "steps"), *rows])
    return steps


def train(run: Run, steps: int, args: argparse.Namespace) -> float:
    """Train or continue one run, and return the seconds of its steps."""
    output = args.output / run.name
    if not (output / FINAL).exists():
        changes = [*run.overrides, f"steps={steps}", f"output={output}"]
        options = [word for change in changes for word in ("--set", change)]
        options += ["--resume"] if (output / LAST).exists() else []
        command = [sys.executable, "-m", "ArSSRLib", "train", str(run.recipe), "--device", args.device, *options]
        subprocess.run(command, check=True)
    return float(read_metadata(output / FINAL)["training_seconds"])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train several recipes for the same time.")
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a recipe, and in the same quotes KEY=VALUE changes")
    parser.add_argument("--minutes", type=float, required=True, help="time that the steps of each run may take")
    parser.add_argument("--output", type=Path, required=True, help="folder of the runs, the plan and the report")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a value in every run")
    parser.add_argument("--rounds", type=int, default=9, help="steps measured of each run (default %(default)s)")
    parser.add_argument("--device", default="auto", help="as of arssr train")
    return parser.parse_args()


def main() -> int:
    """Plan, train and report; return the exit code."""
    args = _arguments()
    try:
        runs = [parse_run(text, args.set) for text in args.runs]
        if len({run.name for run in runs}) < len(runs):
            msg = "Two runs have the same recipe and scale; give them recipes of different names."
            raise InputError(msg)
        steps = plan(runs, args.output / "plan.csv", args)
        lines = ["| run | steps | minutes planned | minutes taken by its steps |", "| --- | ---: | ---: | ---: |"]
        for run in runs:
            seconds = train(run, steps[run.name], args)
            lines.append(f"| {run.name} | {steps[run.name]} | {args.minutes:g} | {seconds / 60:.1f} |")
    except ArSSRError as error:
        print(f"equal_compute: {error}", file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        return error.returncode
    report = "\n".join(lines) + f"\n\nPyTorch {torch.__version__}, {torch.get_num_threads()} threads, {args.device}.\n"
    (args.output / "report.md").write_text(report, encoding="utf-8")
    print(report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
