"""Reasons for missing results: one log file per failed scan in the folder ``logs`` of the results.

A log is removed when its scan is tried again, so that the folder lists current failures only. The first line contains
the path of the scan and the reason, followed by time and place, warnings, and the traceback of unexpected errors.
"""

from __future__ import annotations

import contextlib
import logging
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from ArSSRLib import __version__
from ArSSRLib.cohort.dataset import Scan
from ArSSRLib.cohort.processing import Outcome, Task
from ArSSRLib.errors import OutputError, printable
from ArSSRLib.leftovers import write_whole

FOLDER = "logs"

logger = logging.getLogger(__name__)


def log_of(output: Path, scan: Scan) -> Path:
    """Return the path of the log for a failed scan."""
    return output / FOLDER / f"{scan.name}.log"


def forget(tasks: Iterable[Task]) -> None:
    """Remove the logs of scans that will be tried again."""
    for task in tasks:
        with contextlib.suppress(OSError):
            log_of(Path(task.output), task.scan).unlink(missing_ok=True)


def keep(task: Task, outcome: Outcome) -> None:
    """Write the log of a failed scan; if that is impossible, as on a full disk, warn instead."""
    path = log_of(Path(task.output), task.scan)
    reason = outcome.message
    for folder in (task.output, task.root):  # the output may be inside the data set
        reason = reason.replace(str(Path(folder) / "_")[:-1], "")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    lines = [
        f"{outcome.path}: {reason.removeprefix(f'{outcome.path}: ')}",
        f"{now}, ArSSR {__version__}, started on {platform.node()}, after {outcome.seconds:.1f} s",
        *(f"warning: {text}" for text in outcome.warnings),
        *outcome.details.splitlines(),
    ]
    try:
        path.parent.mkdir(exist_ok=True)
        write_whole(path, "".join(f"{printable(line)}\n" for line in lines).encode())
    except OSError as error:  # includes OutputError
        said = error if isinstance(error, OutputError) else f"{path}: {error.strerror or error}"
        logger.warning("The reason for the failure of %s could not be saved: %s", outcome.path, said)


def reasons_of(output: Path) -> dict[str, str]:
    """Return the reasons from the logs of a folder of results, by path in the data set."""
    reasons = {}
    for path in sorted((output / FOLDER).glob("*.log")):
        try:
            with path.open(encoding="utf-8") as file:
                scan, _, reason = file.readline().strip().partition(": ")
        except (OSError, ValueError):
            continue
        if reason and scan.startswith("sub-"):
            reasons[scan] = reason
    return reasons
