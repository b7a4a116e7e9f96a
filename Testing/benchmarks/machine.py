"""The machine that is measured on: what it is, and what others do on it meanwhile."""

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
# Cores that others may keep busy before a measurement is marked.
TOLERATED_LOAD = 0.3


@dataclass(frozen=True)
class Machine:
    """What a timing depends on beside the code.

    Attributes:
        processor: As its maker calls it.
        cores: Logical cores.
        caches: Bytes of the level 2 and the level 3 caches, all of them together; 0 where nobody tells.
        memory: Bytes of main memory.
        system: Operating system.
        python: Version.
        torch: Version.
        threads: Threads that PyTorch computes with.
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
    """Return where this process runs."""
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
    """Return the bytes of all caches of a level as Linux lists them, each counted once; 0 where it does not."""
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
    """Tell whether the processor multiplies bf16 in hardware, as far as Linux says."""
    try:
        return not BF16_FLAGS.isdisjoint(CPUINFO.read_text(encoding="ascii", errors="ignore").split())
    except OSError:
        return False


def load_average() -> float:
    """Return how many processes wanted a core in the last minute, as the operating system counts them."""
    return psutil.getloadavg()[0]


def busy_seconds() -> float:
    """Return the seconds that all cores together have been busy since the machine started, whoever kept them so."""
    times = psutil.cpu_times()
    fields = ("user", "nice", "system", "irq", "softirq", "steal", "interrupt", "dpc")
    return float(sum(getattr(times, field, 0.0) for field in fields))


def load_of_others(busy: float, own: float, seconds: float) -> float:
    """Return how many cores others kept busy on average.

    Args:
        busy: Seconds that all cores together were busy.
        own: Seconds of it that were ours.
        seconds: Seconds that passed.
    """
    return max(0.0, busy - own) / seconds if seconds > 0 else 0.0
