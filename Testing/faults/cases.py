"""Faults, one function each: it runs in a separate process, causes a failure there, and lets the work continue.

A case defines the failure, the work, and the expected outcome. `server` runs it, and `outcome` checks the remains.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KILLED = -signal.SIGKILL
INPUT, WEIGHTS, OLD = "in/brain.nrrd", "weights/tiny.safetensors", b"what was there before"


@dataclass(frozen=True)
class Case:
    """One fault.

    Attributes:
        name: Description for the table.
        entry: The work: "command", "worker", "weights" or "series".
        output: Name of the result, in the folder "out".
        code: Expected exit code; the negative number of a signal.
        says: Expected text in the last line; empty if a killed process cannot print any.
        inject: Causes the failure, in the affected process.
        replaces: Whether a file with the name of the output existed before.
        exact: Whether the result must be complete instead of absent.
    """

    name: str
    entry: str
    output: str
    code: int
    says: str
    inject: Callable[[Path], object]
    replaces: bool = False
    exact: bool = False


def run(case: Case, folder: Path) -> int:
    """Do the work of a case in a folder, in this process, and return its exit code."""
    source, target = str(folder / INPUT), str(folder / "out" / case.output)
    options = ["--model", str(folder / WEIGHTS), "--device", "cpu", "--precision", "fp32"]
    # Requires so much more memory than available that no slab fits.
    scale = 8 if "memory" in case.name else 2
    if case.entry == "worker":
        from ArSSRLib import UpsamplingOptions, worker  # noqa: PLC0415 - loaded already, by the server

        job = {"format": 1, "task": "upsample", "model": str(folder / WEIGHTS), "scale": [scale] * 3, "region": None}
        job |= UpsamplingOptions(device="cpu", precision="fp32").as_table()
        (folder / "job.json").write_text(json.dumps({**job, "volumes": [{"input": source, "output": target}]}))
        case.inject(folder)
        return worker.main([str(folder / "job.json")])
    from ArSSRLib import cli  # noqa: PLC0415

    case.inject(folder)
    if case.entry == "weights":
        return cli.main(["convert-checkpoint", str(folder / "weights" / "theirs.pkl"), target, "--overwrite"])
    replace = ["--overwrite"] if case.replaces else []
    source = str(folder / "series") if case.entry == "series" else source
    return cli.main(["upsample", source, target, "--scale", str(scale), *options, *replace])


def _kill(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _at_event(event: str, value: object = None) -> Callable[[Path], None]:
    """Kill the worker when it sends an event, or starts a stage."""

    def inject(_: Path) -> None:
        from ArSSRLib.worker.events import Events  # noqa: PLC0415

        tell = Events._write

        def write(self: Events, name: str, fields: dict[str, Any]) -> None:
            """Send the event, and die."""
            tell(self, name, fields)
            if name == event and (value is None or fields.get("stage") == value):
                _kill()

        Events._write = write

    return inject


def _instead_of(where: str, action: Callable[..., object]) -> Callable[[Path], None]:
    """Replace a function, "module:Class.function", by an action."""

    def inject(_: Path) -> None:
        from importlib import import_module  # noqa: PLC0415

        room, _, name = where.partition(":")
        place: Any = import_module(room)
        *path, last = name.split(".")
        for part in path:
            place = getattr(place, part)
        setattr(place, last, action)

    return inject


def _before(where: str, action: Callable[[Path], object]) -> Callable[[Path], None]:
    """Run an action before a function is called."""

    def inject(folder: Path) -> None:
        from importlib import import_module  # noqa: PLC0415

        room, _, name = where.partition(":")
        place = import_module(room)
        function = getattr(place, name)

        def both(*arguments: object, **options: object) -> object:
            """Run both, one after the other."""
            action(folder)
            return function(*arguments, **options)

        setattr(place, name, both)

    return inject


def _small_disk(_: Path) -> None:
    """Limit all files to 20 kB, like a quota."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


