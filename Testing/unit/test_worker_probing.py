"""The probe describes the machine and the models, even if something is missing."""

from __future__ import annotations

import platform
import sys

import pytest
import torch
from worker_events import Told

from ArSSRLib import device, upsampling
from ArSSRLib.checkpoint import registry, sha256_of
from ArSSRLib.device import used_memory
from ArSSRLib.errors import MemoryLimitError
from ArSSRLib.worker import probing
from ArSSRLib.worker.cancellation import CancelledError
from ArSSRLib.worker.job import ProbeJob
from ArSSRLib.worker.probing import probe


@pytest.fixture
def told(tmp_path):
    return Told(tmp_path / "told")


def ask(told: Told, *models: object, measure: bool = False) -> dict:
    return probe(ProbeJob(tuple(map(str, models)), measure), told.cancellation)


def test_the_machine_is_described(told):
    fields = ask(told)

    assert (fields["torch"], fields["problem"]) == (torch.__version__, None)
    assert fields["cuda_build"] == torch.version.cuda
    assert fields["python"] == platform.python_version()
    cpu = fields["devices"][-1]
    assert (cpu["id"], cpu["smoke"]) == ("cpu", "ok")
    assert cpu["name"] == device.device_name(torch.device("cpu"))
    assert 0 < cpu["free_memory"] <= cpu["total_memory"]
    assert fields["base_memory"] == pytest.approx(used_memory(torch.device("cpu")), rel=0.1)


def test_models_are_described_with_the_values_that_a_plan_needs(told, tiny_model, tiny_weights):
    entry = registry()[0]

    models = ask(told, entry.name, tiny_weights)["models"]

    assert models[str(tiny_weights)] == {
        "halo": tiny_model.halo,
        "bytes_per_coarse_voxel": tiny_model.bytes_per_coarse_voxel,
        "encoding_cost": tiny_model.encoding_cost,
        "sha256": sha256_of(tiny_weights),
        "parameters": sum(parameter.numel() for parameter in tiny_model.parameters()),
        "trained_scales": [1.0, 8.0],
    }
    assert (models[entry.name]["sha256"], models[entry.name]["trained_scales"]) == (
        entry.sha256,
        list(entry.trained_scales),
    )


def test_an_unusable_model_does_not_hide_the_others(told, tiny_weights):
    fields = ask(told, "arsr2", tiny_weights, measure=False)

    assert "Did you mean" in fields["models"]["arsr2"]["error"]
    assert "halo" in fields["models"][str(tiny_weights)]


def test_the_speed_is_measured_on_request(told, tiny_weights, monkeypatch):
    monkeypatch.setattr(probing, "SECONDS_TO_MEASURE", 0.05)

    unmeasured = ask(told, tiny_weights)
    assert (unmeasured["speed"], unmeasured["beside"]) == ({}, None)
    measured = ask(told, tiny_weights, "nonsense", measure=True)
    speed = measured["speed"]

    assert 1e-9 < measured["beside"] < 1e-5
    assert set(speed) == {"cpu"}
    assert set(speed["cpu"]) == {str(tiny_weights)}
    assert 1e-10 < speed["cpu"][str(tiny_weights)] < 1e-3


def test_a_fast_device_is_measured_on_a_larger_plate_for_two_seconds(told, tiny_model, monkeypatch):
    edges = []

    def time_of(_network, _device, edge, _cancellation):
        edges.append(edge)
        return edge**2 * 1e-5, edge**2 * 100.0

    monkeypatch.setattr(probing, "_time", time_of)

    found = probing._seconds_per_cost(tiny_model, torch.device("cpu"), told.cancellation)

    assert found == pytest.approx(1e-7)
    assert edges == [16, 64, 447]  # 447 x 447 voxels take two seconds


def test_a_speed_that_cannot_be_measured_is_reported_as_none(told, tiny_weights, monkeypatch):
    def fail(*_, **__):
        raise MemoryLimitError

    monkeypatch.setattr(upsampling, "plan_upsampling", fail)

    assert ask(told, tiny_weights, measure=True)["speed"] == {"cpu": {str(tiny_weights): None}}


def test_a_device_that_does_not_work_is_reported_and_not_measured(told, tiny_weights, monkeypatch):
    monkeypatch.setattr(device, "smoke_test", lambda _: "CUDA error: no kernel image")

    fields = ask(told, tiny_weights, measure=True)

    assert [(d["smoke"], d["free_memory"]) for d in fields["devices"]] == [("CUDA error: no kernel image", 0)]
    assert fields["speed"] == {}


def test_the_probe_reports_a_missing_pytorch_and_succeeds(told, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)

    fields = ask(told, "arssr2", measure=True)

    assert "PyTorch is not installed" in fields["problem"]
    assert (fields["torch"], fields["devices"], fields["models"], fields["speed"]) == (None, [], {}, {})


def test_the_answer_has_the_same_fields_without_pytorch(told, monkeypatch):
    with_torch = ask(told)
    monkeypatch.setitem(sys.modules, "torch", None)

    assert set(ask(told)) == set(with_torch)


def test_a_probe_can_be_canceled(told, tiny_weights):
    told.cancellation.request()

    with pytest.raises(CancelledError):
        ask(told, tiny_weights)


def test_a_measurement_can_be_canceled(told, tiny_model):
    told.cancellation.request()

    with pytest.raises(CancelledError):
        probing._time(tiny_model, torch.device("cpu"), 12, told.cancellation)


def test_the_load_of_other_programs_is_reported(told, tiny_weights):
    assert 0 <= ask(told, tiny_weights, measure=True)["busy"] <= 1
