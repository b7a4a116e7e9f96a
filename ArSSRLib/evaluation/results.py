"""The results of an evaluation, and their tidy table: one row per number."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ArSSRLib.evaluation.cases import REAL
from ArSSRLib.evaluation.protocol import Protocol
from ArSSRLib.evaluation.runner import Cell, Event, Prepared, Problem
from ArSSRLib.io.files import replacing

COLUMNS = ("subject", "scale", "degradation", "method", "metric", "region", "value")
CSV_NAME = "results.csv"


@dataclass(frozen=True)
class Row:
    """One number, with its subject, scale, degradation, method and metric."""

    subject: str
    scale: str
    degradation: str
    method: str
    metric: str
    region: str
    value: float


@dataclass
class Results:
    """All events of an evaluation.

    Attributes:
        protocol: The protocol.
        weights: SHA-256 of the weights of each method by label of the scale.
        left_out: Sentences on methods and metrics that cannot run here.
        prepared: The subjects that were read.
        cells: The finished cells.
        problems: Parts that are missing in the table.
    """

    protocol: Protocol
    weights: Mapping[str, Mapping[str, str]]
    left_out: Sequence[str]
    prepared: list[Prepared] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def add(self, event: Event) -> None:
        """Add an event; a subject is added, or reported as unreadable, only once for all of its parts."""
        if isinstance(event, Prepared):
            if event not in self.prepared:
                self.prepared.append(event)
        elif isinstance(event, Cell):
            self.cells.append(event)
        elif event not in self.problems:
            self.problems.append(event)

    @property
    def failures(self) -> list[Problem]:
        """Problems that are failures, not missing files."""
        return [problem for problem in self.problems if not problem.missing]

    @property
    def missing(self) -> list[Problem]:
        """Problems because of missing files."""
        return [problem for problem in self.problems if problem.missing]

    def absent(self) -> list[str]:
        """Return a sentence on each missing part, one for everything that a method lacks."""
        models = {method.name for method in self.protocol.methods if method.kind == "model"}
        reasons: dict[str, list[str]] = {}
        for problem in self.missing:
            # `left_out` covers missing models at the scales of the protocol.
            if problem.place.method not in models or problem.place.degradation == REAL:
                reasons.setdefault(problem.place.method, []).append(problem.reason)
        more = [
            first if not others else f"{first} The same for {len(others)} more of its results."
            for first, *others in reasons.values()
        ]
        return list(dict.fromkeys([*self.left_out, *more]))

    def rows(self) -> list[Row]:
        """Return the tidy table, in the order of subjects and of the protocol, regardless of the time of completion."""
        order = {method.name: n for n, method in enumerate(self.protocol.methods)}
        rows = [
            Row(**dataclasses.asdict(cell.place), metric=value.metric, region=value.region, value=value.number)
            for cell in self.cells
            for value in cell.values
        ]
        return sorted(rows, key=lambda row: (row.subject, row.degradation, row.scale, order.get(row.method, -1)))


def write_csv(rows: Iterable[Row], path: Path) -> None:
    """Write the tidy table.

    Raises:
        OutputError: If the table cannot be written.
    """
    with replacing(path, ".csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *map(dataclasses.astuple, rows)])
