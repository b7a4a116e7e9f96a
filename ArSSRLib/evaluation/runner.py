"""The evaluation of one subject at all scales, with all degradations and methods, as a stream of events.

Finished cells are read; others are computed, measured and stored immediately. A failed cell is reported, and the
evaluation continues.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ArSSRLib import __version__
from ArSSRLib.errors import one_line
from ArSSRLib.evaluation import MetricUnavailable
from ArSSRLib.evaluation.cases import REAL, Case, cases_of, real_case
from ArSSRLib.evaluation.cells import CellStore, Facts, Finished, key_of, lacking
from ArSSRLib.evaluation.ground_truth import GroundTruth, prepare_ground_truth, subject_name
from ArSSRLib.evaluation.methods import Answer, MissingMethod, apply_method, choices_of, identity_of
from ArSSRLib.evaluation.protocol import Protocol
from ArSSRLib.evaluation.protocol_methods import Method
from ArSSRLib.evaluation.scoring import METRICS, Scored, Value
from ArSSRLib.geometry import scale_label
from ArSSRLib.io import write_volume
from ArSSRLib.io.sources import Source
from ArSSRLib.volume import Volume, hash_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """One subject of a protocol, or a part of its cells.

    Attributes:
        protocol: The protocol, with the methods and metrics that can run here.
        source: The volume of the subject.
        real: Whether it is a thick-slice volume without a truth.
        pictured: Whether its volumes are stored for figures.
        device: Device of the networks.
    """

    protocol: Protocol
    source: Source
    real: bool
    pictured: bool
    device: str

    def parts(self) -> list[Task]:
        """Return the same work as one task per degradation."""
        if self.real:
            return [self]
        names = self.protocol.degradations
        return [replace(self, protocol=replace(self.protocol, degradations=(name,))) for name in names]


@dataclass(frozen=True)
class Place:
    """The place of an event in the table: subject, label of the scale, degradation, method; "" for all."""

    subject: str
    scale: str = ""
    degradation: str = ""
    method: str = ""


@dataclass(frozen=True)
class Prepared:
    """A subject that was read: size and spacing of its truth along i, j, k, hash of its voxels, lesions."""

    place: Place
    size: tuple[int, ...]
    spacing: tuple[float, ...]
    voxel_hash: str
    lesions: int = 0


@dataclass(frozen=True)
class Cell:
    """A finished cell; ``computed`` is False if it was already finished, ``picture`` is the file of its volume."""

    place: Place
    values: tuple[Value, ...]
    seconds: float
    computed: bool
    picture: Path | None = None


@dataclass(frozen=True)
class Problem:
    """A cell, or a whole subject, that is not in the table: ``missing`` or failed, with the reason."""

    place: Place
    reason: str
    missing: bool = False


Event = Prepared | Cell | Problem


def evaluate(task: Task) -> Iterator[Event]:
    """Yield the events of one subject; only exceptions that end the process are raised."""
    subject = subject_name(task.source)
    store = CellStore(task.protocol.output)
    try:
        yield from _real_events(task, store) if task.real else _truth_events(task, store)
    except Exception as error:
        yield _failure(Place(subject), error)


def _truth_events(task: Task, store: CellStore) -> Iterator[Event]:
    protocol = task.protocol
    truth = prepare_ground_truth(task.source, protocol)
    geometry = truth.volume.geometry
    count = truth.lesions.count if truth.lesions else 0
    yield Prepared(Place(truth.subject), geometry.size, geometry.spacing, truth.voxel_hash, count)
    rules = {name: getattr(protocol, name) for name in ("crop", "crop_margin", "crop_size", "mask")}
    if truth.lesion_identity:
        rules["lesions"] = truth.lesion_identity
    of_truth = {"voxels": truth.voxel_hash, "truth_spacing": protocol.spacing, **rules}
    for case in cases_of(truth, protocol):
        facts = {**of_truth, **_case_facts(protocol, case)}
        if task.pictured:
            yield _kept_truth(store, case, truth.volume, facts)
        yield from _case_events(task, store, case, facts, truth=truth)


def _real_events(task: Task, store: CellStore) -> Iterator[Event]:
    """Make a thick-slice volume isotropic by every method that needs no truth."""
    case = real_case(task.source, task.protocol)
    geometry, voxel_hash = case.coarse.geometry, hash_of(case.coarse.array)
    yield Prepared(Place(case.subject, degradation=REAL), geometry.size, geometry.spacing, voxel_hash)
    facts = {"voxels": voxel_hash, "real_profile": task.protocol.real_profile, **_case_facts(task.protocol, case)}
    if task.pictured:
        yield _kept_truth(store, case, case.coarse, facts)
    yield from _case_events(task, store, case, facts, truth=None)


def _case_facts(protocol: Protocol, case: Case) -> dict[str, object]:
    return {
        "engine": __version__,
        "scale": case.scale,
        "degradation": case.degradation,
        "size": case.fine.size,
        "spacing": case.fine.spacing,
        "precision": protocol.precision,
    }


def _kept_truth(store: CellStore, case: Case, volume: Volume, facts: Facts) -> Cell:
    """Store the volume shown beside the results: the truth, or the input of a real volume."""
    place = Place(case.subject, scale_label(case.scale), case.degradation)
    path = store.picture(_file_name(place, "truth"), key_of({**facts, "method": "truth"}))
    if not path.exists():
        write_volume(Volume(volume.array, volume.geometry), path)
    return Cell(place, (), 0.0, computed=False, picture=path)


def _case_events(
    task: Task, store: CellStore, case: Case, facts: Facts, *, truth: GroundTruth | None
) -> Iterator[Event]:
    for method in task.protocol.methods:
        if truth is None and (method.kind == "truth" or (method.files and "{degradation}" not in method.files)):
            continue  # there is no truth, and stored results are for simulated volumes
        place = Place(case.subject, scale_label(case.scale), case.degradation, method.name)
        try:
            yield _cell(task, store, (case, method, facts), truth=truth, place=place)
        except MissingMethod as error:
            yield Problem(place, str(error), missing=True)
        except Exception as error:  # after a night of work, the other cells must be finished
            yield _failure(place, error)


def _cell(
    task: Task, store: CellStore, decided: tuple[Case, Method, Facts], *, truth: GroundTruth | None, place: Place
) -> Cell:
    """Return a cell, after computing what its file lacks; ``facts`` are those that all methods of a case share."""
    case, method, facts = decided
    facts = {**facts, "method": method.kind, "identity": identity_of(method, case), **choices_of(method)}
    key = key_of(facts)
    kept_as = {name: _kept_as(name) for name in _metrics_of(task.protocol, method, truth)}
    finished = store.read(key)
    needed = [name for name, entry in kept_as.items() if lacking(finished, [entry])]
    picture = store.picture(_file_name(place, method.name), key)
    pictured = task.pictured and method.kind != "truth"  # every figure already has the truth
    undrawn = pictured and not picture.exists()
    computed = bool(needed) or undrawn or finished is None
    if computed:
        answer, seconds = _timed_answer(task, case, method, truth)
        if undrawn:
            write_volume(Volume(answer.array, case.fine), picture)
        values = _measured(case, answer, needed, truth=truth, masked=task.protocol.mask)
        store.write(key, facts, Finished({kept_as[name]: told for name, told in values.items()}, seconds))
        finished = store.read(key)
    if finished is None:
        msg = f"The cell {key[:12]} was written but cannot be read back; check the disk of the output folder."
        raise OSError(msg)
    told = tuple(value for entry in kept_as.values() for value in finished.values.get(entry, []))
    return Cell(place, told, finished.seconds, computed, picture if pictured else None)


def _metrics_of(protocol: Protocol, method: Method, truth: GroundTruth | None) -> list[str]:
    """Return the metrics that apply to a method; the truth is not compared with itself."""
    compared = truth is not None and method.kind != "truth"
    return [name for name in protocol.metrics if compared or not METRICS[name].needs_truth]


def _timed_answer(task: Task, case: Case, method: Method, truth: GroundTruth | None) -> tuple[Answer, float]:
    """Return the result of a method, or the truth, and the elapsed seconds."""
    started = time.monotonic()
    if truth is not None and method.kind == "truth":
        answer = Answer(truth.volume.array, 0.0)
    else:
        answer = apply_method(method, case, device=task.device, precision=task.protocol.precision)
    return answer, time.monotonic() - started


def _kept_as(metric: str) -> str:
    """Return the name of a metric in a cell, including what determines its values on this machine."""
    try:
        identity = METRICS[metric].identity()
    except MetricUnavailable:  # reported when it is measured
        identity = "unavailable"
    return f"{metric}, {identity}" if identity else metric


def _measured(
    case: Case, answer: Answer, metrics: list[str], *, truth: GroundTruth | None, masked: bool
) -> dict[str, list[Value]]:
    scored = Scored(
        answer.array,
        case.coarse.array,
        case.acquisition,
        case.factors,
        case.fine.spacing,
        seconds=answer.seconds,
        uncertainty=answer.uncertainty,
    )
    if truth is not None:
        mask = truth.mask if masked else None
        scored = replace(scored, truth=truth.volume.array, mask=mask, lesions=truth.lesions)
    values = {}
    for name in metrics:
        try:
            values[name] = METRICS[name].measure(scored)
        except MetricUnavailable as error:  # tried again in the next run
            logger.warning("%s: %s", name, error)
    return values


def _file_name(place: Place, method: str) -> str:
    words = "_".join((place.subject, place.scale, place.degradation, method))
    return "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in words)


def _failure(place: Place, error: Exception) -> Problem:
    logger.debug("%s failed because of:", place, exc_info=True)
    return Problem(place, one_line(str(error)) or type(error).__name__)