def _disk_full(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


def _little_memory(_: Path) -> None:
    """Limit the additional memory of this process to 20 MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * resource.getpagesize() + 20_000_000
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    from ArSSRLib import upsampling  # noqa: PLC0415

    # Like a machine with overcommitted memory: the plan assumes enough memory.
    upsampling.used_memory, upsampling.free_memory = (lambda _: 0), (lambda _: 10**12)


def _signal(number: int) -> Callable[..., None]:
    def send(*_: object, **__: object) -> None:
        """Send the signal to this process, and wait until it arrives, possibly in another thread."""
        os.kill(os.getpid(), number)
        time.sleep(60)

    return send


def _device_error(*_: object, **__: object) -> None:
    msg = "CUDA error: an illegal memory access was encountered\nCompile with TORCH_USE_CUDA_DSA"
    raise RuntimeError(msg)


def _read_only(folder: Path) -> None:
    """Remove the write permission of this process for the folder of the output."""
    (folder / "out").chmod(0o555)
    if os.geteuid() == 0:
        os.setgid(65534)
        os.setuid(65534)


def _cut(folder: Path) -> None:
    with (folder / INPUT).open("rb+") as file:
        file.truncate(1500)


def _nothing(_: Path) -> None:
    return


def _second_run(folder: Path) -> None:
    """Let another process finish the same output just before this one."""

    def first() -> None:
        (folder / "out" / "sharp.nrrd").write_bytes(OLD)

    from ArSSRLib.io import files  # noqa: PLC0415

    place = files._place_beside

    def late(temporary: Path, destination: Path) -> None:
        """Finish second."""
        first()
        place(temporary, destination)

    files._place_beside = late


STAGES = ("load", "read", "upsample", "write")
CASES = [
    *(
        Case(f"worker killed at the stage {stage}", "worker", "sharp.nrrd", KILLED, "", _at_event("stage", stage))
        for stage in STAGES
    ),
    Case("worker killed at its first progress", "worker", "sharp.nrrd", KILLED, "", _at_event("progress")),
    Case("worker killed before it renames the result", "worker", "sharp.nrrd", KILLED, "",
         _instead_of("ArSSRLib.worker.volumes:_publish", _kill), replaces=True),
    Case("worker killed after the last event", "worker", "sharp.nrrd", KILLED, "", _at_event("done"), exact=True),
    Case("command killed while it computes", "command", "sharp.nii.gz", KILLED, "",
         _instead_of("ArSSRLib.model.arssr2:ArSSR2.query_grid", _kill)),
    Case("command killed while it writes", "command", "sharp.nii.gz", KILLED, "",
         _instead_of("ArSSRLib.io.files:os.fsync", _kill), replaces=True),
    Case("command killed before it renames the result", "command", "sharp.nii.gz", KILLED, "",
         _instead_of("ArSSRLib.io.files:_place_beside", _kill)),
    Case("killed while it writes weights", "weights", "ours.safetensors", KILLED, "",
         _instead_of("ArSSRLib.leftovers:os.fsync", _kill), replaces=True),
    Case("killed while it writes a DICOM series", "series", "series", KILLED, "",
         _instead_of("ArSSRLib.io.derived:write", _kill)),
    *(
        Case(f"disk full, {suffix}", "command", f"sharp{suffix}", 2, "free some space", _small_disk)
        for suffix in (".nii", ".nii.gz", ".mgz", ".nrrd", ".mha")
    ),
    Case("disk full, worker", "worker", "sharp.nrrd", 2, "sharp.nrrd: cannot", _small_disk, replaces=True),
    Case("disk full, weights", "weights", "ours.safetensors", 2, "space on the disk", _small_disk, replaces=True),
    Case("disk full, DICOM series", "series", "series", 2, "free some space",
         _instead_of("pydicom.dataset:Dataset.save_as", _disk_full)),
    Case("output folder read-only, command", "command", "sharp.nii.gz", 2, "choose another folder", _read_only),
    Case("output folder read-only, worker", "worker", "sharp.nrrd", 2, "choose another folder", _read_only),
    Case("input truncated while it is read", "command", "sharp.nrrd", 2, "truncated",
         _before("ArSSRLib.io.itk:_require_voxels", _cut)),
    Case("input deleted while it is read", "command", "sharp.nrrd", 2, "brain.nrrd",
         _before("ArSSRLib.io.itk:_require_voxels", lambda folder: (folder / INPUT).unlink())),
    Case("memory runs out, command", "command", "sharp.nrrd", 2, "smaller memory limit", _little_memory),
    Case("memory runs out, worker", "worker", "sharp.nrrd", 2, "smaller memory limit", _little_memory),
    Case("device fails during processing, command", "command", "sharp.nrrd", 2, "choose the CPU",
         _instead_of("ArSSRLib.model.arssr2:ArSSR2.query_grid", _device_error)),
    Case("device fails during processing, worker", "worker", "sharp.nrrd", 2, "choose the CPU",
         _instead_of("ArSSRLib.model.arssr2:ArSSR2.query_grid", _device_error)),
    Case("another run finishes the same output first", "command", "sharp.nrrd", 2, "not replaced", _second_run),
    Case("terminated while it computes", "command", "sharp.nrrd", 143, "",
         _instead_of("ArSSRLib.model.arssr2:ArSSR2.query_grid", _signal(signal.SIGTERM))),
    Case("interrupted while it computes", "command", "sharp.nrrd", 130, "nothing was left",
         _instead_of("ArSSRLib.model.arssr2:ArSSR2.query_grid", _signal(signal.SIGINT))),
    Case("no fault, for comparison", "command", "sharp.nrrd", 0, "", _nothing, exact=True),
]  # fmt: skip
