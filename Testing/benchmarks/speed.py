"""Time and memory of each row of a job: one process per row, measured alternately.

Alternation distributes temporary load or throttling of the machine over all rows.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
from jobs import BOXES, EVERY_SLICE, ONCE, PLAIN_ENCODE, PLAIN_QUERY, PUBLISHED, Job, Row
from machine import load_of_others

SCRIPT = Path(__file__).with_name("row_process.py")


class RowError(Exception):
    """The process of a row ended early; its standard error has the reason."""


@dataclass(frozen=True)
class Timing:
    """One row, measured or computed.

    Attributes:
        row: The row.
        seconds: One elapsed time per round; none if it failed.
        cpu_seconds: Processor time of the same rounds, summed over the cores.
        peak_memory: Peak memory of its process, including the first run, in bytes; None if it never ran.
        difference: Largest absolute difference from the plain fp32 result, as a fraction of the input's range; None if
            it never ran.
        others: Number of cores used by other programs meanwhile.
        computed: Whether the seconds are a sum of parts, measured in another job of the same run.
    """

    row: Row
    seconds: tuple[float, ...]
    cpu_seconds: tuple[float, ...] = ()
    peak_memory: int | None = None
    difference: float | None = None
    others: float = 0.0
    computed: bool = False


@dataclass(frozen=True)
class PlainCost:
    """Costs of the parts of the yardstick: seconds to encode a coarse voxel, and to decode a fine one."""

    encode: float
    query: float


def median_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """Return the median over the rounds of the ratio within a round."""
    return median(a / b for a, b in zip(numerators, denominators, strict=True))


def times_faster(timing: Timing, other: Timing | None) -> float | None:
    """Return the speedup of a row over another; None if one of them has no seconds.

    The published procedure runs in one round only; then, the ratio of the medians is used.
    """
    if other is None or not timing.seconds or not other.seconds:
        return None
    if len(other.seconds) != len(timing.seconds):
        return median(other.seconds) / median(timing.seconds)
    return median_ratio(other.seconds, timing.seconds)


class RowProcess:
    """The process of one row."""

    def __init__(self, row: Row, job: Job, threads: int) -> None:
        self.row = row
        request = json.dumps({"network": row.network, "way": row.way, "job": asdict(job), "threads": threads})
        self._process = subprocess.Popen(
            [sys.executable, str(SCRIPT), request], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def reply(self) -> dict[str, float]:
        """Wait for one reply; the first says that the row is ready."""
        line = self._process.stdout.readline()
        if not line:
            msg = f"The process ended with status {self._process.wait()}; its message, if it left any, is above."
            raise RowError(msg)
        return json.loads(line)

    def run(self, file: Path | None = None) -> dict[str, float]:
        """Run once; write the result to the file, if one is given."""
        with contextlib.suppress(BrokenPipeError):  # `reply` reports how it ended
            print(file or "", file=self._process.stdin, flush=True)
        return self.reply()

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


@dataclass
class _Record:
    """The state of a row so far."""

    process: RowProcess
    seconds: list[float]
    cpu_seconds: list[float]
    busy: float = 0.0
    peak_memory: int | None = None
    error: str = ""

    def timing(self) -> Timing:
        if self.error:
            return Timing(self.process.row, (), peak_memory=self.peak_memory)
        others = load_of_others(self.busy, sum(self.cpu_seconds), sum(self.seconds))
        return Timing(self.process.row, tuple(self.seconds), tuple(self.cpu_seconds), self.peak_memory, others=others)


def measure_job(job: Job, *, threads: int, costs: Mapping[str, PlainCost] | None = None) -> list[Timing]:
    """Measure every row of a job, alternately.

    Args:
        job: The job.
        threads: Number of PyTorch threads in each process.
        costs: Costs of the parts of the yardstick, by network, for rows that are too large to run.

    Returns:
        A timing for each row, measured or computed.
    """
    with tempfile.TemporaryDirectory() as folder:
        references = {network: job.reference(network) for network in job.networks}
        files = {row: Path(folder) / f"{n}.npy" for n, row in enumerate((*job.rows(), *references.values()))}
        for row in references.values():
            if row.way == BOXES:  # not one of the job's rows
                _answer_in_boxes(row, job, files[row], threads)
        records = {row: _Record(RowProcess(row, job, threads), [], []) for row in job.rows()}
        try:
            for record in records.values():
                _guarded(record, record.process.reply)
            for number in range(-1, job.rounds):
                for row, record in records.items():
                    if number in job.runs(row):
                        _measure(record, files[row], number=number, rounds=job.rounds)
        finally:
            for record in records.values():
                record.process.close()
        timings = [
            _compared(record.timing(), files[row], files[references[row.network]]) for row, record in records.items()
        ]
    # The published procedure first, and the yardstick of each network before its own rows.
    order = (PUBLISHED, *job.networks)
    return sorted(
        [*computed_timings(job, costs or {}), *timings],
        key=lambda t: (t.row.way != EVERY_SLICE, order.index(t.row.network), t.row.way != ONCE),
    )


def _measure(record: _Record, file: Path, *, number: int, rounds: int) -> None:
    """Run a row once; the first run also writes its result and reports its memory, and round -1 is a warm-up."""
    if record.error:
        return
    first = record.peak_memory is None
    reply = _guarded(record, lambda: record.process.run(file if first else None))
    if reply is None:
        return
    if first:
        record.peak_memory = int(reply["peak_memory"])
    if number >= 0:
        record.seconds.append(reply["seconds"])
        record.cpu_seconds.append(reply["cpu_seconds"])
        record.busy += reply["busy_seconds"]
    name = f"{record.process.row.network}: {record.process.row.way}"
    print(
        f"{f'round {number + 1} of {rounds}' if number >= 0 else 'warm-up'}: {reply['seconds']:9.3f} s  {name}",
        file=sys.stderr,
        flush=True,
    )


def _guarded(record: _Record, action: Callable[[], dict[str, float]]) -> dict[str, float] | None:
    """Return the result of an action of a row's process; None after a failure, so that other rows continue."""
    try:
        return None if record.error else action()
    except RowError as error:
        record.error = str(error)
        print(f"{record.process.row.network}, {record.process.row.way}: {error}", file=sys.stderr, flush=True)
        return None


