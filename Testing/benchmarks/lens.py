"""Response times of the live preview: the worker of the Slicer module with the requests of the module.

``python Testing/benchmarks/lens.py`` prints a table for two volumes, isotropic and with thick slices: the start of the
worker, the first plane, the mean of the next ones while the user scrolls without a pause, the exact plane, and the next
one after a rest, as a lens and as a whole slice, along the axes of the volume and oblique, each beside its goal on two
idle cores. Processor time is listed, too: half of it is about the time on two idle cores, or an upper limit if other
programs are running. The volume is a phantom; its content does not affect the times.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import psutil
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing")]

from benchmarks.floors import measure_peaks  # noqa: E402
from benchmarks.machine import busy_seconds, load_of_others, this_machine  # noqa: E402
from benchmarks.phantom import noisy_phantom  # noqa: E402

from ArSSRLib import write_volume  # noqa: E402
from ArSSRLib.checkpoint import DEFAULT_MODEL  # noqa: E402
from ArSSRLib.geometry import VolumeGeometry  # noqa: E402
from ArSSRLib.options import UpsamplingOptions  # noqa: E402
from ArSSRLib.volume import Volume  # noqa: E402

EDGE = 128
PEAK_SECONDS = 2.0
# Size and spacing in mm along i, j, k, and the scale.
VOLUMES = {
    "1 mm, isotropic, 2x": ((176, 256, 256), (1.0, 1.0, 1.0), (2.0, 2.0, 2.0)),
    "5 mm slices, 1x1x5": ((256, 256, 30), (0.9, 0.9, 5.0), (1.0, 1.0, 5.0)),
}
HEADER = (
    "view",
    "start",
    "first, quick",
    "processor time",
    "next, scrolling",
    "exact",
    "processor time",
    "prepared",
    "next, rested",
    "voxels read",
    "cores busy with others",
)
SCROLLED = 12  # planes after the first one, at a distance of one voxel of the result
AWAY = -20  # voxels of the result from the first plane to the exact one
RESTED = (1, -1, 2, -2)  # distances of planes from the exact one


@dataclass(frozen=True)
class View:
    """A view.

    Attributes:
        name: Name in the table.
        axes: Axes of the result along columns and rows.
        edge: Pixels along each edge; None for the whole slice.
        turned: Rotation of the plane about its columns in degrees; 0 is parallel to the axes.
        goals: Seconds for the first and the exact answer, and for the next one after a rest, on two idle cores; None if
            there is no goal.
    """

    name: str
    axes: tuple[int, int]
    edge: int | None
    turned: float = 0.0
    goals: tuple[float | None, float | None, float | None] = (0.7, None, 0.1)

    def question(self, fine: VolumeGeometry, shift: int) -> dict[str, Any]:
        """Return the positions of the pixels, ``shift`` voxels of the result from the center."""
        third = 3 - sum(self.axes)
        size = [fine.size[axis] if self.edge is None else min(self.edge, fine.size[axis]) for axis in self.axes]
        angle = np.deg2rad(self.turned)
        column, down, through = (np.eye(3)[axis] for axis in (*self.axes, third))
        affine = fine.affine
        steps = [affine[:3, :3] @ column, affine[:3, :3] @ down, affine[:3, :3] @ through]
        if self.turned:  # pixels with the spacing of the finest axis
            column, down, through = (step / np.linalg.norm(step) for step in steps)
            row = np.cos(angle) * down + np.sin(angle) * through
            steps = [min(fine.spacing) * column, min(fine.spacing) * row, steps[2]]
        middle = np.array([n // 2 for n in fine.size], dtype=float)
        center = affine[:3, :3] @ middle + affine[:3, 3] + shift * steps[2]
        origin = center - sum(n // 2 * step for n, step in zip(size, steps[:2], strict=True))
        return {
            "origin": origin.tolist(),
            "column_step": steps[0].tolist(),
            "row_step": steps[1].tolist(),
            "size": size,
        }


LENSES = (
    View(f"lens {EDGE} x {EDGE}, axial", (0, 1), EDGE),
    View(f"lens {EDGE} x {EDGE}, sagittal", (1, 2), EDGE),
    View(f"lens {EDGE} x {EDGE}, oblique by 30 degrees", (0, 1), EDGE, turned=30),
)
SLICES = tuple(
    View(f"whole slice, {name}", axes, None, goals=(None, 4.0, None))
    for name, axes in (("axial", (0, 1)), ("sagittal", (1, 2)))
)


class LensProcess:
    """The worker, started like in the module.

    Args:
        job: Content of its job file.
        folder: Folder for the job file.
    """

    def __init__(self, job: dict[str, Any], folder: Path) -> None:
        path = folder / "job.json"
        path.write_text(json.dumps(job), encoding="utf-8")
        environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, "-m", "ArSSRLib.worker", str(path)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        self._number = 0

    def until(self, event: str) -> dict[str, Any]:
        """Return the next event with a name."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            if told["event"] == event:
                return told
            if told["event"] in ("error", "refused"):
                raise SystemExit(told["message"])
        raise SystemExit("The worker ended without an answer; its last words are above.")

    def ask(self, question: dict[str, Any]) -> tuple[float, float, dict[str, Any]]:
        """Return the seconds until the answer to a request was read, the processor time, and the answer."""
        self._number += 1
        busy, started = self.processor_seconds(), time.perf_counter()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question | {"number": self._number}).encode() + b"\n")
        self._process.stdin.flush()
        answer = self.until("plane")
        seconds, busy = time.perf_counter() - started, self.processor_seconds() - busy
        Path(answer["file"]).unlink()
        return seconds, busy, answer

    def processor_seconds(self) -> float:
        """Return its processor time."""
        times = psutil.Process(self._process.pid).cpu_times()
        return times.user + times.system

    def end(self) -> None:
        """End it and wait."""
        self._process.communicate()


