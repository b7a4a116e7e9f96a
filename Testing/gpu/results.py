"""The results so far, stored on disk immediately: written under a temporary name and renamed.

A lent machine returns little, up to 8 files of up to 16 MiB. There is therefore one file for all results.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FILE = "results.json"
MOST_FILES, MOST_BYTES = 8, 16 * 2**20
# Statuses that are final; items with other statuses are tried again when a run is continued.
FINAL = ("ok", "wrong", "failed")
OPEN = ("ended", "no time")


@dataclass(frozen=True)
class Result:
    """The result of an item.

    Attributes:
        status: "ok"; "wrong" (it ran, but its result is not correct); "failed" (an error); "ended" (it exceeded its
            time limit, or its process died); "no time" (it was never started).
        seconds: Its time.
        values: Its measurements.
        message: A message in one line.
    """

    status: str
    seconds: float = 0.0
    values: Mapping[str, Any] = field(default_factory=dict)
    message: str = ""


class Results:
    """All results of a run, kept on the disk.

    Args:
        folder: Folder of the file; results of an earlier run there are kept if its identity is the same.
        about: Identity of the results, such as the device; compared with that in the file.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / FILE
        self.about = dict(about)
        self.items: dict[str, Result] = {}
        found = read(self.path)
        if found.get("about") == self.about:
            self.items = {name: Result(**values) for name, values in found["items"].items()}

    def has(self, name: str) -> bool:
        """Return whether an item has a final result."""
        return name in self.items and self.items[name].status in FINAL

    def add(self, name: str, result: Result) -> None:
        """Store a result."""
        self.items[name] = result
        content = {"about": self.about, "items": self.plain()}
        write_atomically(self.path, json.dumps(content, indent=1).encode())

    def plain(self) -> dict[str, dict[str, Any]]:
        """Return the results as dictionaries."""
        return {name: asdict(result) for name, result in self.items.items()}


def read(path: Path) -> dict[str, Any]:
    """Return the content of a file of results; empty if there is none."""
    if not path.exists():
        return {}
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that, at any time, either the old or the new one exists, complete."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def too_much(folder: Path) -> list[str]:
    """Return the files of a folder that a lent machine would not return, as text."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".partial")]
    found = [f"{path.name} has {path.stat().st_size} bytes" for path in files if path.stat().st_size > MOST_BYTES]
    if len(files) > MOST_FILES:
        found.append(f"there are {len(files)} files")
    return found
