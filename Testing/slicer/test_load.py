"""The speed is measured again when the load from other programs changes."""

from __future__ import annotations

import copy

import mrml_volumes
import pytest
from ArSSRPanel import engine_section, probe
from ArSSRPanel.probe import LoadWatch

from ArSSRLib.checkpoint import DEFAULT_MODEL

FACTS = {
    "torch": "2.9.1",
    "cuda_build": None,
    "problem": None,
    "devices": [{"id": "cpu", "name": "CPU", "free_memory": 16e9, "total_memory": 16e9, "smoke": "ok"}],
    "models": {DEFAULT_MODEL: {"halo": 4, "bytes_per_coarse_voxel": 2000, "encoding_cost": 40.0, "sha256": "ab"}},
    "base_memory": 500_000_000,
    "speed": {"cpu": {DEFAULT_MODEL: 1e-5}},
    "busy": 0.0,
}


@pytest.fixture
def others(monkeypatch) -> list[float]:
    """The CPU load of other programs as a fraction; an observation takes no time."""
    taken = [0.0]
    clock = [0.0]

    def times() -> tuple[float, float, float]:
        clock[0] += 10.0
        return clock[0], clock[0] * taken[0], 0.0

    monkeypatch.setattr(probe, "processor_times", times)
    monkeypatch.setattr(probe, "OBSERVED", 1)
    monkeypatch.setattr(probe, "SPARED", 0.0)
    return taken


@pytest.mark.parametrize(("before", "now", "calls"), [(0.0, 0.9, 1), (0.9, 0.0, 1), (0.5, 0.6, 0)])
def test_only_a_large_change_of_the_load_is_reported(scene, slicerHost, others, before, now, calls):
    told = []
    watch = LoadWatch(lambda: told.append(1))
    watch.measured(before)
    others[0] = now

    watch.observe()
    slicerHost.process_events(0.1)

    assert len(told) == calls


def test_the_load_is_not_observed_right_after_a_measurement(scene, slicerHost, others, monkeypatch):
    monkeypatch.setattr(probe, "SPARED", 60.0)
    told = []
    watch = LoadWatch(lambda: told.append(1))
    watch.measured(0.0)
    others[0] = 0.9

    watch.observe()
    slicerHost.process_events(0.1)

    assert told == []


@pytest.fixture
def probes(monkeypatch) -> list:
    """Records the probes that the panel starts, without running them."""
    started = []

    class Recorded:
        def __init__(self, models, *, onDone, onError) -> None:
            self.onDone = onDone

        def start(self) -> None:
            started.append(self)

        def cancel(self) -> None:
            pass

    monkeypatch.setattr(engine_section, "Probe", Recorded)
    return started


def test_a_computer_that_becomes_busy_changes_the_estimate_of_an_open_panel(others, probes, module, slicerHost, scene):
    grid = mrml_volumes.grid("axial")
    mrml_volumes.add_volume(grid, mrml_volumes.blob(grid))
    panel = slicerHost.makeWidget(module)
    probes.pop().onDone(copy.deepcopy(FACTS))
    assert slicerHost.wait_until(lambda: not panel.profile.running, timeout=60)
    assert "busy" not in panel.ui.resultLabel.text
    assert probes == []

    others[0] = 0.9
    panel.updatePanel()
    assert slicerHost.wait_until(lambda: len(probes) == 1, timeout=10)
    assert "memory" in panel.ui.resultLabel.text  # the old estimate is kept meanwhile
    probes.pop().onDone(copy.deepcopy(FACTS) | {"busy": 0.9})

    assert "busy" in panel.ui.resultLabel.text


def test_the_speed_is_not_measured_during_a_run(others, probes, module, slicerHost, scene, monkeypatch):
    panel = slicerHost.makeWidget(module)
    probes.pop().onDone(copy.deepcopy(FACTS))
    monkeypatch.setattr(engine_section, "activeRun", object)

    panel.engine._measureAgain()

    assert probes == []