@contextmanager
def worker_on(volume: Volume, options: UpsamplingOptions, model: str) -> Iterator[tuple[LensProcess, float]]:
    """Yield a worker that is ready for requests on a volume, and the seconds until then."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = write_volume(volume, folder / "1.nrrd", compress=False)
        job = {"format": 1, "task": "lens", "model": model, "input": str(source), "folder": str(folder)}
        started = time.perf_counter()
        process = LensProcess(job | options.as_table(), folder)
        process.until("ready")
        try:
            yield process, time.perf_counter() - started
        finally:
            process.end()


def cells_of(view: View, volume: Volume, scale: tuple[float, ...], options: UpsamplingOptions, model: str) -> list[str]:
    """Return the cells of a view's line in the table, see `HEADER`."""
    fine = volume.geometry.upsampled(scale)
    busy, began = busy_seconds(), time.perf_counter()
    with worker_on(volume, options, model) as (worker, start):

        def ask(shift: int, *, exact: bool = False) -> tuple[float, float, dict[str, Any]]:
            """Return the answer for the plane at a distance from the center, see `LensProcess.ask`."""
            return worker.ask(view.question(fine, shift) | {"scale": scale, "exact": exact})

        first, first_busy, told = ask(0)
        scrolling = mean(ask(number + 1)[0] for number in range(SCROLLED))
        exact, exact_busy, _ = ask(AWAY, exact=True)
        waited = time.perf_counter()
        worker.until("prepared")
        waited = time.perf_counter() - waited
        rested = median(ask(AWAY + shift)[0] for shift in RESTED)
        others = load_of_others(busy_seconds() - busy, worker.processor_seconds(), time.perf_counter() - began)
    measured = [
        f"{seconds:.2f}" + (f" (goal {goal:g})" if goal else "")
        for seconds, goal in zip((first, exact, rested), view.goals, strict=True)
    ]
    cells = [f"{start:.2f}", measured[0], f"{first_busy:.2f}", f"{scrolling:.2f}", measured[1], f"{exact_busy:.2f}"]
    return [view.name, *cells, f"{waited:.2f}", measured[2], f"{told['encoded']:,}", f"{others:.1f}"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name or file of the weights")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--views", default="", help="only views whose name contains this")
    args = parser.parse_args()
    machine = this_machine(torch.get_num_threads())
    rate = measure_peaks(seconds=PEAK_SECONDS).operations / 1e9
    threads = f"{machine.threads} threads of {rate / machine.threads:.0f} GFLOP/s"
    print(f"{machine.processor}, {machine.cores} cores, {threads}, PyTorch {machine.torch}")
    options = UpsamplingOptions(device=args.device)
    for title, (size, spacing, scale) in VOLUMES.items():
        volume = Volume(noisy_phantom(size).array, VolumeGeometry(size, spacing))
        print(f"\n{title}, {' x '.join(map(str, size))} voxels; seconds\n")
        print(f"| {' | '.join(HEADER)} |\n| {' | '.join('---' for _ in HEADER)} |")
        for view in (*LENSES, *SLICES):
            if args.views in view.name:
                print(f"| {' | '.join(cells_of(view, volume, scale, options, args.model))} |", flush=True)


if __name__ == "__main__":
    main()
