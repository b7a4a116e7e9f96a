"""How a process of our own is set up, the command line's and the worker's: its memory, and where its log goes.

Not for a process that somebody else started: a notebook keeps its settings.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import sys
from collections.abc import Iterator

LARGE_PAGES = "THP_MEM_ALLOC_ENABLE"
# Blocks of this size and more go back to the system once they are freed. The chunks that a decoder works on, taken and
# freed ten thousands of times, are smaller; the feature maps of every tile worth its halo are larger.
RETURNED_BYTES = 8 * 2**20
# Where a user sets the same, and its number in glibc's malloc.h.
_MALLOC_SETTINGS = ("MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")
_M_MMAP_THRESHOLD = -3
# Where a user sets how OpenMP threads wait, and what is set here: by GNU's library on Linux, and by LLVM's elsewhere.
_WAIT_SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
# 1,000 rounds, some microseconds, see most threads through short barriers: to sleep at once takes a sixth longer on an
# idle computer, and saves nothing beside busy programs.
_SLEEP = {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "0"}
# Other programs are looked at for this long, and count from this part of the processors on: their share in one of four.
_LOOK_SECONDS = 0.1
_BUSY_PART = 0.2


def use_large_pages() -> None:
    """Let PyTorch ask Linux for memory in pages of 2 MB; elsewhere it does nothing.

    Every convolution takes new memory, which the system clears page by page: with pages of 4 kB that was more than a
    third of the processor time of a volume. What the user has set stays.

    Source:
        c10/core/impl/alloc_cpu.cpp of PyTorch, which reads the variable at its first allocation.
    """
    os.environ.setdefault(LARGE_PAGES, "1")


def return_freed_memory() -> bool:
    """Let the C library of Linux give freed blocks back to the system; return whether it has such a setting.

    Left to itself, glibc keeps freed blocks of up to 32 MB for later, and those of a tile of 40^3 voxels never fit the
    next layer: such tiles held 2.4 times what they need. What the user has set stays.

    Source:
        mallopt(3), M_MMAP_THRESHOLD, which grows by itself unless it is set.
    """
    if sys.platform != "linux" or any(name in os.environ for name in _MALLOC_SETTINGS):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
    return bool(mallopt is not None and mallopt(_M_MMAP_THRESHOLD, RETURNED_BYTES))


def let_threads_sleep(*, always: bool = False) -> None:
    """Let the threads of PyTorch that wait for each other leave the processor to other programs, where there are any.

    By default they spin, for milliseconds at every one of thousands of barriers: beside another program that needs the
    processor, a volume took up to 16 times longer. On an idle computer spinning saves a tenth, so it stays there. To be
    called before PyTorch is loaded. What the user has set stays.

    Args:
        always: Whether threads sleep on an idle computer too: for a process that will live beside another one.

    Source:
        The manuals of GNU libgomp and LLVM's OpenMP, environment variables.
    """
    if not any(name in os.environ for name in _WAIT_SETTINGS) and (always or _others_are_busy()):
        os.environ.update(_SLEEP)


def _others_are_busy() -> bool:
    """Return whether other programs use the processors now; True where it cannot be told.

    Once PyTorch is loaded, what is set has no effect, and nothing is looked at.
    """
    if "torch" in sys.modules:
        return False
    try:
        import psutil  # noqa: PLC0415 - may not be installed

        return bool(psutil.cpu_percent(interval=_LOOK_SECONDS) >= 100 * _BUSY_PART)
    except (ImportError, OSError):
        return True


@contextlib.contextmanager
def engine_log_to(handler: logging.Handler, level: int) -> Iterator[None]:
    """Give what the engine logs, from a level on, to one handler and to nobody else; afterwards all is as before."""
    engine = logging.getLogger("ArSSRLib")
    before, propagate = engine.level, engine.propagate
    engine.addHandler(handler)
    engine.setLevel(level)
    engine.propagate = False
    try:
        yield
    finally:
        engine.removeHandler(handler)
        engine.setLevel(before)
        engine.propagate = propagate
