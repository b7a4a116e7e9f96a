"""Reading of the events of a worker."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.worker.cancellation import Cancellation
from ArSSRLib.worker.events import Events


class Told:
    """A worker's events in a file, and the two objects with which a task sends events and receives requests.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        self.events = Events(self.descriptor)
        self.cancellation = Cancellation(self.events)

    def lines(self, event: str | None = None) -> list[dict[str, Any]]:
        """Return the events so far, or those of one name."""
        return events_in(self.path.read_bytes(), event)


def events_in(content: bytes, event: str | None = None) -> list[dict[str, Any]]:
    """Return the events in the output of a worker, or those with one name; every line must be an event."""
    lines = [json.loads(line) for line in content.decode("utf-8").splitlines()]
    return [line for line in lines if event is None or line["event"] == event]


def upsample_job(model: object, *volumes: tuple[object, object], **changes: Any) -> dict[str, Any]:
    """Return the content of a job file that upsamples volumes, (input, output) each, on the CPU."""
    job = {"format": 1, "task": "upsample", "model": str(model), "scale": [2, 2, 2], "region": None}
    job |= UpsamplingOptions(device="cpu", precision="fp32").as_table()
    files = [{"input": str(source), "output": str(target)} for source, target in volumes]
    return job | {"volumes": files} | changes


def lens_job(model: object, source: object, folder: object) -> dict[str, Any]:
    """Return the content of a job file for the task "lens" on a volume, on the CPU."""
    options = UpsamplingOptions(device="cpu", precision="fp32").as_table()
    return {"format": 1, "task": "lens", "model": str(model), "input": str(source), "folder": str(folder), **options}


def question_about(
    geometry: VolumeGeometry, number: int, *, slice_number: int = 8, exact: bool = False
) -> dict[str, Any]:
    """Return the request for a slice of the result at scale 2."""
    fine = geometry.upsampled(2)
    affine = fine.affine
    return {
        "number": number,
        "scale": [2, 2, 2],
        "exact": exact,
        "origin": (affine[:3, 3] + slice_number * affine[:3, 2]).tolist(),
        "column_step": affine[:3, 0].tolist(),
        "row_step": affine[:3, 1].tolist(),
        "size": list(fine.size[:2]),
    }
