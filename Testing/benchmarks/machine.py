"""The machine of the measurements: its properties, and the load by other programs."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from ArSSRLib.device import processor_name

CACHES = Path("/sys/devices/system/cpu")
CPUINFO = Path("/proc/cpuinfo")
BF16_FLAGS = {"amx_bf16", "avx512_bf16"}
# Number of cores used by other programs above which a measurement is marked.
TOLERATED_LOAD = 0.3


@dataclass(frozen=True)
class Machine:
    """Properties of the machine that affect a timing.

    Attributes:
        processor: Vendor's name.
        cores: Logical cores.
        caches: Total bytes of the level 2 and of the level 3 caches; 0 if unknown.
        memory: Bytes of main memory.
        system: Operating system.
        python: Version.
        torch: Version.
        threads: Number of PyTorch threads.
    """

    processor: str
    cores: int
    caches: tuple[int, int]
    memory: int
    system: str
    python: str
    torch: str
    threads: int


def this_machine(threads: int) -> Machine:
    """Return the properties of this machine."""
    return Machine(
        processor=processor_name(),
        cores=os.cpu_count() or 1,
        caches=(cache_bytes(2), cache_bytes(3)),
        memory=int(psutil.virtual_memory().total),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        torch=torch.__version__,
        threads=threads,
    )


def cache_bytes(level: int, folder: Path = CACHES) -> int:
    """Return the bytes of all caches of a level from Linux, each counted once; 0 if unknown."""
    sizes = {}
    for cache in folder.glob("cpu[0-9]*/cache/index*"):
        try:
            found, kind, size, shared = (
                (cache / name).read_text(encoding="ascii").strip()
                for name in ("level", "type", "size", "shared_cpu_list")
            )
        except OSError:
            continue
        if int(found) == level and kind != "Instruction":
            sizes[shared] = int(size.removesuffix("K")) * 1024
    return sum(sizes.values())


def has_bf16() -> bool:
    """Return whether the processor multiplies bf16 in hardware, according to Linux."""
    try:
        return not BF16_FLAGS.isdisjoint(CPUINFO.read_text(encoding="ascii", errors="ignore").split())
    except OSError:
        return False


def load_average() -> float:
    """Return the load average of the last minute from the operating system."""
    return psutil.getloadavg()[0]


def busy_seconds() -> float:
    """Return the busy seconds of all cores together since the start of the machine, by any program."""
    times = psutil.cpu_times()
    fields = ("user", "nice", "system", "irq", "softirq", "steal", "interrupt", "dpc")
    return float(sum(getattr(times, field, 0.0) for field in fields))


def load_of_others(busy: float, own: float, seconds: float) -> float:
    """Return the mean number of cores used by other programs.

    Args:
        busy: Busy seconds of all cores together.
        own: Seconds of our own processes.
        seconds: Elapsed seconds.
    """
    return max(0.0, busy - own) / seconds if seconds > 0 else 0.0
