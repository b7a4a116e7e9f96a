"""Fixtures for the tests of the module, which run in the test host; the folder is skipped if the host cannot run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from host.fixtures import *  # noqa: F403 - fixtures and the hook that skips

_MODULE = Path(__file__).parents[2] / "ArSSR" / "ArSSR.py"
# As in Slicer, the files of the panel can be imported before the module is loaded.
sys.path.append(str(_MODULE.parent))


@pytest.fixture
def module(load_module: Callable[[Path], ModuleType]) -> ModuleType:
    """The module ArSSR, loaded as in Slicer."""
    return load_module(_MODULE)


@pytest.fixture
def panel(slicerHost: Any, module: ModuleType) -> Any:
    """The widget of the module, set up and entered."""
    return slicerHost.makeWidget(module)


@pytest.fixture
def temporary(scene: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder that must be empty at the end, when no run may be active."""
    import slicer_runs

    yield from slicer_runs.temporary_folder(tmp_path, monkeypatch)


@pytest.fixture
def ask(tiny_weights: Path) -> Callable[..., Any]:
    """Make a request for the tiny model on the CPU."""
    import slicer_runs

    return slicer_runs.asker(tiny_weights)


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Make a request; every run of the test uses a worker that only repeats voxels."""
    import slicer_runs

    return slicer_runs.asker(slicer_runs.use_quick_worker(tmp_path, monkeypatch))


@pytest.fixture
def pair(scene: Any) -> tuple[Any, Any]:
    """A volume with thick slices, and a finer one with the same field of view."""
    import mrml_volumes

    coarse = mrml_volumes.grid("thick")
    fine = coarse.upsampled((1, 1, 4))
    before = mrml_volumes.add_volume(coarse, mrml_volumes.blob(coarse, height=300), name="A very long name of a volume")
    after = mrml_volumes.add_volume(fine, mrml_volumes.blob(fine, height=310), name="Result")
    return before, after
