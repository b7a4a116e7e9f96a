"""`make bench`: speed and memory, as ratios measured in one run; never part of the tests.

Speed: the published procedure, encode once, and ours with the same weights; and the default model. Training: a batch
and a step with the published loader's procedure and with ours. Memory: one large job with the default model. The
tables are printed and written to ``bench_output``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from memory import LargeJobError, measure_memory
from phantom import noisy_phantom
from report import (
    PROMISED_GB,
    PROMISED_SCALE,
    PROMISED_SIZE,
    PROMISED_THREADS,
    machine_section,
    memory_section,
    speed_section,
)
from speed import measure_speed
from training import measure_training, training_section

OUTPUT = Path(__file__).resolve().parents[2] / "bench_output"
# A few minutes on two cores: the published procedure encodes 48 times in every round. Below 18 voxels PyTorch takes
# another convolution, four times slower, which says nothing about volumes of a usual size.
EDGE, ROUNDS = 24, 5
QUICK_EDGE, QUICK_ROUNDS, QUICK_SIZE = 6, 1, (24, 20, 16)
TRAINING_EDGE = 96


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure speed and memory, as ratios in one run.")
    parser.add_argument("--only", choices=("speed", "training", "memory"), help="leave out the other parts")
    parser.add_argument(
        "--edge", type=int, metavar="N", help=f"voxels along each axis of the speed job (default {EDGE})"
    )
    parser.add_argument("--rounds", type=int, metavar="N", help=f"measurements of each procedure (default {ROUNDS})")
    parser.add_argument(
        "--large-size",
        type=int,
        nargs=3,
        metavar=("I", "J", "K"),
        help=f"voxels of the memory job (default {' '.join(map(str, PROMISED_SIZE))})",
    )
    parser.add_argument(
        "--threads", type=int, default=PROMISED_THREADS, metavar="N", help="threads of PyTorch (default %(default)s)"
    )
    parser.add_argument("--quick", action="store_true", help="tiny jobs, to see in seconds that the benchmarks run")
    arguments = parser.parse_args()
    for name in ("edge", "rounds", "threads"):
        if (value := getattr(arguments, name)) is not None and value < 1:
            parser.error(f"--{name} must be at least 1, got {value}")
    return arguments


def _sections(arguments: argparse.Namespace) -> Iterator[str]:
    """Measure and yield one section after the other, so that what is measured is kept if a later part fails."""
    quick = arguments.quick
    yield machine_section()
    if arguments.only in (None, "speed"):
        edge = arguments.edge or (QUICK_EDGE if quick else EDGE)
        volume = noisy_phantom((edge, edge, edge))
        timings = measure_speed(volume, PROMISED_SCALE, rounds=arguments.rounds or (QUICK_ROUNDS if quick else ROUNDS))
        yield speed_section(volume, PROMISED_SCALE, timings)
    if arguments.only in (None, "training"):
        costs, config = measure_training(
            rounds=arguments.rounds or (QUICK_ROUNDS if quick else ROUNDS), edge=40 if quick else TRAINING_EDGE
        )
        yield training_section(costs, config)
    if arguments.only in (None, "memory"):
        i, j, k = arguments.large_size or (QUICK_SIZE if quick else PROMISED_SIZE)
        job = measure_memory((i, j, k), PROMISED_SCALE, memory_limit=PROMISED_GB, threads=arguments.threads)
        yield memory_section(job, PROMISED_SCALE, PROMISED_GB)


def main() -> int:
    """Run the benchmarks, print their tables and write them; returns the exit status."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    OUTPUT.mkdir(exist_ok=True)
    # A look at the code never replaces a measurement.
    path = OUTPUT / ("quick.md" if arguments.quick else "benchmarks.md")
    text = ""
    try:
        for section in _sections(arguments):
            text += f"{section}\n\n"
            path.write_text(text.rstrip() + "\n", encoding="utf-8")
            print(section, end="\n\n", flush=True)
    except LargeJobError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    print(f"Written to {path.relative_to(OUTPUT.parent)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
