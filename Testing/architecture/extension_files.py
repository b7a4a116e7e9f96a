"""The files that describe the extension: CMake, the two catalog entries, and the lists of installed files."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODULES = ("ArSSR", "ArSSRLib")


def cmake_settings(root: Path = ROOT) -> dict[str, str]:
    """Return the EXTENSION_ variables of the root CMakeLists.txt, each on one line."""
    text = (root / "CMakeLists.txt").read_text(encoding="utf-8")
    return dict(re.findall(r'^set\(EXTENSION_(\w+) "([^"\n]*)"\)$', text, flags=re.MULTILINE))


def s4ext_fields(root: Path = ROOT) -> dict[str, str]:
    """Return the fields of the older catalog entry."""
    lines = (root / "ArSSR.s4ext").read_text(encoding="utf-8").splitlines()
    pairs = [line.partition(" ") for line in lines if line.strip() and not line.startswith("#")]
    return {key: value.strip() for key, _, value in pairs}


def json_fields(root: Path = ROOT) -> dict[str, object]:
    """Return the fields of the catalog entry."""
    return json.loads((root / "ArSSR.json").read_text(encoding="utf-8"))


def listed(module: str, kind: str, root: Path = ROOT) -> list[str]:
    """Return the files that a module's CMakeLists.txt lists as SCRIPTS or RESOURCES."""
    text = (root / module / "CMakeLists.txt").read_text(encoding="utf-8")
    (block,) = re.findall(rf"^set\({module}_{kind}\n(.*?)\n  \)$", text, flags=re.MULTILINE | re.DOTALL)
    return block.split()


def on_disk(module: str, root: Path = ROOT) -> set[str]:
    """Return the files of a module that must be installed."""
    return {
        path.relative_to(root / module).as_posix()
        for path in (root / module).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.name != "CMakeLists.txt"
    }
