"""A worker that repeats voxels instead of computing new ones, for testing runs without loading PyTorch.

It uses the protocol of `ArSSRLib.worker`. With weights named "slow", it waits to be canceled.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from ArSSRLib import __version__
from ArSSRLib.checkpoint import DEFAULT_MODEL
from ArSSRLib.io import read_volume, write_volume
from ArSSRLib.volume import Volume

# Report of a computer whose GPU does not work.
FOUND = {
    "torch": "2.9.0",
    "problem": None,
    "cuda_build": "12.8",
    "devices": [
        {"id": "cuda:0", "name": "Old GPU", "free_memory": 8e9, "total_memory": 8e9, "smoke": "no kernel image"},
        {"id": "cpu", "name": "Test processor", "free_memory": 16e9, "total_memory": 16e9, "smoke": "ok"},
    ],
    "base_memory": 500_000_000,
    "speed": {"cpu": {DEFAULT_MODEL: 1e-5}},
}
COST = {"halo": 4, "bytes_per_coarse_voxel": 2000, "encoding_cost": 40.0}


def tell(event: str, **entries: object) -> None:
    print(json.dumps({"event": event, **entries}), flush=True)


def repeated(volume: Volume, scale: list[float], region: list[list[int]] | None) -> Volume:
    """Return the nearest coarse voxel for every fine voxel."""
    fine = volume.geometry.upsampled(scale)
    nearest = [((np.arange(m) + 0.5) * n // m).astype(int) for m, n in zip(fine.shape, volume.array.shape, strict=True)]
    array = volume.array[np.ix_(*nearest)]
    if region is not None:
        (i0, i1), (j0, j1), (k0, k1) = region
        array, fine = array[k0:k1, j0:j1, i0:i1], fine.cropped((i0, j0, k0), (i1 - i0, j1 - j0, k1 - k0))
    return volume.with_array(np.ascontiguousarray(array), fine)


def main(path: str) -> None:
    job = json.loads(Path(path).read_text(encoding="utf-8"))
    if job["task"] == "probe":
        tell("done", **FOUND, models={model: COST for model in job["models"]})
        return
    if job["task"] == "profile":
        tell("done", predictions=[None] * 3)
        return
    volumes = job["volumes"]
    tell("log", level="warning", message="Voxels are only repeated.")
    tell("progress", fraction=0.0, volume=1, volumes=len(volumes), seconds_left=None)
    if "slow" in job["model"]:
        sys.stdin.read()
        tell("cancelled")
        return
    for number, files in enumerate(volumes, start=1):
        result = repeated(read_volume(files["input"]), job["scale"], job["region"])
        write_volume(result, files["output"], compress=False)
        tell("progress", fraction=number / len(volumes), volume=number, volumes=len(volumes), seconds_left=0.0)
    made = {name: job[name] for name in ("precision", "model", "scale", "region", "device")}
    tell("done", version=__version__, sha256="0" * 64, seconds=0.1, **made)


if __name__ == "__main__":
    main(sys.argv[1])
