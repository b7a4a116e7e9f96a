"""Names of devices to devices that are there, and a refusal in one line for all others."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from messages import one_line

from ArSSRLib import device
from ArSSRLib.device import (
    describe_device,
    free_memory,
    has_amx,
    resolve_device,
    resolve_precision,
    used_memory,
)
from ArSSRLib.errors import DeviceError

CPU = torch.device("cpu")


@pytest.fixture
def machine(monkeypatch):
    """Return a function that makes this a machine with so many GPUs, or an Apple one."""

    def is_one_with(*, gpus: int = 0, apple: bool = False, bf16: bool = True) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: bf16)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: apple)

    return is_one_with


@pytest.mark.parametrize(
    ("hardware", "expected"),
    [({}, "cpu"), ({"gpus": 1}, "cuda"), ({"apple": True}, "mps"), ({"gpus": 2, "apple": True}, "cuda")],
)
def test_auto_is_the_fastest_device_that_is_there(machine, hardware, expected):
    machine(**hardware)

    assert resolve_device("auto") == torch.device(expected)


@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:0", "cuda:1", "mps"])
def test_a_device_that_is_there_is_found(machine, name):
    machine(gpus=2, apple=True)

    assert resolve_device(name) == torch.device(name)


@pytest.mark.parametrize("name", ["", "gpu", "CUDA", "cuda:", "cuda:x", "cuda:-1", "cpu:0", "mps:1", "cuda:0:1", "xpu"])
def test_an_unknown_name_is_refused_with_the_known_ones(machine, name):
    machine(gpus=2, apple=True)

    with pytest.raises(DeviceError, match=r"choose auto, cpu, cuda, cuda:N or mps") as error:
        resolve_device(name)

    assert f'"{name}"' in one_line(error)


@pytest.mark.parametrize("name", ["cuda", "cuda:0"])
def test_a_gpu_that_is_not_there_is_refused(machine, name):
    machine()

    with pytest.raises(DeviceError, match="no CUDA GPU; choose cpu or auto") as error:
        resolve_device(name)

    assert one_line(error)


def test_a_gpu_beyond_the_last_is_refused(machine):
    machine(gpus=2)

    with pytest.raises(DeviceError, match="cuda:0 to cuda:1") as error:
        resolve_device("cuda:2")

    assert one_line(error)


def test_an_apple_gpu_that_is_not_there_is_refused(machine):
    machine()

    with pytest.raises(DeviceError, match="no Apple GPU") as error:
        resolve_device("mps")

    assert one_line(error)


# --- precision


@pytest.mark.parametrize(
    ("kind", "hardware", "amx", "expected"),
    [
        ("cuda", {"gpus": 1, "bf16": True}, False, torch.bfloat16),
        ("cuda", {"gpus": 1, "bf16": False}, True, torch.float32),
        ("cpu", {}, True, torch.bfloat16),
        ("cpu", {}, False, torch.float32),
        ("mps", {"apple": True}, True, torch.float32),
    ],
)
def test_auto_is_the_precision_that_pays(machine, monkeypatch, kind, hardware, amx, expected):
    machine(**hardware)
    monkeypatch.setattr(device, "has_amx", lambda: amx)

    assert resolve_precision("auto", torch.device(kind)) == expected


@pytest.mark.parametrize(("name", "expected"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_a_precision_that_was_asked_for_is_taken(name, expected):
    assert resolve_precision(name, CPU) == expected


def test_half_precision_is_for_gpus():
    assert resolve_precision("fp16", torch.device("cuda")) == torch.float16
    with pytest.raises(DeviceError, match="choose fp32 or bf16") as error:
        resolve_precision("fp16", CPU)

    assert one_line(error)


def test_an_unknown_precision_is_refused():
    with pytest.raises(DeviceError, match="auto, fp32, bf16, fp16") as error:
        resolve_precision("fp8", CPU)

    assert '"fp8"' in one_line(error)


@pytest.mark.parametrize(("flags", "expected"), [("flags : avx2 amx_bf16 amx_tile", True), ("flags : avx2", False)])
def test_amx_is_read_from_the_flags_of_the_processor(monkeypatch, flags, expected):
    monkeypatch.setattr(device, "Path", lambda _: SimpleNamespace(read_text=lambda **_: flags))

    assert has_amx() is expected


def test_a_system_without_such_flags_has_no_amx(monkeypatch, tmp_path):
    monkeypatch.setattr(device, "Path", lambda _: tmp_path / "missing")

    assert has_amx() is False


# --- memory


@pytest.fixture
def container(monkeypatch, tmp_path):
    """Return a function that puts this process into a container with so much memory, on a machine with 8 GB free."""
    limit, use = tmp_path / "max", tmp_path / "current"
    monkeypatch.setattr(device, "CGROUP_LIMIT", limit)
    monkeypatch.setattr(device, "CGROUP_USE", use)
    monkeypatch.setattr(device.psutil, "virtual_memory", lambda: SimpleNamespace(available=8_000_000_000))

    def holds(maximum: str, current: str) -> None:
        limit.write_text(maximum)
        use.write_text(current)

    return holds


def test_without_a_container_the_machine_decides(container):
    assert free_memory(CPU) == 8_000_000_000


@pytest.mark.parametrize(
    ("maximum", "current", "free"),
    [
        ("3000000000\n", "1000000000\n", 2_000_000_000),
        ("64000000000\n", "1000000000\n", 8_000_000_000),
        ("max\n", "1000000000\n", 8_000_000_000),
        ("1000\n", "2000\n", 0),
    ],
)
def test_a_container_may_have_less(container, maximum, current, free):
    container(maximum, current)

    assert free_memory(CPU) == free


def test_memory_in_use_grows_with_what_is_held():
    before = used_memory(CPU)

    held = torch.ones(20_000_000)

    assert used_memory(CPU) - before == pytest.approx(held.nbytes, rel=0.3)


def test_the_cpu_is_described_with_its_threads():
    assert describe_device(CPU) == f"cpu ({torch.get_num_threads()} threads)"


def test_a_gpu_is_described_by_its_name(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Quadro")

    assert describe_device(torch.device("cuda:1")) == "cuda:1 (Quadro)"


def test_an_apple_gpu_is_described_by_its_kind():
    assert describe_device(torch.device("mps")) == "mps"
