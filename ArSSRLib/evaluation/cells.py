"""Finished cells of a table, each a small file named by the hash of everything that determines it.

A cell is one subject, scale, degradation and method. Its file is written completely or not at all, so that finished
cells survive any interruption and are never computed twice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ArSSRLib.errors import OutputError
from ArSSRLib.evaluation.scoring import Value
from ArSSRLib.io.files import replacing

# Increased if the same facts result in other numbers, so that old cells are not reused.
CELL_VERSION = 1
CELLS, PICTURED = "cells", "volumes"

Facts = Mapping[str, object]


@dataclass(frozen=True)
class Finished:
    """The content of the file of a cell: the seconds of the method, and the values by requested metric.

    The list of a metric that does not apply to this cell is empty.
    """

    values: dict[str, list[Value]]
    seconds: float


def key_of(facts: Facts) -> str:
    """Return the hash of what determines a cell, 64 hexadecimal digits; names of subjects and methods are excluded."""
    text = json.dumps({"cell_version": CELL_VERSION, **facts}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class CellStore:
    """The finished cells in an output folder, which is created if necessary.

    Raises:
        OutputError: If it cannot be created.
    """

    def __init__(self, output: Path) -> None:
        self._cells, self._pictured = output / CELLS, output / PICTURED
        try:
            self._cells.mkdir(parents=True, exist_ok=True)
            self._pictured.mkdir(exist_ok=True)
        except OSError as error:
            msg = f"{output}: cannot be created ({error.strerror}); specify another folder as output."
            raise OutputError(msg) from error

    def read(self, key: str) -> Finished | None:
        """Return a finished cell, or None; a malformed file, for example after a full disk, counts as unfinished."""
        try:
            table = json.loads(self._file(key).read_text(encoding="utf-8"))
            values = {name: [Value(*entry) for entry in entries] for name, entries in table["values"].items()}
            return Finished(values, float(table["seconds"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def write(self, key: str, facts: Facts, finished: Finished) -> None:
        """Write a cell, together with the values of other metrics that it already has.

        Raises:
            OutputError: If the file cannot be written.
        """
        before = self.read(key)
        values = {**(before.values if before else {}), **finished.values}
        plain = {name: [list(asdict(value).values()) for value in entries] for name, entries in values.items()}
        table = {"facts": dict(facts), "values": plain, "seconds": round(finished.seconds, 3)}
        with replacing(self._file(key), ".json") as temporary:
            temporary.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")

    def picture(self, name: str, key: str) -> Path:
        """Return the path of the volume of a cell for figures."""
        return self._pictured / f"{name}_{key[:12]}.nii.gz"

    def _file(self, key: str) -> Path:
        return self._cells / f"{key[:32]}.json"


def lacking(finished: Finished | None, metrics: Iterable[str]) -> list[str]:
    """Return the metrics that a cell lacks."""
    return [name for name in metrics if finished is None or name not in finished.values]
