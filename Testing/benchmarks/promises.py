"""The project's promises about speed and memory, their measurements, and the summary of both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from floors import Peaks
from jobs import ENCODE, PROMISED, PUBLISHED, QUERY, UPSAMPLE, Job
from machine import TOLERATED_LOAD, Machine
from report import NETWORKS, Result, ratio_text, short
from speed import times_faster

from ArSSRLib.checkpoint import DEFAULT_MODEL

# Speedups over the yardsticks, at 32 x 32 x 32 voxels and 2x, published weights; the image error of every fp32 row.
OVER_PUBLISHED, OVER_ONCE, LARGEST_ERROR = 30.0, 1.3, 1e-5
DECODER_SHARE = 0.65
OVER_PUBLISHED_SIZE = (32, 32, 32)
# Smaller jobs are not representative for volumes of usual size.
LEAST_EDGE = 24
# The default model on two cores.
PROMISED_SECONDS, PROMISED_GB, PROMISED_THREADS = 60.0, 4.0, 2
# The published network on the largest job.
LARGE_SIZE, LARGE_GB = (256, 256, 176), 12.0
START, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"


@dataclass(frozen=True)
class Promise:
    """One measurement and its limit.

    Attributes:
        title: Title.
        measured: The measurement.
        limit: The limit.
        at_least: Whether larger is better.
        form: Format of both.
    """

    title: str
    measured: float
    limit: float
    at_least: bool
    form: str

    @property
    def kept(self) -> bool:
        """Whether the limit is kept."""
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit


def promises(results: Sequence[Result], peaks: Peaks, threads: int) -> list[Promise]:
    """Return the promises that these results cover."""
    found = []
    for result in results:
        found += _of_published(result, peaks)
        found += _of_default_model(result, threads)
    errors = [
        timing.difference
        for result in results
        for timing in result.timings
        if timing.row.way in (UPSAMPLE, ENCODE, QUERY) and timing.difference is not None
    ]
    if errors:
        found.append(Promise("largest error of any fp32 row of ours", max(errors), LARGEST_ERROR, False, "{:.1e}"))
    return found


def _of_published(result: Result, peaks: Peaks) -> Iterator[Promise]:
    job, ours, decoder = result.job, result.timing(PUBLISHED, UPSAMPLE), result.timing(PUBLISHED, QUERY)
    if min(job.size) < LEAST_EDGE:
        return
    if decoder and (share := result.share_of_matmul(decoder, peaks)):
        yield Promise(f"decoder alone, {job.title}, of the matmul peak", share, DECODER_SHARE, True, "{:.0%}")
    if ours is None or not ours.seconds:
        return
    every_slice, once = result.yardsticks(ours)
    over_published, over_once = times_faster(ours, every_slice), times_faster(ours, once)
    if over_published and not every_slice.computed and (job.size, job.scale) == (OVER_PUBLISHED_SIZE, 2):
        title = f"{job.title}, published weights, against the published procedure"
        yield Promise(title, over_published, OVER_PUBLISHED, True, "{:.3g}x")
    if over_once and not once.computed:
        title = f"{job.title}, published weights, against encode once, `grid_sample`"
        yield Promise(title, over_once, OVER_ONCE, True, "{:.3g}x")
    if job.size == LARGE_SIZE and ours.peak_memory:
        yield Promise(f"{job.title}, published weights, GB", ours.peak_memory / 1e9, LARGE_GB, False, "{:.3g}")


def _of_default_model(result: Result, threads: int) -> Iterator[Promise]:
    ours = result.timing(DEFAULT_MODEL, UPSAMPLE)
    if ours is None or not ours.seconds or not ours.peak_memory:
        return
    if (result.job.size, result.job.scale, threads) == (PROMISED.size, PROMISED.scale, PROMISED_THREADS):
        title = f"{result.job.title}, default model, two cores"
        yield Promise(f"{title}, seconds", median(ours.seconds), PROMISED_SECONDS, False, "{:.3g}")
        yield Promise(f"{title}, GB", ours.peak_memory / 1e9, PROMISED_GB, False, "{:.3g}")


def readme_block(results: Sequence[Result], peaks: Peaks, machine: Machine) -> str:
    """Return the summary at the head of the report: the ratios of the engine's rows, the promises, and the machine."""
    rows = [row for result in results if not result.job.parts for row in _readme_rows(result, peaks)]
    kept = [
        f"| {p.title} | {p.form.format(p.measured)} | {'at least' if p.at_least else 'at most'} "
        f"{p.form.format(p.limit)} | {'yes' if p.kept else '**no**'} |"
        for p in promises(results, peaks, machine.threads)
    ]
    return "\n".join(
        [
            START,
            "| job | network | against the published procedure | against encode once | of the floor "
            "| seconds | GB | largest error |",
            "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
            *rows,
            "",
            "| promised | measured | limit | kept |",
            "| --- | ---: | ---: | --- |",
            *kept,
            "",
            f"Made by `make bench` on {machine.processor}, threads: {machine.threads}, fp32, PyTorch {machine.torch}. "
            f"The floor is the time that the arithmetic takes at the highest speed measured on this machine, "
            f"{peaks.operations / 1e9:.3g} GFLOP/s. GB are the peak of the whole process. ≈: compared with a time "
            f"computed from its parts, since the procedure takes hours or too much memory.{_load_note(results)}",
            END,
        ]
    )


def _readme_rows(result: Result, peaks: Peaks) -> Iterator[str]:
    for network in result.job.networks:
        ours = result.timing(network, UPSAMPLE)
        if ours is None or not ours.seconds:
            continue
        first, second = (ratio_text(ours, yardstick) for yardstick in result.yardsticks(ours))
        share = result.share_of_floor(ours, peaks)
        yield (
            f"| {_short(result.job)} | {NETWORKS.get(network, network)} | {first} | {second} | {share:.0%} "
            f"| {short(median(ours.seconds))} | {(ours.peak_memory or 0) / 1e9:.3g} | {ours.difference or 0:.1e} |"
        )


def _short(job: Job) -> str:
    return job.title.replace(" voxels", "")


def _load_note(results: Sequence[Result]) -> str:
    if all(timing.others <= TOLERATED_LOAD for result in results for timing in result.timings):
        return ""
    return " **The machine was busy with other programs: these numbers are not to be trusted.**"
