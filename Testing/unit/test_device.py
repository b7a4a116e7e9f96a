"""Names of devices become existing devices; all others are refused in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from messages import one_line

from ArSSRLib import device
from ArSSRLib.device import (
    available_devices,
    describe_device,
    device_name,
    free_memory,
    has_amx,
    is_out_of_memory,
    peak_memory,
    precision_name,
    processor_name,
    resolve_device,
    resolve_precision,
    smoke_test,
    total_memory,
)
from ArSSRLib.errors import DeviceError

CPU = torch.device("cpu")


@pytest.fixture
def machine(monkeypatch):
    """Return a function that simulates a machine with a number of GPUs, or an Apple GPU."""

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
def test_auto_is_the_fastest_available_device(machine, hardware, expected):
    machine(**hardware)

    assert resolve_device("auto") == torch.device(expected)


@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:0", "cuda:1", "mps"])
def test_an_available_device_is_accepted(machine, name):
    machine(gpus=2, apple=True)

    assert resolve_device(name) == torch.device(name)


@pytest.mark.parametrize("name", ["", "gpu", "CUDA", "cuda:", "cuda:x", "cuda:-1", "cpu:0", "mps:1", "cuda:0:1", "xpu"])
def test_an_unknown_name_is_refused_with_the_known_ones(machine, name):
    machine(gpus=2, apple=True)

    with pytest.raises(DeviceError, match=r"choose auto, cpu, cuda, cuda:N or mps") as error:
        resolve_device(name)

    assert f'"{name}"' in one_line(error)


@pytest.mark.parametrize("name", ["cuda", "cuda:0"])
def test_a_missing_gpu_is_refused(machine, name):
    machine()

    with pytest.raises(DeviceError, match="no CUDA GPU; choose cpu or auto") as error:
        resolve_device(name)

    assert one_line(error)


def test_a_gpu_number_beyond_the_last_is_refused(machine):
    machine(gpus=2)

    with pytest.raises(DeviceError, match="only cuda:0, cuda:1;") as error:
        resolve_device("cuda:2")

    assert one_line(error)


def test_a_missing_apple_gpu_is_refused(machine):
    machine()

    with pytest.raises(DeviceError, match="no Apple GPU") as error:
        resolve_device("mps")

    assert one_line(error)


# --- precision


@pytest.mark.parametrize(
    ("kind", "hardware", "amx", "expected"),
    [
        ("cuda", {"gpus": 1}, False, torch.float16),
        ("cpu", {}, True, torch.bfloat16),
        ("cpu", {}, False, torch.float32),
        ("mps", {"apple": True}, True, torch.float32),
    ],
)
def test_auto_is_the_fastest_precision_of_the_device(machine, monkeypatch, kind, hardware, amx, expected):
    machine(**hardware)
    monkeypatch.setattr(device, "has_amx", lambda: amx)

    assert resolve_precision("auto", torch.device(kind)) == expected


@pytest.mark.parametrize(("name", "expected"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_a_requested_precision_is_used(name, expected):
    assert resolve_precision(name, CPU) == expected


def test_half_precision_is_only_for_gpus():
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
    monkeypatch.setattr(device, "PROCESSOR", SimpleNamespace(read_text=lambda **_: flags))

    assert has_amx() is expected


def test_a_system_without_processor_flags_has_no_amx(monkeypatch, tmp_path):
    monkeypatch.setattr(device, "PROCESSOR", tmp_path / "missing")

    assert has_amx() is False


# --- memory


MEMORY = """
import torch
from ArSSRLib.device import peak_memory, used_memory
cpu = torch.device("cpu")
before = used_memory(cpu)
held = torch.ones(60_000_000)
during, peak_during = used_memory(cpu), peak_memory(cpu)
del held
print(before, during, used_memory(cpu), peak_during, peak_memory(cpu))
"""


@pytest.fixture(scope="module")
def memory_of_a_process():
    """Memory of a new process before, during and after an allocation of 240 MB, and its peak during and after it.

    The process is new because this one may reuse memory that earlier tests have freed.
    """
    result = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True, timeout=120)
    names = ("before", "during", "after", "peak_during", "peak_after")
    return SimpleNamespace(**dict(zip(names, map(int, result.stdout.split()), strict=True)))


def test_memory_in_use_grows_with_allocations(memory_of_a_process):
    assert memory_of_a_process.during - memory_of_a_process.before == pytest.approx(240_000_000, rel=0.2)


def test_the_peak_is_never_below_the_memory_in_use(memory_of_a_process):
    # Linux counts pages per core, and only updates the sum occasionally.
    assert memory_of_a_process.peak_during > 0.99 * memory_of_a_process.during


def test_the_peak_remains_after_memory_is_released(memory_of_a_process):
    assert memory_of_a_process.after < memory_of_a_process.during - 200_000_000
    assert memory_of_a_process.peak_after > 0.99 * memory_of_a_process.peak_during


def test_the_cpu_is_described_with_its_threads():
    assert describe_device(CPU) == f"cpu ({torch.get_num_threads()} threads)"


def test_a_gpu_is_described_by_its_name(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Quadro")

    assert describe_device(torch.device("cuda:1")) == "cuda:1 (Quadro)"


def test_an_apple_gpu_is_described_by_its_kind():
    assert describe_device(torch.device("mps")) == "mps"


@pytest.mark.parametrize("name", ["fp32", "bf16"])
def test_every_precision_has_one_name(name):
    assert precision_name(resolve_precision(name, CPU)) == name


def test_without_the_status_file_of_linux_the_peak_comes_from_getrusage(monkeypatch, tmp_path):
    expected = peak_memory(CPU)
    monkeypatch.setattr(device, "STATUS", tmp_path / "missing")

    # In kB on Linux, and in bytes on macOS, where it is used.
    assert peak_memory(CPU) * 1024 == pytest.approx(expected, rel=0.05)


def test_total_memory_is_at_least_free_memory():
    assert total_memory(CPU) >= free_memory(CPU)


@pytest.mark.parametrize(
    "message",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB",
        "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried to",
        "[enforce fail at alloc_cpu.cpp:83] data. DefaultCPUAllocator: not enough memory: you tried to",
        "MPS backend out of memory (MPS allocated: 5.00 GB)",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "std::bad_alloc",
    ],
)
def test_out_of_memory_errors_of_libraries_are_recognized(message):
    assert is_out_of_memory(RuntimeError(message))


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError()])
def test_out_of_memory_exceptions_are_recognized_without_a_message(error):
    assert is_out_of_memory(error)


@pytest.mark.parametrize("error", [RuntimeError("shapes do not match"), ValueError("out of memory"), OSError()])
def test_other_errors_are_not_mistaken_for_a_lack_of_memory(error):
    assert not is_out_of_memory(error)


# --- lists of devices, and their tests


@pytest.mark.parametrize(
    ("hardware", "expected"),
    [({}, ["cpu"]), ({"gpus": 2}, ["cuda:0", "cuda:1", "cpu"]), ({"apple": True}, ["mps", "cpu"])],
)
def test_all_devices_are_listed_and_that_of_auto_is_first(machine, hardware, expected):
    machine(**hardware)

    assert [str(found) for found in available_devices()] == expected
    assert resolve_device("auto").type == torch.device(expected[0]).type


def test_the_cpu_passes_the_test_computation():
    assert smoke_test(CPU) == "ok"


def test_a_device_with_wrong_results_is_detected(monkeypatch):
    monkeypatch.setattr(device.F, "conv3d", lambda ones, *_, **__: ones)

    assert smoke_test(CPU) == "a convolution is wrong by up to 26"


def test_a_device_that_fails_is_reported_in_one_line(monkeypatch):
    def conv3d(*_, **__):
        raise RuntimeError("CUDA error: no kernel image is available\nfor execution on the device")

    monkeypatch.setattr(device.F, "conv3d", conv3d)

    assert smoke_test(CPU) == "CUDA error: no kernel image is available for execution on the device"


@pytest.mark.parametrize(("count", "words"), [(1, "1 thread"), (2, "2 threads")])
def test_the_name_of_the_cpu_includes_its_model_and_threads(monkeypatch, tmp_path, count, words):
    monkeypatch.setattr(torch, "get_num_threads", lambda: count)
    (tmp_path / "cpuinfo").write_text("processor : 0\nmodel name\t: Core  i7-9750H CPU\nmodel name\t: Core  i7\n")
    monkeypatch.setattr(device, "PROCESSOR", tmp_path / "cpuinfo")

    assert device_name(CPU) == f"Core i7-9750H CPU ({words})"


def test_the_name_of_the_processor_is_found_on_windows(monkeypatch, tmp_path):
    class Key:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

    registry = SimpleNamespace(HKEY_LOCAL_MACHINE=0, OpenKey=lambda *_: Key(), QueryValueEx=lambda _, name: (name, 1))
    monkeypatch.setattr(device, "PROCESSOR", tmp_path / "missing")
    monkeypatch.setitem(sys.modules, "winreg", registry)

    assert processor_name() == "ProcessorNameString"


@pytest.fixture
def mac(monkeypatch, tmp_path):
    """Return a function that replaces ``sysctl`` by a script, on a simulated system other than Linux and Windows."""
    monkeypatch.setattr(device, "PROCESSOR", tmp_path / "missing")
    monkeypatch.setitem(sys.modules, "winreg", None)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    def answers(script: str) -> None:
        (tmp_path / "sysctl").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "sysctl").chmod(0o755)

    return answers


def test_the_name_of_the_processor_is_found_on_a_mac(mac):
    mac("echo Apple M4")

    assert processor_name() == "Apple M4"


def test_a_processor_without_a_name_is_described_by_its_architecture(mac, monkeypatch):
    mac("exit 1")
    monkeypatch.setattr(device.platform, "processor", lambda: "")
    monkeypatch.setattr(device.platform, "machine", lambda: "riscv64")

    assert processor_name() == "riscv64"


def test_a_gpu_has_the_name_given_by_its_driver(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Quadro")

    assert device_name(torch.device("cuda:1")) == "Quadro"


def test_memory_of_a_gpu_is_measured_on_the_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (3, 8))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: 5)

    gpu = torch.device("cuda:0")

    assert (free_memory(gpu), total_memory(gpu), peak_memory(gpu)) == (3, 8, 5)
