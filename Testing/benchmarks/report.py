"""The results as Markdown: ratios first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from floors import Peaks, Work, answering, encoding
from jobs import (
    BF16,
    DEEP,
    ENCODE,
    EVERY_SLICE,
    ONCE,
    OPENVINO,
    OPENVINO_INT8,
    PLAIN_ENCODE,
    PLAIN_QUERY,
    PUBLISHED,
    QUERY,
    UPSAMPLE,
    Job,
    Row,
)
from machine import TOLERATED_LOAD, Machine
from memory import LargeJob
from procedures import Network
from speed import Timing, times_faster

from ArSSRLib.checkpoint import DEFAULT_MODEL

NETWORKS = {PUBLISHED: "published network (RDN)", DEFAULT_MODEL: f"default model ({DEFAULT_MODEL})", DEEP: DEEP}
WAYS = {
    EVERY_SLICE: "published procedure: encode for every slice, `grid_sample`",
    ONCE: "encode once, `grid_sample`",
    UPSAMPLE: "**ours: `upsample`**",
    BF16: "ours in bf16",
    OPENVINO: "ours by OpenVINO, fp32",
    OPENVINO_INT8: "ours by OpenVINO, int8",
    PLAIN_ENCODE: "encoder, plain `conv3d`",
    PLAIN_QUERY: "decoder, `grid_sample`",
    ENCODE: "**encoder, ours: `encode`**",
    QUERY: "**decoder, ours: `query_grid`**",
}
# The row of the same network with which each row is compared.
COMPARED_WITH = {ENCODE: PLAIN_ENCODE, QUERY: PLAIN_QUERY, PLAIN_ENCODE: PLAIN_ENCODE, PLAIN_QUERY: PLAIN_QUERY}
MARK = "(!)"
READING = (
    "Every row runs in a process of its own, in turns with the other rows of its table. Seconds depend on the machine "
    "and on its other load, so compare the ratios: medians over the rounds of the ratio within a round; above 1x is "
    "faster. Seconds are medians as well. The published procedure takes minutes and runs in one round only; ≈ marks "
    "what is computed from parts that were measured in the same run. CPU seconds are summed over the cores: where "
    "they are far fewer than the seconds, the machine was busy with something else. Memory is the peak of the whole "
    "process as the operating system counts it, in 1e9 bytes. The floor is the time that the operations of the direct "
    "algorithm take at the best measured peak, or the least traffic at the measured bandwidth, whichever is longer; a "
    "method with fewer operations, such as Winograd's, can exceed 100 % of it. Errors are the largest differences "
    "from the plain fp32 result of the same network, relative to the range of the input. The weights of the published "
    "network are random with a fixed seed: the authors' are not part of this project."
)


@dataclass(frozen=True)
class Result:
    """A job, the timings of its rows, and the work of its networks.

    Attributes:
        job: The job.
        timings: One per row.
        work: Work of encoding and of decoding, by network.
    """

    job: Job
    timings: Sequence[Timing]
    work: Mapping[str, tuple[Work, Work]]

    def timing(self, network: str, way: str) -> Timing | None:
        """Return a row, or None if it is missing."""
        return next((t for t in self.timings if t.row == Row(network, way)), None)

    def yardsticks(self, timing: Timing) -> tuple[Timing | None, Timing | None]:
        """Return the rows for comparison: the published procedure, and encoding once with the same network."""
        plain = COMPARED_WITH.get(timing.row.way, ONCE)
        return self.timing(PUBLISHED, EVERY_SLICE), self.timing(timing.row.network, plain)

    def needed(self, row: Row) -> Work:
        """Return the minimum work of a row."""
        encode, query = self.work[row.network]
        parts = {ENCODE: encode, PLAIN_ENCODE: encode, QUERY: query, PLAIN_QUERY: query}
        return parts.get(row.way, encode + query)

    def share_of_floor(self, timing: Timing, peaks: Peaks) -> float | None:
        """Return the floor of a row's work divided by its time."""
        return peaks.floor(self.needed(timing.row)) / median(timing.seconds) if timing.seconds else None

    def share_of_matmul(self, timing: Timing, peaks: Peaks) -> float | None:
        """Return a row's operations per second divided by those of the best matrix product."""
        if not timing.seconds:
            return None
        return self.needed(timing.row).operations / median(timing.seconds) / peaks.matmul


def work_of(job: Job, networks: Mapping[str, Network]) -> dict[str, tuple[Work, Work]]:
    """Return the work of each network for a job: encoding the input once, and decoding each voxel of the output."""
    coarse, fine = job.voxels
    return {name: (encoding(model, coarse), answering(model, coarse, fine)) for name, model in networks.items()}


def machine_section(machine: Machine, peaks: Peaks, loads: tuple[float, float | None]) -> str:
    """Return a description of the machine and of its load."""
    before, after = loads
    level2, level3 = (f"{size / 2**20:.4g} MB" if size else "unknown" for size in machine.caches)
    later = "the run is not over" if after is None else f"{after:.2f} after (this run included)"
    warning = [_warning("The load before the start was above")] if before > TOLERATED_LOAD else []
    return "\n".join(
        [
            "# Benchmarks",
            "",
            f"{machine.processor}: {machine.cores} cores, {level2} L2, {level3} L3, {machine.memory / 2**30:.3g} GB of "
            f"memory; {machine.system}, Python {machine.python}, PyTorch {machine.torch}. Threads: {machine.threads}. "
            f"Load average: {before:.2f} before, {later}.",
            "",
            f"Measured peaks, fp32: {_rate(peaks.matmul)} in a matrix product, {_rate(peaks.convolution)} in a "
            f"convolution; {peaks.bandwidth / 1e9:.3g} GB/s in a triad.",
            "",
            READING,
            *warning,
        ]
    )


