"""The host is a package of its own: it knows nothing of what is tested in it."""

from __future__ import annotations

import ast
import sys
import tomllib
from pathlib import Path

HOST = Path(__file__).parents[1]
# What Slicer gives, and what the two packages bring that it is made of.
FOREIGN = {"PySide6", "shiboken6", "slicer", "vtk", "vtkmodules", "qt", "ctk", "numpy", "packaging", "pytest"}


def imported(path: Path) -> set[str]:
    """Return the packages that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(str(node.module).split(".")[0])
    return names


def test_it_imports_nothing_from_the_project():
    allowed = FOREIGN | set(sys.stdlib_module_names) | {"host"}

    assert {path.name: imported(path) - allowed for path in HOST.glob("*.py") if imported(path) - allowed} == {}


def test_the_project_installs_everything_it_needs():
    own = tomllib.loads((HOST / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    extra = tomllib.loads((HOST.parents[1] / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]

    for requirement in own:
        name = requirement.split("=")[0].split(">")[0]
        assert name == "packaging" or any(known.startswith(requirement) for known in extra["slicer"])
