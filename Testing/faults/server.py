"""Runs faults, one process each, and checks their remains.

PyTorch is loaded once, in a process that is then forked: a fault takes a tenth of a second instead of five.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 120


class Server:
    """The process that is forked for every fault."""

    def __init__(self) -> None:
        path = os.pathsep.join([str(ROOT), str(ROOT / "Testing")])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "faults.server"],
            env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, work: int | str, folder: Path) -> int:
        """Run a fault by number, or a function by name, in a folder, and return how its process ended."""
        self._process.stdin.write(json.dumps([work, str(folder)]) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """End it."""
        self._process.stdin.close()
        self._process.wait(timeout=SECONDS)
        self._process.stdout.close()


def outcome(case, code: int, folder: Path, before: dict[str, str]) -> list[str]:
    """Return the broken promises after a fault: an empty list if every promise was kept.

    Args:
        case: The fault.
        code: Exit code of its process.
        folder: Folder of the work.
        before: Result of `fingerprints` before the fault.
    """
    from faults.cases import OLD  # noqa: PLC0415

    from ArSSRLib import read_volume  # noqa: PLC0415
    from ArSSRLib.leftovers import sweep  # noqa: PLC0415

    target, wrong = folder / "out" / case.output, []
    if code != case.code:
        wrong.append(f"exit code {code}, not {case.code}")
    said = last_words(folder)
    if case.says not in said or "defect" in said or "Traceback" in said:
        wrong.append(f"said {said!r}")
    (folder / "out").chmod(0o755)
    now = fingerprints(folder)
    if any(now.get(name) != value for name, value in before.items() if not name.startswith("out/")) and (
        "input" not in case.name
    ):
        wrong.append("the input was changed")
    sweep(folder / "out")  # like the next start in this folder
    left = sorted(os.listdir(folder / "out"))
    other = case.name.startswith("another run")
    expected = [case.output] if case.exact or case.replaces or other else []
    if left != expected:
        wrong.append(f"left {left}")
    elif case.exact and read_volume(target).geometry.size != (40, 36, 18):
        wrong.append("the result is not whole")
    elif expected and not case.exact and target.read_bytes() != OLD:
        wrong.append("what was there before is gone")
    return wrong


def last_words(folder: Path) -> str:
    """Return the last line of a process; for the worker, the message of its last event."""
    lines = (folder / "said").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    last = lines[-1] if lines else ""
    if last.startswith("{"):
        return str(json.loads(last).get("message", ""))
    return last


def fingerprints(folder: Path) -> dict[str, str]:
    """Return the checksum of every file in a folder, by its name."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def make_folder(folder: Path, case) -> None:
    """Create the input, the weights and, if needed, the old output of a fault."""
    from faults.cases import OLD  # noqa: PLC0415

    (folder / "out").mkdir()
    if case.replaces:
        (folder / "out" / case.output).write_bytes(OLD)
    for parent in (folder, *folder.parents):
        if parent.stat().st_uid == os.geteuid() and "pytest" in str(parent):
            parent.chmod(0o755)  # one fault removes its permissions, but needs to find its input


def _serve() -> None:
    """Load what every fault needs, then fork for each requested fault."""
    from faults import watched  # noqa: PLC0415
    from faults.cases import CASES, run  # noqa: PLC0415

    import ArSSRLib.io.derived  # noqa: PLC0415
    import ArSSRLib.io.itk  # noqa: PLC0415
    import ArSSRLib.io.nifti  # noqa: PLC0415
    import ArSSRLib.record  # noqa: PLC0415
    import ArSSRLib.worker.volumes  # noqa: F401, PLC0415
    from ArSSRLib.commands import models, upsample  # noqa: F401, PLC0415

    for line in sys.stdin:
        work, folder = json.loads(line)
        child = os.fork()
        if child == 0:
            descriptor = os.open(Path(folder) / "said", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            nowhere = os.open(os.devnull, os.O_RDONLY)
            os.dup2(nowhere, 0)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            code = 99
            # A shell lets background processes ignore Ctrl-C, but these processes must react to it.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            try:
                code = run(CASES[work], Path(folder)) if isinstance(work, int) else watched.run(work, Path(folder))
            except SystemExit as leaving:
                code = leaving.code
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    _serve()
