"""The job file: what the worker is asked to do, checked value by value before anything is loaded."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from ArSSRLib.errors import InputError
from ArSSRLib.options import OPTIONS, UpsamplingOptions

FORMAT = 1
# Thousands of volumes; a larger file is no job.
MAXIMUM_BYTES = 8_000_000

Factors: TypeAlias = tuple[float, float, float]
Region: TypeAlias = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class VolumeFiles:
    """One volume of a job.

    Attributes:
        source: The file to read; never changed.
        target: The file to write; replaced if it is there.
    """

    source: Path
    target: Path


@dataclass(frozen=True)
class UpsampleJob:
    """Volumes to upsample, all in the same way.

    Attributes:
        model: Name of a bundled model, or a file of weights.
        options: How to upsample; each is a key of the job file.
        scale: Factors along i, j, k; unitless.
        region: Box of fine voxels, (first, stop) along i, j, k; None for all.
        volumes: From where and to where.
    """

    model: str
    options: UpsamplingOptions
    scale: Factors
    region: Region | None
    volumes: tuple[VolumeFiles, ...]


@dataclass(frozen=True)
class ProbeJob:
    """A question: what is this machine able to do?

    Attributes:
        models: Names of bundled models, or files of weights, to tell about.
        measure: Whether to measure their speed on every device, about a second or two for each.
    """

    models: tuple[str, ...]
    measure: bool


def read_job(path: Path) -> UpsampleJob | ProbeJob:
    """Read a job file.

    Raises:
        InputError: If it cannot be read, is not JSON, or holds anything but what a job needs.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAXIMUM_BYTES + 1)
    except (OSError, ValueError) as error:
        msg = f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}); name an existing job file."
        raise InputError(msg) from error
    if len(content) > MAXIMUM_BYTES:
        msg = f"{path}: is larger than the {MAXIMUM_BYTES / 1e6:g} MB of a job file; divide it into several jobs."
        raise InputError(msg)
    try:
        return job_from_table(json.loads(content.decode("utf-8"), parse_constant=_refuse_constant))
    except InputError as error:
        msg = f"{path}: {error}"
        raise InputError(msg) from error
    except (ValueError, RecursionError) as error:
        msg = f"{path}: is not a job file, which is JSON in UTF-8 ({error}); write it again."
        raise InputError(msg) from error


def job_from_table(table: object) -> UpsampleJob | ProbeJob:
    """Turn the content of a job file into a job.

    Raises:
        InputError: If a key is unknown or missing, or a value is none that it may have.
    """
    if not isinstance(table, Mapping):
        _refuse("the job", table, "an object with the keys format and task")
    if table.get("format") != FORMAT or isinstance(table.get("format"), bool):
        _refuse("format", table.get("format"), f"{FORMAT}: the module and the engine must be of the same version")
    task = table.get("task")
    if not isinstance(task, str) or task not in _TASKS:
        _refuse("task", task, " or ".join(_TASKS))
    options = {option.name for option in OPTIONS} if task == "upsample" else set()
    readers = _TASKS[task]
    _require_keys(table, {"format", "task", *readers, *options}, "the job")
    values = {key: reader(key, table[key]) for key, reader in readers.items()}
    if task == "probe":
        return ProbeJob(**values)
    return UpsampleJob(options=UpsamplingOptions.from_table(table), **values)


def _require_keys(table: Mapping[str, object], expected: set[str], what: str) -> None:
    unknown, missing = sorted(set(table) - expected), sorted(expected - set(table))
    if unknown:
        _refuse(f"{what} has the unknown keys", unknown, ", ".join(sorted(expected)))
    if missing:
        _refuse(f"{what} lacks the keys", missing, ", ".join(sorted(expected)))


def _text(key: str, value: object) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        _refuse(key, value, "a text that is not empty")
    return value


def _flag(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        _refuse(key, value, "true or false")
    return value


def _number(key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        _refuse(key, value, "a number")
    try:
        number = float(value)
    except OverflowError:  # an integer of hundreds of digits
        number = math.inf
    if not math.isfinite(number):
        _refuse(key, value, "a finite number")
    return number


def _factors(key: str, value: object) -> Factors:
    i, j, k = (_number(key, factor) for factor in _items(key, value, 3, "three factors, along i, j and k"))
    return (i, j, k)


def _region(key: str, value: object) -> Region | None:
    if value is None:
        return None
    expected = "null, or three pairs of whole numbers: first and stop along i, j and k"
    edges = []
    for pair in _items(key, value, 3, expected):
        first, stop = _items(key, pair, 2, expected)
        for edge in (first, stop):
            if isinstance(edge, bool) or not isinstance(edge, int):
                _refuse(key, value, expected)
        edges.append((first, stop))
    return (edges[0], edges[1], edges[2])


def _volumes(key: str, value: object) -> tuple[VolumeFiles, ...]:
    expected = "a list of objects with the keys input and output, at least one"
    volumes = []
    for entry in _items(key, value, None, expected):
        if not isinstance(entry, Mapping):
            _refuse(key, entry, expected)
        _require_keys(entry, {"input", "output"}, "a volume of the job")
        volumes.append(VolumeFiles(Path(_text("input", entry["input"])), Path(_text("output", entry["output"]))))
    return tuple(volumes)


def _texts(key: str, value: object) -> tuple[str, ...]:
    if value == []:
        return ()
    return tuple(_text(key, entry) for entry in _items(key, value, None, "a list of texts"))


def _items(key: str, value: object, count: int | None, expected: str) -> list[Any]:
    """Return a list of so many entries, or of one at least when ``count`` is None."""
    if not isinstance(value, list) or not value or (count is not None and len(value) != count):
        _refuse(key, value, expected)
    return value


def _refuse(what: str, found: object, expected: str) -> NoReturn:
    text = repr(found)
    shown = text if len(text) <= 80 else f"{text[:77]}..."
    msg = f"{what}: {shown}; expected {expected}."
    raise InputError(msg)


def _refuse_constant(name: str) -> NoReturn:
    msg = f"holds {name}; expected finite numbers only."
    raise InputError(msg)


# Keys of each task, and how their values are read; the options check themselves.
_TASKS: dict[str, dict[str, Callable[[str, object], Any]]] = {
    "upsample": {"model": _text, "scale": _factors, "region": _region, "volumes": _volumes},
    "probe": {"models": _texts, "measure": _flag},
}
