"""Rows of a table in a CSV file, to avoid computing them again."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

Row = TypeVar("Row")

_READERS = {"str": str, "float": float, "bool": "True".__eq__}


def read_rows(path: Path, kind: type[Row]) -> list[Row]:
    """Return the rows of a CSV file, dataclasses of texts, numbers and truth values; none if it does not exist."""
    if not path.is_file():
        return []
    readers = {field.name: _READERS[str(field.type)] for field in fields(kind)}  # type: ignore[arg-type]
    with path.open(encoding="utf-8", newline="") as file:
        return [kind(**{name: readers[name](text) for name, text in line.items()}) for line in csv.DictReader(file)]


def write_rows(path: Path, rows: Sequence[Any]) -> None:
    """Write rows, dataclasses of one type, as CSV; numbers with five digits."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(rows[0])], lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: f"{v:.5g}" if isinstance(v, float) else v for k, v in asdict(row).items()} for row in rows)
