"""Accuracy of the time estimates of the panel: ``python Testing/benchmarks/estimates.py [--busy N]``.

For each job, a new worker measures the speed as when the panel is opened, and another one does the job. Both are
started as in Slicer, beside `--busy` processes that compute continuously. The script prints the estimated and the
measured seconds, from the start of the worker to its end. The exit code is 1 if they differ by more than a factor of
1.5 on an idle machine, or 2 on a busy one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phantom import noisy_phantom

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "Testing"), str(ROOT)]

from field.busy_machine import busy  # noqa: E402 - beside this folder, not installed

from ArSSRLib.checkpoint import DEFAULT_MODEL, load_model  # noqa: E402
from ArSSRLib.io import write_volume  # noqa: E402
from ArSSRLib.options import UpsamplingOptions  # noqa: E402
from ArSSRLib.timing import BUSY, promised_seconds, work_beside  # noqa: E402
from ArSSRLib.upsampling import plan_upsampling  # noqa: E402

# Largest allowed factor between estimate and measurement.
IDLE, BESIDE_OTHERS = 1.5, 2.0
OPTIONS = UpsamplingOptions(device="cpu")


@dataclass(frozen=True)
class Job:
    """A volume with 1 mm voxels, and its upsampling: size and scale along i, j, k, and thickness in mm or unknown."""

    size: tuple[int, int, int]
    scale: tuple[float, float, float]
    thickness: str | None = None


JOBS = (
    Job((40, 40, 40), (2.0, 2.0, 2.0)),
    Job((96, 96, 40), (2.2, 2.2, 2.2)),
    Job((160, 160, 24), (1.0, 1.0, 2.0)),
    Job((128, 128, 20), (1.0, 1.0, 5.0)),
    Job((128, 128, 20), (1.0, 1.0, 5.0), "1"),
    Job((64, 64, 64), (3.3, 3.3, 3.3)),
)


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--busy", type=int, default=0, metavar="N", help="processes beside it (default: 0)")
    parser.add_argument("--jobs", type=int, nargs="*", help=f"numbers of jobs, up to {len(JOBS) - 1} (default: all)")
    args = parser.parse_args()
    jobs = JOBS if args.jobs is None else [JOBS[number] for number in args.jobs]
    print("| voxels | scale | thickness | promised | took | factor | taken by others |\n|" + " --- |" * 7)
    missed = 0
    with busy(args.busy), tempfile.TemporaryDirectory(prefix="arssr-estimates-") as folder:
        for job in jobs:
            missed += not measure(job, Path(folder))
    return 1 if missed else 0


def measure(job: Job, folder: Path) -> bool:
    """Estimate the time, run the job, and print a line of the table; return whether the estimate is close enough."""
    facts, _ = work({"task": "probe", "models": [DEFAULT_MODEL], "measure": True}, folder)
    options = UpsamplingOptions(device="cpu", slice_thickness=job.thickness)
    volume = noisy_phantom(job.size)
    plan = plan_upsampling(volume, load_model(DEFAULT_MODEL), job.scale, options)
    promised = promised_seconds(
        plan.cost, facts, beside=work_beside(plan, volume.geometry), device="cpu", model=DEFAULT_MODEL
    )
    files = {"input": str(folder / "in.nrrd"), "output": str(folder / "out.nrrd")}
    write_volume(volume, files["input"], compress=False, overwrite=True)
    asked = {"model": DEFAULT_MODEL, "scale": job.scale, "region": None, "volumes": [files], **options.as_table()}
    _, took = work({"task": "upsample", **asked}, folder)
    factor = max(promised / took, took / promised) if promised else float("inf")
    allowed = BESIDE_OTHERS if facts["busy"] > BUSY else IDLE
    print(
        f"| {' x '.join(map(str, job.size))} | {' x '.join(f'{s:g}' for s in job.scale)} | {job.thickness or '-'} "
        f"| {promised or 0:.1f} s | {took:.1f} s | {factor:.2f}{'' if factor <= allowed else ' **missed**'} "
        f"| {facts['busy']:.0%} |",
        flush=True,
    )
    return factor <= allowed


def work(job: Mapping[str, Any], folder: Path) -> tuple[dict[str, Any], float]:
    """Run a job in a worker; return the fields of its last message, and its seconds from start to end."""
    path = folder / "job.json"
    path.write_text(json.dumps({"format": 1, **job}), encoding="utf-8")
    began = time.monotonic()
    command = [sys.executable, "-m", "ArSSRLib.worker", str(path)]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    took = time.monotonic() - began
    last = json.loads(done.stdout.splitlines()[-1])
    if last["event"] != "done":
        sys.exit(f"The worker ended with {last}.")
    return last, took


if __name__ == "__main__":
    sys.exit(main())
