"""Runs of the panel in the test host, with their callbacks and their remains."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import mrml_volumes
import psutil
import pytest
import slicer
from ArSSRPanel import process, run
from ArSSRPanel.request import makeRequest
from ArSSRPanel.run import Run

from ArSSRLib.options import UpsamplingOptions

# Two seconds are promised; a busy test machine may need one more.
PROMPT = 3.0


class Told:
    """The callbacks of a run."""

    def __init__(self):
        self.calls = []

    def callbacks(self) -> dict[str, Callable]:
        names = ("onProgress", "onStage", "onLog", "onFinished", "onError", "onCancelled")
        return {name: lambda *values, name=name: self.calls.append((name, *values)) for name in names}

    def __getitem__(self, name: str) -> list:
        return [call[1:] for call in self.calls if call[0] == name]

    @property
    def last(self) -> list:
        return [call for call in self.calls if call[0] in ("onFinished", "onError", "onCancelled")]


def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Provide a temporary folder for Slicer that must be empty at the end."""
    folder = tmp_path / "Größe tmp"
    folder.mkdir()
    monkeypatch.setattr(slicer.app, "temporaryPath", str(folder))
    yield folder
    left = list(folder.iterdir())
    run.cleanup()
    assert left == []


def asker(weights: Path) -> Callable:
    """Return a function that creates requests for a model on the CPU."""

    def ask(node, output=None, *, device="cpu", memory_limit=None, **asked):
        options = UpsamplingOptions(device=device, precision="fp32", memory_limit=memory_limit)
        return makeRequest(node, output, **{"scale": 2, "model": str(weights), "options": options, **asked})

    return ask


def use_quick_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, slow: bool = False) -> Path:
    """Use a worker that only repeats voxels for the runs of a test, and return the weights to request.

    A slow worker waits to be canceled.
    """
    monkeypatch.setattr(process, "WORKER", "quick_worker")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    weights = tmp_path / ("slow.safetensors" if slow else "quick.safetensors")
    weights.touch()
    return weights


def volume(kind: str = "oblique", *, dtype: str = "int16", name: str = "T1") -> slicer.vtkMRMLScalarVolumeNode:
    """Return a small volume of the scene."""
    geometry = mrml_volumes.grid(kind)
    return mrml_volumes.add_volume(geometry, mrml_volumes.blob(geometry, dtype=dtype, height=100), name=name)


def large_volume(factor: int = 10) -> slicer.vtkMRMLScalarVolumeNode:
    """Return a volume that takes a worker many seconds."""
    fine = mrml_volumes.grid("axial").upsampled(factor)
    return mrml_volumes.add_volume(fine, mrml_volumes.blob(fine), name="Large")


def wait(request, **callbacks) -> slicer.vtkMRMLNode:
    """Run a request to its end, without an event loop, and return the output node."""
    started = Run(request, **callbacks)
    started.start()
    return started.wait()


def worker_processes() -> set[int]:
    """Return the worker processes among the descendants of this process."""
    found = set()
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.status() != psutil.STATUS_ZOMBIE and {"ArSSRLib.worker", "quick_worker"} & {*child.cmdline()}:
                found.add(child.pid)
    return found
