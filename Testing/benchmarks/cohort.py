"""Many small scans: a plain loop, the processes of this machine, and a Dask cluster that loses a worker.

``python Testing/benchmarks/cohort.py`` creates 1,000 subjects of 16 x 16 x 16 voxels and upsamples them in each way
with a tiny network, so that the overhead is measured. The report is Resources/Performance/cohort.md. On a quiet machine
with two cores, it takes about five minutes, with ``--scans 300`` about two. With one ``--way`` per call, the
measurements are kept in ``--folder``, and the report is written once all ways are measured.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing")]

from ArSSRLib.process import let_threads_sleep, return_freed_memory, use_large_pages  # noqa: E402

if __name__ == "__main__":  # as in the command line, before PyTorch is loaded
    use_large_pages()
    return_freed_memory()
    let_threads_sleep(always=True)

import phantoms  # noqa: E402
import torch  # noqa: E402
from benchmarks.machine import Machine, busy_seconds, load_of_others, this_machine  # noqa: E402

from ArSSRLib import write_volume  # noqa: E402
from ArSSRLib.checkpoint import save_model  # noqa: E402
from ArSSRLib.cohort.dataset import Selection, find_scans  # noqa: E402
from ArSSRLib.cohort.derivatives import prepare  # noqa: E402
from ArSSRLib.cohort.distribution import outcomes_of  # noqa: E402
from ArSSRLib.cohort.memory import share_of_worker  # noqa: E402
from ArSSRLib.cohort.places import Place  # noqa: E402
from ArSSRLib.cohort.processing import Task, load, process  # noqa: E402
from ArSSRLib.geometry import VolumeGeometry  # noqa: E402
from ArSSRLib.model.arssr2 import ArSSR2Config  # noqa: E402
from ArSSRLib.model.registry import build_model  # noqa: E402
from ArSSRLib.options import UpsamplingOptions  # noqa: E402

REPORT = ROOT / "Resources" / "Performance" / "cohort.md"
EDGE, WORKERS = 16, 4
PLAIN, LOCAL, CLUSTER = "plain loop", "--jobs 2", f"--scheduler, {WORKERS} workers, one killed"
COLUMNS = (
    "way",
    "scans/s",
    "against the plain loop",
    "seconds until the first scan",
    "processor ms/scan",
    "overhead ms/scan",
    "memory of the scheduler",
    "workers lost",
    "scans lost",
    "scans twice",
    "cores busy with other programs",
)
HEAD = """# Many scans

Written by `python Testing/benchmarks/cohort.py`. {scans} scans of {edge} x {edge} x {edge} voxels at 2x, with a
tiny network, so that the overhead is measured: reading, planning, writing three files, and distributing. Machine:
{processor}, {cores} cores, {memory:.0f} GB, Python {python}, PyTorch {torch}.

