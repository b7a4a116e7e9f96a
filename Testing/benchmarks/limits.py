"""Compliance of ``arssr upsample`` with its memory limit: each row is a run of the command in a separate process.

``python Testing/benchmarks/limits.py`` prints the table; this file, given the arguments of a run, is that process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from memory import peak_memory
from phantom import noisy_phantom
from procedures import published_network

import ArSSRLib.commands.upsample as command
from ArSSRLib import Volume, write_volume
from ArSSRLib.checkpoint import save_model
from ArSSRLib.cli import main as arssr
from ArSSRLib.planning import Plan

TOLERANCE = 1.1


@dataclass(frozen=True)
class Job:
    """One run.

    Attributes:
        edge: Voxels of the input along i, j and k.
        scale: Factor, unitless.
        model: A name, or "published" for RDN with seeded weights.
        limit: Limit in GB (1e9 bytes); None for none.
        suffix: Suffix of the result.
    """

    edge: int
    scale: float
    model: str
    limit: float | None
    suffix: str = ".nii.gz"


# From whole volumes to the smallest tiles; with the result in memory, and once more in the memory of SimpleITK.
JOBS = [
    Job(64, 1.3, "arssr2", None),
    Job(64, 1.3, "arssr2", 0.47),
    Job(64, 1.3, "arssr2", 0.44),
    Job(80, 1.5, "arssr2", 0.52),
    Job(96, 1.1, "arssr2", 0.6),
    Job(64, 4, "arssr2", 0.5, ".nrrd"),
    Job(40, 1.3, "published", 0.6),
    Job(64, 1.1, "published", 0.75),
]


def measure(jobs: list[Job]) -> Iterator[tuple[Job, dict[str, Any]]]:
    """Run the jobs one after another; yield each with the report of its process.

    Raises:
        subprocess.CalledProcessError: If a run failed; its standard error has the reason.
    """
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "published.safetensors"
        save_model(published_network(), weights, metadata={})
        for job in jobs:
            source, target = Path(folder) / f"{job.edge}.nii.gz", Path(folder) / f"result{job.suffix}"
            phantom = noisy_phantom((job.edge,) * 3)
            array = np.rint(phantom.array * (1000 / phantom.array.max())).astype(np.int16)
            write_volume(Volume(array, phantom.geometry), source, overwrite=True)
            options = ["--scale", job.scale, "--model", weights if job.model == "published" else job.model]
            options += [] if job.limit is None else ["--memory-limit", job.limit]
            options += ["--device", "cpu", "--precision", "fp32", "--overwrite", "--progress", "none"]
            arguments = map(str, [sys.executable, __file__, "upsample", source, target, *options])
            result = subprocess.run([*arguments], stdout=subprocess.PIPE, text=True, check=True)
            yield job, json.loads(result.stdout.splitlines()[-1])


def row(job: Job, found: dict[str, Any]) -> str:
    """Return the line of a run in the table."""
    ratio = "" if job.limit is None else f"{found['peak'] / 1e9 / job.limit:.2f}"
    kept = "" if job.limit is None else "yes" if found["peak"] <= TOLERANCE * job.limit * 1e9 else "no"
    return (
        f"| {job.edge}^3 x {job.scale:g} to {job.suffix} | {job.model} | {found['tiles']} | "
        f"{'disk' if found['on_disk'] else 'memory'} | {'' if job.limit is None else job.limit} | "
        f"{found['planned'] / 1e9:.3f} | {found['peak'] / 1e9:.3f} | {ratio} | {kept} |"
    )


def _run(arguments: list[str]) -> int:
    """Run the command in this process, and print its plan and its measurements."""
    plans: list[Plan] = []
    carry_out: Callable[..., Volume] = command.carry_out

    def watched(plan: Plan, *args: Any, **options: Any) -> Volume:
        """Upsample, and store the plan."""
        plans.append(plan)
        return carry_out(plan, *args, **options)

    command.carry_out = watched
    code = arssr(arguments)
    if code == 0:
        plan = plans[0]
        report = {
            "planned": plan.memory,
            "tiles": len(plan.tiles),
            "on_disk": plan.folder is not None,
            "peak": peak_memory(),
        }
        print(json.dumps(report))
    return code


def _main() -> int:
    if sys.argv[1:]:
        return _run(sys.argv[1:])
    print("| job | model | tiles | result in | limit, GB | planned, GB | peak, GB | peak / limit | limit kept |")
    print("| --- | --- | ---: | --- | ---: | ---: | ---: | ---: | --- |", flush=True)
    for job, found in measure(JOBS):
        print(row(job, found), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(_main())
