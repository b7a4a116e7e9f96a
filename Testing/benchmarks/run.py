"""`make bench`: speed and memory, as ratios measured in one run; never part of the tests.

Speed: the published procedure, encode once, and the engine with the same weights; our own models; and encoders and
    decoders alone. Training: a batch and a step with the published loader's procedure and with ours. Memory: one large
    job in a process from its start to its end. The tables are printed and written to ``bench_output``, with a figure
    and with the block for the README.

    python Testing/benchmarks/run.py            small jobs and the default model's promise: about ten minutes
    python Testing/benchmarks/run.py --full     large jobs, up to 256 x 256 x 176 at 2x: an hour or more
    python Testing/benchmarks/run.py --quick    tiny jobs, to verify that everything runs
    python Testing/benchmarks/run.py --size 64 64 64 --scale 3    one job of your own
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from math import prod
from pathlib import Path

import torch
from chart import draw
from floors import Peaks, measure_peaks
from jobs import BOTH, DEFAULT, EVERY_SLICE, FULL, PARTS, PLAIN_VOXELS, PUBLISHED, QUICK, Job
from machine import Machine, load_average, this_machine
from memory import LargeJobError, measure_memory
from promises import readme_block
from report import Result, job_section, machine_section, memory_section, parts_section, work_of
from speed import PlainCost, measure_job, plain_costs
from training import measure_training, training_section
from ways import network_named

from ArSSRLib.process import use_large_pages

OUTPUT = Path(__file__).resolve().parents[2] / "bench_output"
TRAINING_EDGE, TRAINING_ROUNDS, TRAINING_MINUTES = 96, 5, 1.0
# Seconds per shape for measuring the peaks, before the first and after the last job.
PEAK_SECONDS, QUICK_PEAK_SECONDS = 1.0, 0.02
# Mean share of the peak, and seconds for starting a process, for estimating the time.
USUAL_SHARE, START_SECONDS = 0.6, 3.0
# Limits of a whole process for 256 x 256 x 176 voxels at 2x with the default model: GB (1e9 bytes) and seconds.
LARGE_SIZE, LARGE_SCALE, LARGE_LIMITS = (256, 256, 176), 2.0, (6.0, 600.0)
LARGE_MINUTES = 2.0


class Report:
    """All measurements so far, written after each part, so that they are kept if a later part fails."""

    def __init__(self, path: Path, machine: Machine, *, peak_seconds: float) -> None:
        self._path, self._machine, self._peak_seconds = path, machine, peak_seconds
        self._load, self._peaks = load_average(), measure_peaks(seconds=peak_seconds)
        self._results: list[Result] = []
        self._sections: list[str] = []

    def expect(self, jobs: Sequence[Job], more: float) -> None:
        """Print the expected time: that of the jobs, and additional minutes."""
        minutes = expected_minutes(jobs, self._peaks) + more
        print(f"This takes about {max(1, round(minutes))} minutes.", file=sys.stderr, flush=True)

    def add_job(self, result: Result) -> None:
        """Print and write the table of a job."""
        self._results.append(result)
        print(_section(result, self._peaks), end="\n\n", flush=True)
        self._write(None)

    def add_section(self, section: str) -> None:
        """Print and write a section other than a job."""
        self._sections.append(section)
        print(section, end="\n\n", flush=True)
        self._write(None)

    def finish(self) -> None:
        """Measure the peaks once more, update all tables with them, and draw the figure."""
        self._peaks = self._peaks.best(measure_peaks(seconds=self._peak_seconds))
        self._write(load_average())
        if self._results:
            print(readme_block(self._results, self._peaks, self._machine), flush=True)
            draw(self._results, self._peaks, self._path.with_suffix(".png"))

    def _write(self, load: float | None) -> None:
        parts = [machine_section(self._machine, self._peaks, (self._load, load))]
        parts += [readme_block(self._results, self._peaks, self._machine)] if self._results else []
        parts += [*(_section(result, self._peaks) for result in self._results), *self._sections]
        self._path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _section(result: Result, peaks: Peaks) -> str:
    return (parts_section if result.job.parts else job_section)(result, peaks)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure speed and memory, as ratios in one run.")
    parser.add_argument("--only", choices=("speed", "training", "memory"), help="leave out the other parts")
    parser.add_argument("--full", action="store_true", help="large jobs: an hour or more on two cores")
    parser.add_argument("--quick", action="store_true", help="tiny jobs, to see that the benchmarks run")
    parser.add_argument("--size", type=int, nargs=3, metavar=("I", "J", "K"), help="one job of this many voxels")
    parser.add_argument("--scale", type=float, default=2.0, help="its factor (default %(default)g)")
    parser.add_argument("--rounds", type=int, metavar="N", help="measurements of each row, instead of the job's own")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="of PyTorch (default %(default)s)")
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="FOLDER", help="default: bench_output")
    arguments = parser.parse_args()
    if sum((arguments.full, arguments.quick, arguments.size is not None)) > 1:
        parser.error("--full, --quick and --size exclude each other; choose one")
    for name in ("rounds", "threads", "scale"):
        if (value := getattr(arguments, name)) is not None and value < 1:
            parser.error(f"--{name} must be at least 1, got {value:g}")
    if arguments.size and min(arguments.size) < 1:
        parser.error(f"--size must be three numbers of at least 1, got {' '.join(map(str, arguments.size))}")
    return arguments


def _jobs(arguments: argparse.Namespace) -> tuple[Job, ...]:
    jobs = QUICK if arguments.quick else FULL if arguments.full else DEFAULT
    if arguments.size:
        # The parts first, because the time of the published procedure is computed from them.
        plain = prod(arguments.size) <= PLAIN_VOXELS
        jobs = (PARTS, Job(tuple(arguments.size), arguments.scale, BOTH, rounds=3, plain=plain, variants=True))
    return tuple(replace(job, rounds=arguments.rounds) for job in jobs) if arguments.rounds else jobs


def expected_minutes(jobs: Sequence[Job], peaks: Peaks) -> float:
    """Return the approximate minutes of jobs, from their arithmetic."""
    seconds = 0.0
    for job in jobs:
        work = work_of(job, {name: network_named(name) for name in job.networks})
        for row in job.rows():
            encode, query = work[row.network]
            whole = encode.times(job.fine_shape[0] if row.way == EVERY_SLICE else 1) + query
            seconds += START_SECONDS + len(job.runs(row)) * peaks.floor(whole) / USUAL_SHARE
    return seconds / 60


def _measure_speed(jobs: Sequence[Job], threads: int, report: Report) -> None:
    costs: dict[str, PlainCost] = {}
    for job in jobs:
        # Every job has a row for the published procedure, although it may be computed.
        work = work_of(job, {name: network_named(name) for name in (*job.networks, PUBLISHED)})
        timings = measure_job(job, threads=threads, costs=costs)
        costs |= plain_costs(job, timings) if job.parts else {}
        report.add_job(Result(job, timings, work))


def _measure(arguments: argparse.Namespace, report: Report) -> None:
    quick, only = arguments.quick, arguments.only
    jobs = _jobs(arguments) if only in (None, "speed") else ()
    training = only == "training" or (only is None and not arguments.size)
    memory = only == "memory" or (only is None and (quick or arguments.full))
    if not quick:
        report.expect(jobs, TRAINING_MINUTES * training + LARGE_MINUTES * memory)
    _measure_speed(jobs, arguments.threads, report)
    if training:
        rounds, edge = (1, 40) if quick else (arguments.rounds or TRAINING_ROUNDS, TRAINING_EDGE)
        report.add_section(training_section(*measure_training(rounds=rounds, edge=edge)))
    if memory:
        size = QUICK[-1].size if quick else LARGE_SIZE
        job = measure_memory(size, LARGE_SCALE, memory_limit=LARGE_LIMITS[0], threads=arguments.threads)
        report.add_section(memory_section(job, LARGE_SCALE, LARGE_LIMITS))


def main() -> int:
    """Run the benchmarks, print their tables and write them; return the exit code."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    use_large_pages()  # as in the command line and the worker; inherited by the processes of the rows
    folder = arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    # A quick run never replaces a measurement.
    path = folder / ("quick.md" if arguments.quick else "benchmarks.md")
    try:
        seconds = QUICK_PEAK_SECONDS if arguments.quick else PEAK_SECONDS
        report = Report(path, this_machine(arguments.threads), peak_seconds=seconds)
        _measure(arguments, report)
        report.finish()
    except LargeJobError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    print(f"Written to {path}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
