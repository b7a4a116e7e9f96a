"""Volumes and minutes that fine-tuning needs: a network without data of a scanner is tuned on a few of its volumes.

    python Testing/benchmarks/fine_tuning.py TRAINING_FOLDER VALIDATION_FOLDER --scanner ds000011

Files whose names begin with ``--scanner`` are left out of the first training; fine-tuning then uses 1, 3 and all of
them, and is evaluated on the validation volumes of that scanner. The network is small and the training short, as in
`ablations`; finished parts are kept and not computed again.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import ablations

from ArSSRLib.training import recipes
from ArSSRLib.training.checkpoints import FINAL
from ArSSRLib.training.processes import Processes, joined_processes

FINE_TUNE = Path(recipes.__path__[0]) / "fine_tune.toml"


def write_table(path: Path, training: list[Path], validation: list[Path]) -> Path:
    """Write a CSV file for `arssr train`."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = [(p.resolve(), "train") for p in training] + [(p.resolve(), "val") for p in validation]
        csv.writer(file).writerows([("path", "split"), *rows])
    return path


def judged(name: str, recipe: Path, overrides: list[str], *, init: Path | None, args: argparse.Namespace) -> dict:
    """Train one run unless it is finished; return its gains in dB by setting, and the seconds of its steps."""
    kept = args.output / f"{name}.json"
    if not kept.exists():
        with joined_processes("cpu") as processes:
            kept.write_text(json.dumps(_trained(name, recipe, overrides, init, args, processes)), encoding="utf-8")
    return json.loads(kept.read_text(encoding="utf-8"))


def _trained(
    name: str, recipe: Path, overrides: list[str], init: Path | None, args: argparse.Namespace, processes: Processes
) -> dict:
    command = argparse.Namespace(
        recipe=recipe,
        overrides=[f"output={args.output / name}", *overrides, *args.set],
        init=str(init) if init else None,
        resume=False,
    )
    trainer = ablations.cli.make_trainer(command, processes)
    gains = ablations.fitted(trainer, progress=not args.no_progress)
    return {"gains": gains, "seconds": trainer.seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what fine-tuning on a few volumes of another scanner gives.")
    parser.add_argument("training", type=Path)
    parser.add_argument("validation", type=Path)
    parser.add_argument("--scanner", required=True, help="how the names of the volumes of the other scanner begin")
    parser.add_argument("--output", type=Path, default=Path("runs/fine_tuning"))
    parser.add_argument("--steps", type=int, default=600, help="of the first training (default %(default)s)")
    parser.add_argument("--tuning-steps", type=int, default=300)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change the recipes")
    parser.add_argument("--no-progress", action="store_true")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    files = sorted(args.training.glob("*.nii.gz"))
    theirs = [path for path in files if path.name.startswith(args.scanner)]
    ours = [path for path in files if path not in theirs]
    unseen = sorted(args.validation.glob(f"{args.scanner}*.nii.gz"))
    if not (theirs and ours and unseen):
        parser.error(f"some volumes of both folders should begin with {args.scanner}, and some of training should not")

    def run(name: str, recipe: Path, volumes: list[Path], steps: int, *, init: Path | None, more: tuple = ()) -> dict:
        table = write_table(args.output / f"{name}.csv", volumes, unseen)
        values = [f"training_data={table}", f"validation_data={table}", f"steps={steps}", f"validate_every={steps}"]
        overrides = [*values, f"checkpoint_every={steps}", "batch_items=4", "points=2000", *more]
        return judged(name, recipe, overrides, init=init, args=args)

    base = run("first", ablations.RECIPE, ours, args.steps, init=None, more=ablations.SMALL)
    lines = ["| trained on | minutes | gain over the floor, dB |", "| --- | --- | --- |"]
    lines.append(f"| {len(ours)} volumes of one scanner | {base['seconds'] / 60:.1f} | {base['gains']['mean']:+.2f} |")
    for count in sorted({1, min(3, len(theirs)), len(theirs)}):
        first = args.output / "first" / FINAL
        tuned = run(f"tuned_{count}", FINE_TUNE, theirs[:count], args.tuning_steps, init=first)
        gain = tuned["gains"]["mean"]
        lines.append(f"| and {count} of the other | {tuned['seconds'] / 60:.1f} more | {gain:+.2f} |")
    table = "\n".join(lines) + "\n"
    (args.output / "fine_tuning.md").write_text(table, encoding="utf-8")
    print(table)


if __name__ == "__main__":
    main()
