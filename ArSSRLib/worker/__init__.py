"""The process that the Slicer panel starts: it reads a job file and prints JSON lines.

``python -m ArSSRLib.worker JOB.json`` reads the job (`job`), upsamples its volumes (`volumes`), computes planes of a
result on request (`lens`), estimates the slice profile of a volume (`estimating`), or reports the capabilities of the
machine (`probing`). It prints its progress on the standard output, one JSON object per line (`events`), and can be
stopped at any time (`cancellation`).

Exit codes: 0 success; 1 an internal error; 2 the job cannot be done; 130 canceled.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ArSSRLib import __version__
from ArSSRLib.errors import ArSSRError, InputError, MemoryLimitError, one_line
from ArSSRLib.streams import open_standard_streams
from ArSSRLib.worker.cancellation import Cancellation, CancelledError
from ArSSRLib.worker.events import Events, logging_as_events, take_standard_output
from ArSSRLib.worker.job import LensJob, ProfileJob, UpsampleJob, read_job

EXIT_DONE, EXIT_DEFECT, EXIT_REFUSED, EXIT_CANCELLED = 0, 1, 2, 130


def main(arguments: Sequence[str]) -> int:
    """Run the worker on the job file as a separate process, which owns its standard output and signals.

    Returns:
        The exit code; see the module docstring.
    """
    open_standard_streams()
    faulthandler.enable()  # a crash leaves a traceback, a kill does not: the caller can distinguish them
    events = Events(take_standard_output())
    cancellation = Cancellation(events)
    cancellation.watch()
    try:
        return run(arguments, events, cancellation)
    finally:
        cancellation.end()


def run(arguments: Sequence[str], events: Events, cancellation: Cancellation) -> int:
    """Run the job of a file; the last event is done, error or cancelled, and nothing is raised.

    Returns:
        The exit code; see the module docstring.
    """
    try:
        events.send("started", version=__version__, pid=os.getpid())
        with logging_as_events(events):
            fields = _do(arguments, events, cancellation)
        events.end("done", **fields)
        return EXIT_DONE
    except CancelledError:
        events.end("cancelled")
        return EXIT_CANCELLED
    except BaseException as error:  # the last resort: the reader must be informed
        known = _as_known(error)
        if known is not None:
            events.end("error", kind=type(known).__name__, message=one_line(known))
            return EXIT_REFUSED
        with contextlib.suppress(CancelledError):
            events.send("log", level="debug", message=traceback.format_exc())
        message = (
            f"Unexpected {type(error).__name__}: {one_line(error)}; this is a defect; please report it with the log."
        )
        events.end("error", kind=type(error).__name__, message=message)
        return EXIT_DEFECT


def _do(arguments: Sequence[str], events: Events, cancellation: Cancellation) -> dict[str, Any]:
    """Read the job and run it; return the fields of the event "done"."""
    if len(arguments) != 1:
        msg = (
            f"The worker needs exactly one job file, got {len(arguments)} arguments; run python -m ArSSRLib.worker "
            "JOB.json."
        )
        raise InputError(msg)
    job = read_job(Path(arguments[0]))
    cancellation.check()
    # Imported here, so that an impossible job is refused before anything is loaded.
    if isinstance(job, UpsampleJob):
        from ArSSRLib.worker.volumes import upsample_volumes  # noqa: PLC0415

        return upsample_volumes(job, events, cancellation)
    if isinstance(job, LensJob):
        from ArSSRLib.worker.lens import answer_planes  # noqa: PLC0415

        return answer_planes(job, events, cancellation)
    if isinstance(job, ProfileJob):
        from ArSSRLib.worker.estimating import estimate_profile  # noqa: PLC0415

        return estimate_profile(job)
    from ArSSRLib.worker.probing import probe  # noqa: PLC0415

    return probe(job, cancellation)


def _as_known(error: BaseException) -> ArSSRError | None:
    """Return an expected error: the error itself, or a memory error; None for a defect."""
    if isinstance(error, ArSSRError):
        return error
    ran_out = isinstance(error, MemoryError)
    with contextlib.suppress(Exception):  # without PyTorch, it is not an error of PyTorch
        from ArSSRLib.device import is_out_of_memory  # noqa: PLC0415

        ran_out = ran_out or is_out_of_memory(error)
    if not ran_out:
        return None
    msg = (
        "Memory ran out before the volume was finished; choose a smaller memory limit, a smaller region or scale, "
        "or close other programs."
    )
    logging.getLogger(__name__).debug("Memory ran out:", exc_info=error)
    return MemoryLimitError(msg)
