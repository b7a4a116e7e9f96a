"""Names of devices and precisions to those that exist here, and how much memory they have free.

The only file that asks the machine what it can do.
"""

from __future__ import annotations

from pathlib import Path

import psutil
import torch

from ArSSRLib.errors import DeviceError

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
CGROUP_LIMIT, CGROUP_USE = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")


def resolve_device(name: str = "auto") -> torch.device:
    """Return the device of a name.

    Args:
        name: "auto" (the first CUDA GPU, else Apple's, else the CPU), "cpu", "cuda", "cuda:N" or "mps".

    Raises:
        DeviceError: If the name is unknown or the device is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind, colon, number = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (colon and not (kind == "cuda" and number.isdigit())):
        msg = f'There is no device "{name}"; choose auto, cpu, cuda, cuda:N or mps.'
        raise DeviceError(msg)
    if kind == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if count == 0:
            msg = (
                f'Device "{name}" was asked for, but PyTorch {torch.__version__} finds no CUDA GPU; choose cpu or auto.'
            )
            raise DeviceError(msg)
        if int(number or 0) >= count:
            msg = f'Device "{name}" was asked for, but this machine has cuda:0 to cuda:{count - 1}; choose one of them.'
            raise DeviceError(msg)
    if kind == "mps" and not torch.backends.mps.is_available():
        msg = 'Device "mps" was asked for, but this machine has no Apple GPU that PyTorch can use; choose cpu or auto.'
        raise DeviceError(msg)
    return torch.device(name)


def resolve_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the number format in which the network computes on a device.

    Args:
        name: "auto", "fp32", "bf16" or "fp16".
        device: Where it computes.

    Returns:
        For "auto": bf16 on a CUDA GPU that has it, and on a CPU with AMX; else fp32, which is faster there.

    Raises:
        DeviceError: If the name is unknown, or the device cannot compute in that format.
    """
    if name == "auto":
        fast = torch.cuda.is_bf16_supported() if device.type == "cuda" else device.type == "cpu" and has_amx()
        return torch.bfloat16 if fast else torch.float32
    if name not in PRECISIONS:
        msg = f'There is no precision "{name}"; choose auto, {", ".join(PRECISIONS)}.'
        raise DeviceError(msg)
    if name == "fp16" and device.type == "cpu":
        msg = "Precision fp16 was asked for on the CPU, which computes it slowly and overflows; choose fp32 or bf16."
        raise DeviceError(msg)
    return PRECISIONS[name]


def has_amx() -> bool:
    """Tell whether the CPU multiplies bf16 matrices in hardware tiles (AMX)."""
    try:
        return "amx_bf16" in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore")
    except OSError:
        return False


def free_memory(device: torch.device) -> int:
    """Return the bytes that a process could take on a device now; on the CPU within the limit of its container."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    free = int(psutil.virtual_memory().available)
    try:
        limit = int(CGROUP_LIMIT.read_text(encoding="ascii")) - int(CGROUP_USE.read_text(encoding="ascii"))
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        return free
    return max(0, min(free, limit))


def used_memory(device: torch.device) -> int:
    """Return the bytes that this process holds on a device now."""
    if device.type == "cuda":
        return int(torch.cuda.memory_allocated(device))
    return int(psutil.Process().memory_info().rss)


def describe_device(device: torch.device) -> str:
    """Return a device as a person would name it."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device} ({torch.get_num_threads()} threads)" if device.type == "cpu" else str(device)
