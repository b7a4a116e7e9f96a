"""Fixtures of the tests of the module, which run in the test host; the folder is skipped where that cannot run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from host.fixtures import *  # noqa: F403 - fixtures and the hook that skips

_MODULE = Path(__file__).parents[2] / "ArSSR" / "ArSSR.py"
# The rooms of the panel are importable before the module is loaded, as they are in Slicer.
sys.path.append(str(_MODULE.parent))


@pytest.fixture
def module(load_module: Callable[[Path], ModuleType]) -> ModuleType:
    """The module ArSSR, loaded as Slicer does."""
    return load_module(_MODULE)


@pytest.fixture
def panel(slicerHost: Any, module: ModuleType) -> Any:
    """The widget of the module, set up and entered."""
    return slicerHost.makeWidget(module)


@pytest.fixture
def temporary(scene: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder that must be empty at the end, without a run under way."""
    import slicer_runs

    yield from slicer_runs.temporary_folder(tmp_path, monkeypatch)


@pytest.fixture
def ask(tiny_weights: Path) -> Callable[..., Any]:
    """Make a request for the tiny model on the CPU."""
    import slicer_runs

    return slicer_runs.asker(tiny_weights)


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Make a request, and let a worker that only repeats voxels do every run of the test."""
    import slicer_runs

    return slicer_runs.asker(slicer_runs.use_quick_worker(tmp_path, monkeypatch))
