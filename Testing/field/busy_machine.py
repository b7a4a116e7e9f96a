"""Compares how waiting threads wait: run time of a volume alone, and beside two busy PyTorch processes.

Run it by hand on an otherwise quiet machine: ``python Testing/field/busy_machine.py [--rounds 5]``. It prints ratios
of runs in the same round, because absolute times depend on the machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
# An empty policy has no effect, except that the command does not set its own.
WAYS = {"spinning": {"OMP_WAIT_POLICY": ""}, "passive": {"OMP_WAIT_POLICY": "passive"}, "ours": {}}
BUSY = (
    "import torch; image, kernel = torch.randn(1, 16, 48, 48, 48), torch.randn(16, 16, 3, 3, 3)\n"
    "while True: torch.nn.functional.conv3d(image, kernel, padding=1)"
)
# Excludes the start of the command: a volume is read and upsampled twice, and the second run is timed.
TIMED = (
    "import sys, time\nfrom ArSSRLib.cli import main\n"
    "for _ in range(2):\n    began = time.monotonic(); main(sys.argv[1:]); seconds = time.monotonic() - began\n"
    "print(f'seconds {seconds}')"
)


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Keep the CPU busy with PyTorch while the context is open."""
    started = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(processes)]
    try:
        time.sleep(10 if processes else 0)
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def seconds(source: Path, way: str) -> float:
    """Return the run time of the command for a volume, in seconds."""
    unset = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_NUM_THREADS")
    environment = {name: value for name, value in os.environ.items() if name not in unset} | WAYS[way]
    call = ["upsample", str(source), str(source.with_name("out.nii")), "--scale", "1.5", "1.25", "2", "--overwrite"]
    done = subprocess.run(
        [sys.executable, "-c", TIMED, *call], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    took = float(done.stdout.split()[-1])
    print(f"    {way}: {took:.2f} s", file=sys.stderr, flush=True)
    return took


def main() -> None:
    """Measure and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--processes", type=int, nargs="*", default=[0, 2], help="busy processes beside it")
    shape = "voxels of the volume along i, j, k"
    parser.add_argument("--shape", type=int, nargs=3, default=(22, 20, 14), metavar=("I", "J", "K"), help=shape)
    args = parser.parse_args()
    from ArSSRLib import Volume, VolumeGeometry, write_volume  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        array = np.random.default_rng(0).integers(0, 900, args.shape[::-1]).astype(np.int16)
        geometry = VolumeGeometry(tuple(args.shape), (1.0, 1.0, 2.0))
        source = write_volume(Volume(array, geometry), Path(folder) / "in.nii")
        for processes in args.processes:
            with busy(processes):
                rounds = [{way: seconds(source, way) for way in WAYS} for _ in range(args.rounds)]
            print(f"beside {processes} busy processes, median of {args.rounds} rounds:")
            for way in WAYS:
                ratio = statistics.median(times[way] / times["passive"] for times in rounds)
                median = statistics.median(times[way] for times in rounds)
                print(f"  {way:<9} {median:7.2f} s  {ratio:6.2f} times passive", flush=True)


if __name__ == "__main__":
    main()
