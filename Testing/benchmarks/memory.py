"""Peak memory and time of one large job with the default model, in a separate process.

`measure_memory` starts this file as a script; the script upsamples and prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from phantom import noisy_phantom
from procedures import default_network

from ArSSRLib.errors import ArSSRError
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.process import return_freed_memory, use_large_pages
from ArSSRLib.upsampling import carry_out, plan_upsampling

STATUS = Path("/proc/self/status")


class LargeJobError(Exception):
    """The process failed; its standard error has the reason."""


@dataclass(frozen=True)
class LargeJob:
    """The measurements of the process.

    Attributes:
        size: Voxels of the input along i, j, k.
        weights: Description of the weights of the default model.
        threads: Number of PyTorch threads.
        tiles: Number of tiles.
        encoded: Encoded voxels, including halos, divided by the voxels of the input.
        planned_memory: Peak predicted by the plan, in bytes.
        peak_memory: Peak of the process measured by the operating system, in bytes.
        upsample_seconds: Time of `upsample` alone.
        process_seconds: Time of the whole process, from its start to its end.
    """

    size: tuple[int, int, int]
    weights: str
    threads: int
    tiles: int
    encoded: float
    planned_memory: int
    peak_memory: int
    upsample_seconds: float
    process_seconds: float = 0.0


def measure_memory(size: tuple[int, int, int], scale: float, *, memory_limit: float, threads: int) -> LargeJob:
    """Upsample a phantom in a new process.

    Args:
        size: Voxels of the input along i, j, k.
        scale: Factor, unitless.
        memory_limit: Memory limit for `upsample`, in GB (1e9 bytes).
        threads: Number of PyTorch threads.

    Raises:
        LargeJobError: If the process failed.
    """
    arguments = [*size, scale, memory_limit, threads]
    use_large_pages()  # as in the command line and the worker; inherited by the child
    start = time.perf_counter()
    process = subprocess.run(
        [sys.executable, __file__, *map(str, arguments)], stdout=subprocess.PIPE, text=True, check=False
    )
    seconds = time.perf_counter() - start
    if process.returncode != 0:
        msg = f"The large job ended with status {process.returncode}; its message is above."
        raise LargeJobError(msg)
    report = json.loads(process.stdout)
    return LargeJob(**{**report, "size": tuple(report["size"]), "process_seconds": seconds})


def peak_memory() -> int:
    """Return the peak memory of this process in bytes, as measured by the operating system."""
    # The getrusage of Linux includes the parent before exec; VmHWM does not.
    if STATUS.exists():
        line = next(line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _run_job(size: tuple[int, int, int], scale: float, memory_limit: float) -> LargeJob:
    model, weights = default_network()
    volume = noisy_phantom(size)
    options = UpsamplingOptions(device="cpu", precision="fp32", memory_limit=memory_limit)
    plan = plan_upsampling(volume, model, scale, options)
    start = time.perf_counter()
    carry_out(plan, volume, model, progress=_show_progress)
    seconds = time.perf_counter() - start
    return LargeJob(
        size=size,
        weights=weights,
        threads=torch.get_num_threads(),
        tiles=len(plan.tiles),
        encoded=sum(tile.crop_voxels for tile in plan.tiles) / volume.array.size,
        planned_memory=plan.memory,
        peak_memory=peak_memory(),
        upsample_seconds=seconds,
    )


def _show_progress(fraction: float) -> None:
    print(f"\rlarge job: {fraction:4.0%}", end="\n" if fraction == 1.0 else "", file=sys.stderr, flush=True)


def _main() -> int:
    parser = argparse.ArgumentParser(description="Upsample a phantom with the default model and print what it took.")
    parser.add_argument("size", nargs=3, type=int)
    parser.add_argument("scale", type=float)
    parser.add_argument("memory_limit", type=float)
    parser.add_argument("threads", type=int)
    arguments = parser.parse_args()
    return_freed_memory()  # as in the command line and the worker
    torch.set_num_threads(arguments.threads)
    i, j, k = arguments.size
    try:
        job = _run_job((i, j, k), arguments.scale, arguments.memory_limit)
    except ArSSRError as error:
        print(f"large job: {error}", file=sys.stderr)
        return 2
    print(json.dumps(asdict(job)))
    return 0


if __name__ == "__main__":
    sys.exit(_main())