def job_section(result: Result, peaks: Peaks) -> str:
    """Return the table of a job."""
    rows = [
        f"| {_name(t)} | {' | '.join(ratio_text(t, other) for other in result.yardsticks(t))} "
        f"| {_percent(result.share_of_floor(t, peaks))} {_costs(t)}"
        for t in result.timings
    ]
    job = result.job
    floors = [_floor(NETWORKS.get(name, name), sum(result.work[name], Work(0, 0)), peaks) for name in job.networks]
    where = "over the whole result" if job.plain else "in three boxes, both corners and the middle"
    limit = "" if job.memory_limit is None else f" `upsample` was given {job.memory_limit:g} GB."
    return "\n".join(
        [
            f"## {job.title}",
            "",
            "| procedure | against the published procedure | against encode once, same network | of the floor "
            "| seconds | CPU seconds | peak memory, GB | largest error |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
            *rows,
            "",
            f"Rounds: {job.rounds}. Errors are those {where}.{limit} {' '.join(floors)}",
            *_warnings(result),
        ]
    )


def parts_section(result: Result, peaks: Peaks) -> str:
    """Return the table of encoders and decoders alone."""
    rows = [
        f"| {_name(t)} | {ratio_text(t, result.yardsticks(t)[1])} | {_percent(result.share_of_matmul(t, peaks))} "
        f"| {_percent(result.share_of_floor(t, peaks))} {_costs(t)}"
        for t in result.timings
    ]
    floors = [
        _floor(f"{NETWORKS.get(name, name)}, {part}", work, peaks)
        for name in result.job.networks
        for part, work in zip(("encoder", "decoder"), result.work[name], strict=True)
    ]
    return "\n".join(
        [
            f"## Encoder and decoder alone: {result.job.title}",
            "",
            "| part | against plain | of the matmul peak | of the floor "
            "| seconds | CPU seconds | peak memory, GB | largest error |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
            *rows,
            "",
            f"Rounds: {result.job.rounds}. The memory of a decoder holds what was encoded before it; the error of an "
            f"encoder is that of the answers from its feature map. {' '.join(floors)}",
            *_warnings(result),
        ]
    )


def memory_section(job: LargeJob, scale: float, promised: tuple[float, float]) -> str:
    """Return the measurements of the large job with their promises: GB (1e9 bytes) and seconds."""
    rows = [
        ("peak memory, GB", job.peak_memory / 1e9, promised[0]),
        ("whole process, seconds", job.process_seconds, promised[1]),
    ]
    return "\n".join(
        [
            f"## Memory: {' x '.join(map(str, job.size))} voxels at {scale:g}x with the default model ({job.weights})",
            "",
            "| | measured | at most | |",
            "| --- | ---: | ---: | --- |",
            *(f"| {name} | {x:.3g} | {most:g} | {'kept' if x <= most else 'not kept'} |" for name, x, most in rows),
            "",
            f"Threads: {job.threads}; precision: fp32; memory limit: {promised[0]:g} GB. Tiles: {job.tiles}, which "
            f"encode {job.encoded:.2f} times the voxels of the input; the plan predicted a peak of "
            f"{job.planned_memory / 1e9:.3g} GB. `upsample` alone took {job.upsample_seconds:.1f} s. GB are 1e9 bytes, "
            "counted by the operating system. The limits are meant for two cores.",
        ]
    )


def _name(timing: Timing) -> str:
    mark = f" {MARK}" if timing.others > TOLERATED_LOAD else ""
    return f"{NETWORKS.get(timing.row.network, timing.row.network)}, {WAYS[timing.row.way]}{mark}"


def ratio_text(timing: Timing, yardstick: Timing | None) -> str:
    """Return the speedup over a yardstick, marked if one of them is computed; empty if there is none."""
    ratio = times_faster(timing, yardstick)
    if ratio is None or yardstick is None:
        return ""
    return f"{'≈ ' if timing.computed or yardstick.computed else ''}{short(ratio)}x"


def short(number: float) -> str:
    """Return a number with three digits, without exponents."""
    return f"{number:.3g}" if number < 100 else f"{number:,.0f}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.3g} %"


def _costs(timing: Timing) -> str:
    """Return the columns seconds, CPU seconds, memory and error, with the surrounding bars."""
    if not timing.seconds:
        return "| failed | | | |"
    seconds = short(median(timing.seconds))
    if timing.computed:
        return f"| ≈ {seconds} | | | |"
    memory = "" if timing.peak_memory is None else f"{timing.peak_memory / 1e9:.3g}"
    error = "" if timing.difference is None else f"{timing.difference:.1e}" if timing.difference else "0"
    return f"| {seconds} | {short(median(timing.cpu_seconds))} | {memory} | {error} |"


def _floor(title: str, work: Work, peaks: Peaks) -> str:
    arithmetic, traffic = peaks.seconds(work)
    return (
        f"Floor of {title}: {work.operations / 1e12:.3g} TFLOP, {arithmetic:.3g} s; "
        f"{work.traffic / 1e9:.3g} GB, {traffic:.3g} s."
    )


def _warnings(result: Result) -> list[str]:
    marked = any(timing.others > TOLERATED_LOAD for timing in result.timings)
    return [_warning(f"{MARK} While these rows ran, the load of other programs was above")] if marked else []


def _warning(beginning: str) -> str:
    return f"\n**{beginning} {TOLERATED_LOAD:g} cores: do not trust these numbers.**"


def _rate(operations: float) -> str:
    return f"{operations / 1e9:.4g} GFLOP/s"
