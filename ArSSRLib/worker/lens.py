"""The task "lens": planes of a result, requested one by one on the standard input until it ends.

A request is one JSON object per line, see `Question`; during the computation of an answer, only the newest request is
kept. Each answer is an event, "plane" or "refused", with the number of its request. The plane is written to a file in
the folder of the job, as float32 in the byte order of the machine, row by row; the caller deletes it. After an exact
answer, the planes beside it are encoded, too, unless a request arrives; the event "prepared" reports this.
"""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ArSSRLib.checkpoint import find_entry
from ArSSRLib.errors import ArSSRError, InputError, OutputError, one_line, shown
from ArSSRLib.io import read_volume
from ArSSRLib.settings import dataclass_from
from ArSSRLib.worker.cancellation import Cancellation
from ArSSRLib.worker.events import Events
from ArSSRLib.worker.job import Factors, LensJob
from ArSSRLib.worker.packages import load_packages
from ArSSRLib.worker.volumes import read_stated

if TYPE_CHECKING:
    from ArSSRLib.upsampling.lens import Lens


@dataclass(frozen=True)
class Question:
    """One requested plane.

    Attributes:
        number: Number of the request, repeated in the answer.
        scale: Factors along i, j, k; unitless.
        exact: Whether the plane must agree with the whole result to rounding. Such work is abandoned for the next
            request; a quick answer is always finished, so that scrolling users see planes.
        origin: Center of the first pixel, in LPS mm.
        column_step: Step from a pixel to the next one in its row, in LPS mm.
        row_step: Step from a pixel to the one in the next row, in LPS mm.
        size: Number of columns and rows.
    """

    number: int
    scale: Factors
    exact: bool
    origin: Factors
    column_step: Factors
    row_step: Factors
    size: tuple[int, int]


class _Superseded(BaseException):
    """A newer request has arrived."""


def answer_planes(job: LensJob, events: Events, cancellation: Cancellation) -> dict[str, Any]:
    """Compute planes of the result of one volume for the requests after the event "ready", until the input ends.

    It never returns: the work ends when the standard input ends.

    Raises:
        ArSSRError: If the volume or the model is not usable, or the model does not support the lens.
        CancelledError: If the work was asked to stop.
    """
    paths = [job.input, job.folder] if job.estimated_from is None else [job.input, job.folder, job.estimated_from]
    for missing in (path for path in paths if not path.exists()):
        msg = f"{missing}: does not exist; check the paths of the job."
        raise InputError(msg)
    find_entry(job.model)
    load_packages(interactive=True)
    from ArSSRLib.checkpoint import load_model  # noqa: PLC0415 - what needs PyTorch, once it is known to be there
    from ArSSRLib.device import resolve_device  # noqa: PLC0415
    from ArSSRLib.upsampling import decided  # noqa: PLC0415
    from ArSSRLib.upsampling.lens import Lens  # noqa: PLC0415

    options = decided(job.options)
    lens = Lens(
        read_stated(job.input, job.profile),
        load_model(job.model, device=resolve_device(options.device)),
        options,
        examined=None if job.estimated_from is None else read_volume(job.estimated_from),
    )
    cancellation.check()
    events.send("ready", device=options.device)
    while (line := cancellation.inbox.take()) is not None:
        _answer(line, lens, job.folder, events=events, cancellation=cancellation)
    cancellation.check()
    return {}


def _answer(line: bytes, lens: Lens, folder: Path, *, events: Events, cancellation: Cancellation) -> None:
    """Answer one request, unless a newer one arrives."""
    from ArSSRLib.upsampling.plane import Plane  # noqa: PLC0415 - needs NumPy only, but its room is one of PyTorch

    def check() -> None:
        """Stop the computation after a cancellation or a newer request."""
        cancellation.check()
        if question.exact and cancellation.inbox.waiting:
            raise _Superseded

    number = None
    started = time.monotonic()
    try:
        question = _question_in(line)
        number = question.number
        plane = Plane(question.origin, question.column_step, question.row_step, question.size)
        answer = lens.answer(plane, question.scale, exact=question.exact, check=check)
        file = folder / f"plane-{number}.f32"
        _write(answer.plane.astype("f4").tobytes(), file)
    except _Superseded:
        return
    except ArSSRError as error:
        events.send("refused", number=number, kind=type(error).__name__, message=one_line(error))
        return
    events.send(
        "plane",
        number=number,
        file=str(file),
        size=list(question.size),
        exact=answer.exact,
        uncorrected=answer.uncorrected,
        encoded=answer.encoded,
        seconds=round(time.monotonic() - started, 4),
    )
    if question.exact:  # the view is at rest
        with contextlib.suppress(_Superseded, ArSSRError):  # such as too little memory: the planes are not needed yet
            lens.prepare(plane, question.scale, check=check)
            events.send("prepared", number=number)


def _question_in(line: bytes) -> Question:
    """Return the request in a line, and refuse a malformed one."""
    expected = "A question must be one JSON object per line, got"
    try:
        table = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        msg = f"{expected} {shown(line.decode(errors='replace'))} ({one_line(error)[:80]})."
        raise InputError(msg) from error
    if not isinstance(table, dict):
        msg = f"{expected} {shown(line.decode(errors='replace'))}."
        raise InputError(msg)
    return dataclass_from(Question, table, kind="question")


def _write(content: bytes, path: Path) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        msg = f"{path}: cannot be written ({error.strerror or error}); free some space on the disk."
        raise OutputError(msg) from error
