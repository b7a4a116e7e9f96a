"""Long runs: ``python Testing/soak/run.py``. They are not part of the tests, and detect growth and leaks.

200 upsamplings from file to file in one process, then 50 in one worker. After a warm-up, memory must be constant within
2 %, and no file, handle, thread or process may remain.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing")]

import phantoms  # noqa: E402 - after the path was set
import psutil  # noqa: E402

from ArSSRLib import UpsamplingOptions, VolumeGeometry, load_model, read_volume, upsample, write_volume  # noqa: E402

# Fraction of the rounds before memory is compared, and its largest relative change afterwards.
WARM_UP, FLAT = 0.25, 0.02


def main() -> int:
    """Run both, print a table, and return 1 if anything has grown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200, help="in one process (default: %(default)s)")
    parser.add_argument("--worker-rounds", type=int, default=50, help="in the worker (default: %(default)s)")
    parser.add_argument("--size", type=int, default=24, help="voxels of an edge of the input (default: %(default)s)")
    args = parser.parse_args()
    grid = VolumeGeometry((args.size, args.size, args.size), (1.0, 1.0, 1.0))
    volume = phantoms.sample(phantoms.blobs_in(grid), grid)
    columns = (
        "where",
        "rounds",
        "seconds",
        "MB warm",
        "MB at the end",
        "growth",
        "handles",
        "threads",
        "children",
        "left",
    )
    print(f"| {' | '.join((*columns, 'files left'))} |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory(prefix="arssr-soak-") as name:
        source = write_volume(volume, Path(name) / "in.nrrd", compress=False)
        flat = [_in_process(source, args.rounds), _in_worker(source, args.worker_rounds)]
    return 0 if all(flat) else 1


def _in_process(source: Path, rounds: int) -> bool:
    """Upsample repeatedly in this process."""
    model, started = load_model("arssr2"), time.monotonic()
    process, memory, counts = psutil.Process(), [], []
    for _ in range(rounds):
        result = upsample(read_volume(source), model, 2, UpsamplingOptions(device="cpu", precision="fp32"))
        write_volume(result, source.with_name("out.nii.gz"), overwrite=True)
        memory.append(process.memory_info().rss)
        counts.append((process.num_fds(), process.num_threads(), len(process.children())))
    source.with_name("out.nii.gz").unlink()
    return _tell("one process", memory, counts, started=started, folder=source.parent)


def _in_worker(source: Path, rounds: int) -> bool:
    """Upsample repeatedly in one worker, and examine it from outside whenever it starts reading."""
    targets = [source.with_name(f"out{number}.nrrd") for number in range(rounds)]
    job = {"format": 1, "task": "upsample", "model": "arssr2", "scale": [2, 2, 2], "region": None}
    job |= UpsamplingOptions(device="cpu", precision="fp32").as_table()
    volumes = [{"input": str(source), "output": str(target)} for target in targets]
    path = source.with_name("job.json")
    path.write_text(json.dumps({**job, "volumes": volumes}), encoding="utf-8")
    started, memory, counts = time.monotonic(), [], []
    command = [sys.executable, "-m", "ArSSRLib.worker", str(path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as worker:
        process = psutil.Process(worker.pid)
        for line in worker.stdout:
            event = json.loads(line)
            if event.get("stage") == "read":
                memory.append(process.memory_info().rss)
                counts.append((process.num_fds(), process.num_threads(), len(process.children())))
    done = worker.returncode == 0 and all(target.is_file() for target in targets)
    for file in (path, *targets):
        file.unlink(missing_ok=True)
    return _tell("the worker", memory[1:], counts[1:], started=started, folder=source.parent) and done


def _tell(
    where: str, memory: Sequence[int], counts: Sequence[tuple[int, ...]], *, started: float, folder: Path
) -> bool:
    """Print a line of the table, and return whether nothing has grown."""
    warm = int(len(memory) * WARM_UP)
    tail = max(3, len(memory) // 10)
    before, after = (statistics.median(part) / 1e6 for part in (memory[warm : warm + tail], memory[-tail:]))
    growth = after / before - 1
    changes = [f"{first} to {last}" for first, last in zip(counts[warm], counts[-1], strict=True)]
    left = sorted(path.name for path in folder.iterdir() if path.name != "in.nrrd")
    seconds = time.monotonic() - started
    cells = [where, len(memory), f"{seconds:.0f}", f"{before:.1f}", f"{after:.1f}", f"{100 * growth:+.2f} %"]
    print(f"| {' | '.join(map(str, [*cells, *changes, ', '.join(left) or 'none']))} |", flush=True)
    return (
        growth <= FLAT and all(last <= first for first, last in zip(counts[warm], counts[-1], strict=True)) and not left
    )


if __name__ == "__main__":
    sys.exit(main())
