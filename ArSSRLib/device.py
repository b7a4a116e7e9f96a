"""Devices and precisions by name, as far as this machine has them, and the memory of devices.

This is the only file that queries the capabilities of the machine.
"""

from __future__ import annotations

import contextlib
import platform
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import psutil
import torch
import torch.nn.functional as F

from ArSSRLib.errors import DependencyError, DeviceError

# Messages of PyTorch and its libraries about exhausted memory, if they raise no specific error.
_OUT_OF_MEMORY = re.compile(
    r"out of memory|not enough memory|can't allocate memory|ALLOC_FAILED|bad_?alloc|could not create a memory object",
    re.IGNORECASE,
)

# Messages about a failure of the device or its driver.
_FAILED = re.compile(r"CUDA error|cuDNN error|CUBLAS_STATUS|CUFFT_|NCCL|device-side|MPS backend|Metal", re.IGNORECASE)

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "int8": torch.int8}
# Information from Linux about the processor and about this process.
PROCESSOR, STATUS = Path("/proc/cpuinfo"), Path("/proc/self/status")
# Limit, usage and statistics of a container's memory, in version 2 and in version 1 of Linux control groups. Inactive
# pages of files count as used, but are reclaimed when memory is needed.
_CGROUPS = Path("/sys/fs/cgroup")
CGROUPS = (
    (_CGROUPS / "memory.max", _CGROUPS / "memory.current", _CGROUPS / "memory.stat", "inactive_file"),
    (
        _CGROUPS / "memory/memory.limit_in_bytes",
        _CGROUPS / "memory/memory.usage_in_bytes",
        _CGROUPS / "memory/memory.stat",
        "total_inactive_file",
    ),
)


def resolve_device(name: str = "auto") -> torch.device:
    """Return the device with a name.

    Args:
        name: "auto" (the first CUDA GPU, otherwise Apple's GPU, otherwise the CPU), "cpu", "cuda", "cuda:N" or "mps".

    Raises:
        DeviceError: If the name is unknown or the device is not available.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind, colon, number = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (colon and not (kind == "cuda" and number.isdigit())):
        msg = f'There is no device "{name}"; choose auto, cpu, cuda, cuda:N or mps.'
        raise DeviceError(msg)
    if kind == "cuda":
        _require_gpu(name, int(number or 0))
    if kind == "mps" and not torch.backends.mps.is_available():
        msg = 'Device "mps" was requested, but this computer has no Apple GPU that PyTorch can use; choose cpu or auto.'
        raise DeviceError(msg)
    return torch.device(name)


def _require_gpu(name: str, number: int) -> None:
    """Refuse a CUDA GPU that this computer lacks; ``number`` is counted from 0."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        msg = f'Device "{name}" was requested, but PyTorch {torch.__version__} finds no CUDA GPU; choose cpu or auto.'
        raise DeviceError(msg)
    if number >= count:
        msg = (
            f'Device "{name}" was requested, but this computer has only '
            f"{', '.join(f'cuda:{n}' for n in range(count))}; choose one of them."
        )
        raise DeviceError(msg)


def require_backend(name: str, device: torch.device) -> None:
    """Refuse a backend, see `ArSSRLib.options.UpsamplingOptions`, that is not available on the device of the network.

    Raises:
        DeviceError: If the backend does not support that device.
        DependencyError: If its package is not installed.
    """
    if name == "fused" and device.type != "cuda":
        msg = f"The fused backend runs on a CUDA GPU, not on {device}; omit the backend."
        raise DeviceError(msg)
    if name == "openvino" and device.type != "cpu":
        msg = f"The openvino backend runs on the CPU, not on {device}; add --device cpu, or omit the backend."
        raise DeviceError(msg)
    if name == "openvino" and find_spec("openvino") is None:
        msg = "The openvino backend needs the package openvino, which is not installed: pip install openvino."
        raise DependencyError(msg)


def resolve_precision(name: str, device: torch.device, *, backend: str = "torch") -> torch.dtype:
    """Return the number format of the network on a device.

    Args:
        name: "auto", "fp32", "bf16", "fp16", or with OpenVINO "int8".
        device: Device of the network.
        backend: Backend of the encoder: OpenVINO is also fast in bf16 on CPUs where PyTorch is not.

    Returns:
        For "auto": fp16 on a CUDA GPU, where it rounds less than bf16 and is as fast; bf16 on a CPU with AMX, or with
        AVX-512's bf16 and OpenVINO; otherwise fp32, which is faster there.

    Raises:
        DeviceError: If the name is unknown, or the device or the backend does not support that format.
    """
    if name == "auto":
        if device.type == "cuda":
            return torch.float16
        fast_in_bf16 = has_amx() or (backend == "openvino" and _processor_has("avx512_bf16"))
        return torch.bfloat16 if device.type == "cpu" and fast_in_bf16 else torch.float32
    if name not in PRECISIONS:
        msg = f'There is no precision "{name}"; choose auto, {", ".join(PRECISIONS)}.'
        raise DeviceError(msg)
    if name == "fp16" and device.type == "cpu":
        msg = "Precision fp16 was requested on the CPU, where it is slow and can overflow; choose fp32 or bf16."
        raise DeviceError(msg)
    if name == "int8" and backend != "openvino":
        msg = "Precision int8 was requested, which only the openvino backend supports; add --backend openvino."
        raise DeviceError(msg)
    return PRECISIONS[name]