def _answer_in_boxes(row: Row, job: Job, file: Path, threads: int) -> None:
    """Write the yardstick's results in the boxes of a job that it could not complete; nothing if it crashes."""
    record = _Record(RowProcess(row, job, threads), [], [])
    try:
        _guarded(record, record.process.reply)
        _guarded(record, lambda: record.process.run(file))
    finally:
        record.process.close()


def _compared(timing: Timing, file: Path, reference: Path) -> Timing:
    if not (file.exists() and reference.exists()):
        return timing
    return replace(timing, difference=float(np.abs(np.load(file) - np.load(reference)).max()))


def plain_costs(job: Job, timings: Sequence[Timing]) -> dict[str, PlainCost]:
    """Return the costs of the yardstick's parts per voxel, by network, from a job of parts."""
    coarse, fine = job.voxels
    seconds = {t.row: median(t.seconds) for t in timings if t.seconds}
    costs = {}
    for network in job.networks:
        encode, query = (seconds.get(Row(network, way)) for way in (PLAIN_ENCODE, PLAIN_QUERY))
        if encode and query:
            costs[network] = PlainCost(encode / coarse, query / fine)
    return costs


def computed_timings(job: Job, costs: Mapping[str, PlainCost]) -> list[Timing]:
    """Return the yardsticks that are too slow or too large for a job, as sums of their parts."""
    if job.parts:
        return []
    coarse, fine = job.voxels
    counts = [(PUBLISHED, EVERY_SLICE, job.fine_shape[0])] if not job.every_slice else []
    counts += [(network, ONCE, 1) for network in job.networks] if not job.plain else []
    return [
        Timing(Row(network, way), (slices * coarse * cost.encode + fine * cost.query,) * job.rounds, computed=True)
        for network, way, slices in counts
        if (cost := costs.get(network))
    ]
