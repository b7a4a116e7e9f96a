"""How long each row of a job takes, and how much memory: a process for each, measured in turns.

In turns, so that a machine that is busy, hot or slow for a while slows all of them.
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
    """The process of a row ended before it should; it has said why on the standard error."""


@dataclass(frozen=True)
class Timing:
    """One row, measured or computed.

    Attributes:
        row: What was done.
        seconds: One measurement a round, by the clock on the wall; none if it failed.
        cpu_seconds: The same rounds, by the time that the processor spent on them, summed over the cores.
        peak_memory: The most that its process held, its first run included, in bytes; None if it never ran.
        difference: Largest absolute difference from the plain fp32 answer, in parts of the input's range; None if
            it never ran.
        others: Cores that others kept busy meanwhile.
        computed: The seconds are a sum of parts, measured in another job of the same run.
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
    """What the yardstick's parts take: seconds to encode a coarse voxel, and to answer for a fine one."""

    encode: float
    query: float


def median_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """Return the median over the rounds of the ratio within a round."""
    return median(a / b for a, b in zip(numerators, denominators, strict=True))


def times_faster(timing: Timing, other: Timing | None) -> float | None:
    """Return how often a row fits into another; None where one of them has no seconds.

    The published procedure runs in one round only: then it is the ratio of the medians.
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
        """Run once; the answer is written to the file, if one is given."""
        with contextlib.suppress(BrokenPipeError):  # `reply` tells how it ended
            print(file or "", file=self._process.stdin, flush=True)
        return self.reply()

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


@dataclass
class _Record:
    """What is known of a row so far."""

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
    """Measure every row of a job in turns.

    Args:
        job: What to do.
        threads: Threads of PyTorch in each process.
        costs: What the parts of the yardstick take, by network, for the rows that the job is too large for.

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
    # The published procedure first, and each network's yardstick before its own rows.
    order = (PUBLISHED, *job.networks)
    return sorted(
        [*computed_timings(job, costs or {}), *timings],
        key=lambda t: (t.row.way != EVERY_SLICE, order.index(t.row.network), t.row.way != ONCE),
    )


def _measure(record: _Record, file: Path, *, number: int, rounds: int) -> None:
    """Run a row once; its first run writes its answer and tells its memory, and round -1 warms up."""
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
    """Return what an action of a row's process returns; None once it has failed: the other rows go on."""
    try:
        return None if record.error else action()
    except RowError as error:
        record.error = str(error)
        print(f"{record.process.row.network}, {record.process.row.way}: {error}", file=sys.stderr, flush=True)
        return None


def _answer_in_boxes(row: Row, job: Job, file: Path, threads: int) -> None:
    """Write the yardstick's answers in the boxes of a job that it could not finish; nothing if it dies."""
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
    """Return what the yardstick's parts took for each voxel, by network, from a job of parts."""
    coarse, fine = job.voxels
    seconds = {t.row: median(t.seconds) for t in timings if t.seconds}
    costs = {}
    for network in job.networks:
        encode, query = (seconds.get(Row(network, way)) for way in (PLAIN_ENCODE, PLAIN_QUERY))
        if encode and query:
            costs[network] = PlainCost(encode / coarse, query / fine)
    return costs


def computed_timings(job: Job, costs: Mapping[str, PlainCost]) -> list[Timing]:
    """Return the yardsticks that are too slow or too large to run for a job, as sums of their parts."""
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
