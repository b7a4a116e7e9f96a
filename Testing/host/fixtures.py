"""Fixtures for tests that run in the host, for the conftest.py of a folder; it is skipped if the host cannot run.

Importing this starts the host, so that the test files can import `slicer`, `qt`, `ctk` and `vtk`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import host

__all__ = [
    "installs",
    "load_module",
    "messages",
    "nothing_left_behind",
    "pytest_pycollect_makemodule",
    "scene",
    "slicerHost",
    "slot_errors",
]

_REASON = host.missing()
if _REASON is None:
    host.boot()


class _SkippedFile(pytest.Module):
    """A test file that cannot be imported here."""

    def collect(self) -> Iterable[pytest.Item]:
        pytest.skip(str(_REASON), allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Skip every file of this folder, with the reason, if the host cannot run."""
    return None if _REASON is None else _SkippedFile.from_parent(parent, path=module_path)


@pytest.fixture(scope="session")
def slicerHost() -> Any:
    """The host of this process."""
    return host.boot()


@pytest.fixture(autouse=True)
def nothing_left_behind(slicerHost: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test ends with an exception in a slot, a nonexistent signal, or a warning of Qt."""
    records = slicerHost.records
    records.clear()
    # VTK reports exceptions of observers here, and then discards them.
    monkeypatch.setattr(sys, "excepthook", lambda _kind, error, _trace: records.slot_failed(error))
    yield
    slicerHost.process_events()
    complaints = records.complaints()
    records.clear()
    assert not complaints, "\n".join(complaints)


@pytest.fixture
def scene(slicerHost: Any, nothing_left_behind: None) -> Iterator[Any]:
    """A fresh scene, which is slicer.mrmlScene."""
    yield slicerHost.newScene()
    slicerHost.newScene()


@pytest.fixture
def slot_errors(slicerHost: Any) -> list[BaseException]:
    """The exceptions that slots raised; a test that provokes one clears the list."""
    return slicerHost.records.slot_errors


@pytest.fixture
def messages(slicerHost: Any) -> list[Any]:
    """The messages that the user would have seen."""
    return slicerHost.records.messages


@pytest.fixture
def installs(slicerHost: Any) -> list[Any]:
    """The packages that would have been installed."""
    return slicerHost.records.installs


@pytest.fixture
def load_module(slicerHost: Any, scene: Any) -> Iterator[Callable[[Path], ModuleType]]:
    """Loads scripted modules from files; they are unloaded at the end."""
    loaded: list[ModuleType] = []

    def load(path: Path) -> ModuleType:
        loaded.append(slicerHost.loadModule(path))
        return loaded[-1]

    yield load
    for module in reversed(loaded):
        slicerHost.unloadModule(module)
