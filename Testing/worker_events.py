"""What a worker has told, read back."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.worker.cancellation import Cancellation
from ArSSRLib.worker.events import Events


class Told:
    """A worker's events in a file, and the two objects through which a task speaks and listens.

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
    """Return the events in what a worker wrote, or those of one name; every line must be one."""
    lines = [json.loads(line) for line in content.decode("utf-8").splitlines()]
    return [line for line in lines if event is None or line["event"] == event]


def upsample_job(model: object, *volumes: tuple[object, object], **changes: Any) -> dict[str, Any]:
    """Return the content of a job file that upsamples volumes, (input, output) each, on the CPU."""
    job = {"format": 1, "task": "upsample", "model": str(model), "scale": [2, 2, 2], "region": None}
    job |= UpsamplingOptions(device="cpu", precision="fp32").as_table()
    files = [{"input": str(source), "output": str(target)} for source, target in volumes]
    return job | {"volumes": files} | changes