def precision_name(number_format: torch.dtype) -> str:
    """Return the name of a number format: "fp32", "bf16", "fp16" or "int8"."""
    return next(name for name, dtype in PRECISIONS.items() if dtype == number_format)


def has_amx() -> bool:
    """Return whether the CPU has AMX, which multiplies bf16 matrices in hardware."""
    return _processor_has("amx_bf16")


def _processor_has(flag: str) -> bool:
    """Return whether Linux lists a feature of the processor; False on other systems."""
    try:
        return flag in PROCESSOR.read_text(encoding="ascii", errors="ignore")
    except OSError:
        return False


def free_memory(device: torch.device) -> int:
    """Return the bytes that a process could allocate on a device now; on the CPU, within the limit of its container."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    free = int(psutil.virtual_memory().available)
    for limit, use, account, files in CGROUPS:
        try:
            left = int(limit.read_text(encoding="ascii")) - int(use.read_text(encoding="ascii"))
        except (OSError, ValueError):  # no container of this version, or one without a limit ("max")
            continue
        with contextlib.suppress(OSError):
            given_up = re.search(rf"^{files} (\d+)$", account.read_text(encoding="ascii"), re.MULTILINE)
            left += int(given_up[1]) if given_up else 0
        free = max(0, min(free, left))
    return free


def used_memory(device: torch.device) -> int:
    """Return the bytes that this process uses on a device now."""
    if device.type == "cuda":
        return int(torch.cuda.memory_allocated(device))
    return int(psutil.Process().memory_info().rss)


def peak_memory(device: torch.device) -> int:
    """Return the peak memory of this process on a device, in bytes."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    try:
        # The getrusage of Linux includes the parent before exec; VmHWM does not.
        peak = re.search(r"^VmHWM:\s*(\d+) kB", STATUS.read_text(encoding="ascii"), re.MULTILINE)
        return int(peak[1]) * 1024 if peak else used_memory(device)
    except OSError:
        import resource  # noqa: PLC0415 - Windows has none

        return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def total_memory(device: torch.device) -> int:
    """Return the total memory of a device in bytes."""
    if device.type == "cuda":
        _, total = torch.cuda.mem_get_info(device)
        return int(total)
    return int(psutil.virtual_memory().total)


def available_devices() -> list[torch.device]:
    """Return the available devices in the order in which "auto" prefers them; the CPU is the last."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    names = [f"cuda:{number}" for number in range(count)]
    names += ["mps"] if torch.backends.mps.is_available() else []
    return [torch.device(name) for name in (*names, "cpu")]


def device_name(device: torch.device) -> str:
    """Return the vendor's name of a device: the processor with its threads, or the GPU."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    if device.type != "cpu":
        return processor_name()
    count = torch.get_num_threads()
    return f"{processor_name()} ({count} thread{'s' if count > 1 else ''})"


def processor_name() -> str:
    """Return the vendor's name of the processor, or its architecture if unknown."""
    for ask in (_processor_on_linux, _processor_on_windows, _processor_on_mac):
        try:
            name = " ".join(ask().split())
        except (OSError, ImportError, subprocess.SubprocessError):  # another system
            continue
        if name:
            return name
    return platform.processor() or platform.machine()


def smoke_test(device: torch.device) -> str:
    """Compute one small convolution and compare the result with the exact values.

    Returns:
        "ok", or the problem, in one line. A GPU that PyTorch does not support is detected here, not after an hour.
    """
    # Ones convolved with ones: every voxel becomes the number of its neighbors in the volume, including itself.
    line = torch.tensor([2.0, 3.0, 3.0, 2.0])
    expected = line[:, None, None] * line[:, None] * line
    try:
        ones, kernel = torch.ones(1, 1, 4, 4, 4, device=device), torch.ones(1, 1, 3, 3, 3, device=device)
        found = F.conv3d(ones, kernel, padding=1)[0, 0].cpu()
    except RuntimeError as error:
        return " ".join(str(error).split())[:200] or type(error).__name__
    if torch.equal(found, expected):
        return "ok"
    return f"a convolution is wrong by up to {float((found - expected).abs().max()):.3g}"


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error of PyTorch, numpy or Python reports exhausted memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error)) is not None


def is_device_failure(error: BaseException) -> bool:
    """Return whether an error of PyTorch reports a failure of the device, except for exhausted memory."""
    return isinstance(error, RuntimeError) and _FAILED.search(str(error)) is not None


def describe_device(device: torch.device) -> str:
    """Return a device as text for users."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device} ({torch.get_num_threads()} threads)" if device.type == "cpu" else str(device)


def _processor_on_linux() -> str:
    found = re.search(r"^model name\s*:(.*)$", PROCESSOR.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    return found[1] if found else ""


def _processor_on_windows() -> str:
    import winreg  # noqa: PLC0415 - on Windows only

    key = "HARDWARE\\DESCRIPTION\\System\\CentralProcessor\\0"
    with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, key) as processor:  # type: ignore[attr-defined, unused-ignore]
        return str(winreg.QueryValueEx(processor, "ProcessorNameString")[0])  # type: ignore[attr-defined, unused-ignore]


def _processor_on_mac() -> str:
    command = ["sysctl", "-n", "machdep.cpu.brand_string"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout
