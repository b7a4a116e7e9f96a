"""Imports slicer-core, or reports why the host cannot run.

slicer-core imports every module in folders named `slicer` on `sys.path`, including our own test folder; it is therefore
imported while no such folder of ours is on the path.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import sys
from pathlib import Path

_NEEDED = {"slicer_core": "slicer-core", "vtkmodules": "vtk", "PySide6": "PySide6-Essentials"}
# PySide6 6.12 returns None without a reference; Python before 3.12 counts references, and crashes at exit.
_BROKEN_PYSIDE = (6, 12)
_FIRST_PYTHON_WITHOUT_COUNTS = (3, 12)


def missing() -> str | None:
    """Return why the host cannot run here, or None."""
    absent = [package for module, package in _NEEDED.items() if importlib.util.find_spec(module) is None]
    if absent:
        return f"the test host of Slicer needs {', '.join(absent)}: pip install {' '.join(absent)}"
    pyside = importlib.metadata.version("PySide6-Essentials")
    numbers = tuple(int(number) for number in pyside.split(".")[:2])
    if numbers >= _BROKEN_PYSIDE and sys.version_info < _FIRST_PYTHON_WITHOUT_COUNTS:
        return f"PySide6 {pyside} breaks Python before 3.12: pip install 'PySide6-Essentials<6.12'"
    return None


def slicer_source() -> Path | None:
    """Return the folder of Slicer's own Python package in SLICER_SOURCE_DIR, or None.

    Raises:
        FileNotFoundError: If the variable is set and the folder contains no Slicer source.
    """
    named = os.environ.get("SLICER_SOURCE_DIR")
    if not named:
        return None
    folder = Path(named) / "Base" / "Python" / "slicer"
    if not (folder / "ScriptedLoadableModule.py").is_file():
        expected = "Name the root of a Slicer source tree, or unset it."
        msg = f"SLICER_SOURCE_DIR={named} holds no Base/Python/slicer. {expected}"
        raise FileNotFoundError(msg)
    return folder


def import_slicer() -> None:
    """Import slicer-core once, without our own folder of that name."""
    if "slicer" in sys.modules:
        return
    before = list(sys.path)
    sys.path[:] = [entry for entry in before if not _is_ours(entry)]
    try:
        importlib.import_module("slicer.util")
    finally:
        sys.path[:] = before


def _is_ours(entry: str) -> bool:
    folder = Path(entry or ".") / "slicer"
    return folder.is_dir() and not (folder / "__init__.py").is_file()


# Qt reads the platform when its first object is created; tests need no screen.
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