"""
FOOT = """
*Overhead* is the processor time per scan in addition to the plain loop, of all processes together, including their
start; unlike the scans per second, it hardly depends on other programs. If other programs leave only one core free,
several processes cannot be faster than one. *Scans lost* have no outcome or no result; *scans twice* have more than one
outcome. The memory of the scheduler is the peak resident size of its process; at first, it was {empty:.0f} MB.
With `--jobs`, the scheduler is part of the command.
"""


@dataclass(frozen=True)
class Row:
    """The measurements of one way.

    Attributes:
        scans: Number of scans.
        seconds: Time from the first outcome to the last.
        start: Seconds until the first outcome.
        processor: Seconds of processor time of all processes.
        scheduler: Peak memory of the scheduler's process in bytes, and its memory at the first scan; 0 without a
            scheduler.
        lost_workers: Number of killed workers.
        lost: Scans without outcome or result.
        twice: Scans with more than one outcome.
        others: Mean number of cores used by other programs.
    """

    scans: int
    seconds: float
    start: float
    processor: float
    scheduler: tuple[int, int]
    lost_workers: int
    lost: int
    twice: int
    others: float


def make_data_set(root: Path, scans: int) -> Path:
    """Write subjects with one scan each, and the weights of a tiny network; return the weights."""
    geometry = VolumeGeometry((EDGE,) * 3, (1.0, 1.0, 1.0))
    volume = phantoms.sample(phantoms.blobs_in(geometry), geometry)
    volume = volume.with_array(np.rint(volume.array * 100).astype("i2"))
    for number in range(scans):
        folder = root / f"sub-{number:05}" / "anat"
        folder.mkdir(parents=True)
        write_volume(volume, folder / f"sub-{number:05}_T1w.nii.gz")
    (root / "dataset_description.json").write_text('{"Name": "Phantoms", "BIDSVersion": "1.10.0"}')
    torch.manual_seed(1)
    model = build_model(ArSSR2Config(channels=4, blocks=1, feature_channels=8, decoder_layers=2))
    return save_model(model, root.with_name("tiny.safetensors"), metadata={"title": "Tiny"})


def tasks_of(root: Path, output: Path, weights: Path) -> list[Task]:
    """Return the tasks of `arssr bids` for the data set."""
    shutil.rmtree(output, ignore_errors=True)
    prepare(root, output, "benchmark")
    how = {"scale": (2.0,), "spacing": None, "size": None, "isotropic": False, "force": False, "overwrite": False}
    scans = find_scans(root, Selection()).scans
    return [Task(str(root), str(output), scan, how, str(weights), UpsamplingOptions(device="cpu")) for scan in scans]


class Watch:
    """Sums the processor time of a tree of processes, including ended ones."""

    def __init__(self) -> None:
        self._process, self._seconds = psutil.Process(), dict[int, float]()
        self._before = self.total()

    def total(self) -> float:
        """Return the seconds of all processes since the first call."""
        for member in [self._process, *self._process.children(recursive=True)]:
            try:
                times = member.cpu_times()
            except psutil.Error:
                continue
            self._seconds[member.pid] = times.user + times.system
        return sum(self._seconds.values())

    def since_start(self) -> float:
        """Return the seconds of all processes since this object was created."""
        return self.total() - self._before


@contextmanager
def cluster(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Start a scheduler and workers like `dask scheduler` and `dask worker`; they end with the block."""
    file = folder / "address"
    file.unlink(missing_ok=True)
    dask = [sys.executable, "-m", "distributed.cli.dask_"]
    words = ["--scheduler-file", str(file), "--no-dashboard"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    scheduler = subprocess.Popen([*dask[:2], f"{dask[2]}scheduler", *words, "--host", "127.0.0.1"], **quiet)
    words = [*words, "--nthreads", "1", "--nworkers", str(WORKERS), "--host", "127.0.0.1"]
    workers = subprocess.Popen([*dask[:2], f"{dask[2]}worker", *words], **quiet)
    try:
        while not file.exists() or len(psutil.Process(workers.pid).children()) < WORKERS:
            time.sleep(0.2)
        yield json.loads(file.read_text())["address"], psutil.Process(scheduler.pid)
    finally:
        for started in (workers, scheduler):
            started.terminate()
            started.wait(30)


def run(way: str, folder: Path) -> Row:
    """Upsample the data set one way."""
    tasks = tasks_of(folder / "raw", folder / "out", folder / "tiny.safetensors")
    load(tasks[0].model)
    if way == CLUSTER:
        with cluster(folder) as (address, scheduler):
            return _measured(tasks, Place(scheduler=address), scheduler)
    if way == PLAIN:
        process(tasks[0])  # initializes PyTorch
        tasks = tasks_of(folder / "raw", folder / "out", folder / "tiny.safetensors")
    return _measured(tasks, Place() if way == PLAIN else Place(jobs=2), None)


def _measured(tasks: Sequence[Task], place: Place, scheduler: psutil.Process | None) -> Row:
    watch, busy, started = Watch(), busy_seconds(), time.perf_counter()
    paths, first, killed = Counter[str](), 0.0, 0
    memory = [scheduler.memory_info().rss if scheduler else 0]
    for number, outcome in enumerate(outcomes_of(tasks, place, share_of_worker(tasks, place))):
        first = first or time.perf_counter()
        paths[outcome.path] += 1
        if number % 20 == 0:
            watch.total()
            memory.append(scheduler.memory_info().rss if scheduler else 0)
        if scheduler and number == len(tasks) // 2:
            _a_worker().kill()
            killed += 1
    ended, processor = time.perf_counter(), watch.since_start()
    results = {path.name[:9] for path in Path(tasks[0].output).rglob("*_desc-arssr_*.nii.gz")}
    lost = [task for task in tasks if task.scan.path not in paths or task.scan.path[:9] not in results]
    return Row(
        len(tasks),
        ended - first,
        first - started,
        processor,
        (max(memory), memory[1]),
        killed,
        len(lost),
        sum(count > 1 for count in paths.values()),
        load_of_others(busy_seconds() - busy, processor, ended - started),
    )


def _a_worker() -> psutil.Process:
    """Return a process that upsamples, started by a nanny."""
    every = psutil.Process().children(recursive=True)
    return max((p for p in every if p.name().startswith("python")), key=lambda p: p.memory_info().rss)


def report(rows: dict[str, Row], machine: Machine) -> str:
    """Return the report."""
    plain = rows[PLAIN]
    scheduler = rows[CLUSTER].scheduler
    text = HEAD.format(
        scans=plain.scans,
        edge=EDGE,
        processor=machine.processor,
        cores=machine.cores,
        memory=machine.memory / 1e9,
        python=machine.python,
        torch=machine.torch,
    )
    base = 1000 * plain.processor / plain.scans
    lines = [COLUMNS, ("---",) * len(COLUMNS)]
    for way in (PLAIN, LOCAL, CLUSTER):
        row = rows[way]
        each = 1000 * row.processor / row.scans
        speed = (row.scans - 1) / row.seconds
        speeds = (f"{speed:.1f}", f"{speed * plain.seconds / (plain.scans - 1):.2f}x", f"{row.start:.1f}")
        memory = f"{row.scheduler[0] / 1e6:.0f} MB" if row.scheduler[0] else ""
        counts = (str(row.lost_workers), str(row.lost), str(row.twice))
        lines.append((way, *speeds, f"{each:.0f}", f"{each - base:.0f}", memory, *counts, f"{row.others:.1f}"))
    text += "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return text + FOOT.format(empty=scheduler[1] / 1e6)


def main(words: Sequence[str] | None = None) -> int:
    """Measure, and write the report once all ways are measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scans", type=int, default=1000)
    parser.add_argument("--way", choices=(PLAIN, LOCAL, CLUSTER), action="append")
    parser.add_argument("--folder", type=Path, default=ROOT / "bench_output" / "cohort")
    parser.add_argument("--report", type=Path, default=REPORT)
    args = parser.parse_args(words)
    folder = args.folder / str(args.scans)
    if not (folder / "tiny.safetensors").exists():
        shutil.rmtree(folder, ignore_errors=True)
        make_data_set(folder / "raw", args.scans)
    for way in args.way or (PLAIN, LOCAL, CLUSTER):
        row = run(way, folder)
        print(way, row, flush=True)
        (folder / f"{way.partition(',')[0].strip('-').replace(' ', '_')}.json").write_text(
            json.dumps([way, asdict(row)])
        )
    measured = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    rows = {way: Row(**{**row, "scheduler": tuple(row["scheduler"])}) for way, row in measured}
    if len(rows) == 3:
        args.report.write_text(report(rows, this_machine(torch.get_num_threads())), encoding="utf-8")
    return int(any(row.lost or row.twice for row in rows.values()))


if __name__ == "__main__":
    sys.exit(main())
