"""What is known so far, on the disk the moment it is known: written under a temporary name and renamed.

What comes back from a lent machine is little: up to 8 files of up to 16 MiB. So there is one file for all results.
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
# What an item came to: for good, or so that a run that goes on tries it again.
FINAL = ("ok", "wrong", "failed")
OPEN = ("ended", "no time")


@dataclass(frozen=True)
class Result:
    """What an item came to.

    Attributes:
        status: "ok"; "wrong" (it ran, and its answer is not right); "failed" (an error); "ended" (it took longer than
            it may, or its process died); "no time" (it was never begun).
        seconds: What it took.
        values: What it measured.
        message: What is to be said of it, in one line.
    """

    status: str
    seconds: float = 0.0
    values: Mapping[str, Any] = field(default_factory=dict)
    message: str = ""


class Results:
    """All results of a run, kept on the disk.

    Args:
        folder: Where the file lies; what an earlier run found there is kept if it was about the same.
        about: What the results hold for, such as the device; compared with the file's.
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
        """Tell whether an item has come to its end."""
        return name in self.items and self.items[name].status in FINAL

    def add(self, name: str, result: Result) -> None:
        """Keep a result."""
        self.items[name] = result
        content = {"about": self.about, "items": self.plain()}
        write_atomically(self.path, json.dumps(content, indent=1).encode())

    def plain(self) -> dict[str, dict[str, Any]]:
        """Return the results as dictionaries."""
        return {name: asdict(result) for name, result in self.items.items()}


def read(path: Path) -> dict[str, Any]:
    """Return the content of a file of results; nothing if there is none."""
    if not path.exists():
        return {}
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that at any moment there is the old one or the new one, complete."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def too_much(folder: Path) -> list[str]:
    """Return what of a folder would not come back from a lent machine, in words."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".partial")]
    found = [f"{path.name} has {path.stat().st_size} bytes" for path in files if path.stat().st_size > MOST_BYTES]
    if len(files) > MOST_FILES:
        found.append(f"there are {len(files)} files")
    return found
