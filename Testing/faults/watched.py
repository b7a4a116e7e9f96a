"""The main job, watched by Python itself: connections and other programs are refused, and opened files are recorded.

An audit hook sees the actions of Python for any library written in it, and cannot be removed, so a process is watched
from its fork until its end.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

#: Events that open files; the first argument is the name.
_FILES = ("open", "os.mkdir", "os.rename", "os.link", "os.symlink", "shutil.rmtree", "os.remove")
_FORBIDDEN = (
    "socket.",
    "subprocess.",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "urllib.",
    "http.",
    "ftplib.",
)


def run(work: str, folder: Path) -> int:
    """Do a part of the main job, watched.

    Args:
        work: "upsample", "series", "worker" or "connect".
        folder: Folder of the input; the file "watched" contains the record.
    """
    notes = os.open(folder / "watched", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        """Refuse connections and programs, and record everything else."""
        if event.startswith(_FORBIDDEN):
            os.write(notes, f"REACHED OUT {event}\n".encode())
            raise PermissionError(event)
        if event in _FILES:
            os.write(notes, f"{event} {arguments[0]!r} {arguments[1]!r}\n".encode("utf-8", "replace"))

    sys.addaudithook(watch)
    from ArSSRLib import UpsamplingOptions, cli, worker  # noqa: PLC0415 - loaded already, by the server

    weights = str(folder / "weights" / "tiny.safetensors")
    options = ["--scale", "2", "--device", "cpu", "--model", weights, "-v", "--provenance"]
    if work == "connect":
        import socket  # noqa: PLC0415

        socket.create_connection(("127.0.0.1", 9))
    if work == "worker":
        volumes = [{"input": str(folder / "in" / "1.nrrd"), "output": str(folder / "out" / "1.nrrd")}]
        job = {"format": 1, "task": "upsample", "model": weights, "scale": [2, 2, 2], "region": None}
        job |= {"volumes": volumes, **UpsamplingOptions(device="cpu").as_table()}
        (folder / "job.json").write_text(json.dumps(job))
        return worker.main([str(folder / "job.json")])
    source = folder / "series" if work == "series" else folder / "in" / "1.nii.gz"
    target = folder / "out" / ("series" if work == "series" else "1.nii.gz")
    extra = ["--figure", str(folder / "out" / "1.png")] if work == "upsample" else []
    return cli.main(["upsample", str(source), str(target), *options, *extra])
