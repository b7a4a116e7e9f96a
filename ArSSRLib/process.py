"""Setup of our own processes, the command line and the worker: memory, threads, and the log.

It is not for processes started by others: a notebook keeps its settings.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

LARGE_PAGES = "THP_MEM_ALLOC_ENABLE"
# Freed blocks of at least this size are returned to the system. The chunks of a decoder, which are allocated and freed
# ten thousands of times, are smaller; the feature maps of all reasonable tiles are larger.
RETURNED_BYTES = 8 * 2**20
# Variables by which users set the same, and its number in malloc.h of glibc.
_MALLOC_SETTINGS = ("MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")
_M_MMAP_THRESHOLD = -3
# Variables by which users set how OpenMP threads wait, and our settings: for GNU's library on Linux, and for LLVM's.
_WAIT_SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
# 1,000 rounds, a few microseconds, are enough for most short barriers: sleeping immediately takes a sixth longer on an
# idle computer, and saves nothing beside busy programs.
_SLEEP = {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "0"}
# Other programs are observed for this time, and count from this fraction of the processors.
_LOOK_SECONDS = 0.1
_BUSY_PART = 0.2


def use_large_pages() -> None:
    """Let PyTorch request memory from Linux in pages of 2 MB; elsewhere, this has no effect.

    Every convolution allocates memory, which the system clears page by page: with pages of 4 kB, this was more than a
    third of the processor time of a volume. Settings of the user are kept.

    Source:
        c10/core/impl/alloc_cpu.cpp of PyTorch, which reads the variable at its first allocation.
    """
    os.environ.setdefault(LARGE_PAGES, "1")


def return_freed_memory() -> bool:
    """Let the C library of Linux return freed blocks to the system; return whether it has such a setting.

    By default, glibc keeps freed blocks of up to 32 MB, and those of a tile of 40^3 voxels never fit the next layer:
    such tiles needed 2.4 times the necessary memory. Settings of the user are kept.

    Source:
        mallopt(3), M_MMAP_THRESHOLD, which grows by itself unless it is set.
    """
    if sys.platform != "linux" or any(name in os.environ for name in _MALLOC_SETTINGS):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
    return bool(mallopt is not None and mallopt(_M_MMAP_THRESHOLD, RETURNED_BYTES))


def let_threads_sleep(*, always: bool = False) -> None:
    """Let waiting threads of PyTorch leave the processor to other programs, if there are any.

    By default, they spin for milliseconds at thousands of barriers: beside another program that needs the processor, a
    volume took up to 16 times longer. On an idle computer, spinning saves a tenth of the time, so it is kept there.
    Settings of the user are kept. Once PyTorch is loaded, this has no effect.

    Args:
        always: Whether threads also sleep on an idle computer, for a process that will run beside another one.

    Source:
        The manuals of GNU libgomp and LLVM's OpenMP, environment variables.
    """
    if "torch" in sys.modules or any(name in os.environ for name in _WAIT_SETTINGS):
        return
    if always or _others_are_busy():
        os.environ.update(_SLEEP)


def _others_are_busy() -> bool:
    """Return whether other programs use the processors now; True if unknown."""
    try:
        import psutil  # noqa: PLC0415 - may not be installed

        return bool(psutil.cpu_percent(interval=_LOOK_SECONDS) >= 100 * _BUSY_PART)
    except (ImportError, OSError):
        return True


class LogReceiver(logging.Handler):
    """Passes log records to a function."""

    def __init__(self, receive: Callable[[logging.LogRecord], object], level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self._receive = receive

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one record on."""
        self._receive(record)


@contextlib.contextmanager
def engine_log_to(handler: logging.Handler, level: int) -> Iterator[None]:
    """Send the log of the engine, from a level, to one handler only; afterwards, restore the previous state."""
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


def ending_signals() -> list[signal.Signals]:
    """Return the signals besides SIGINT that end a process: SIGTERM, and SIGHUP from a closed terminal.

    SIGHUP is absent if it is ignored, as under nohup, and on Windows.
    """
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is None or signal.getsignal(hangup) == signal.SIG_IGN:
        return [signal.SIGTERM]
    return [signal.SIGTERM, hangup]


def ignore_hangups() -> None:
    """Ignore SIGHUP from now on: a closed terminal sends it twice, and the second one would interrupt the cleanup."""
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


@contextlib.contextmanager
def stop_requested() -> Iterator[list[int]]:
    """Collect the first signal that ends the process, so that a step is finished and saved.

    A second SIGTERM or SIGINT exits immediately.
    """
    received: list[int] = []
    previous: dict[int, Any] = {}

    def note(number: int, _: FrameType | None) -> None:
        """Record the signal, and restore the previous handlers for the next one."""
        received.append(number)
        for other, handler in previous.items():
            signal.signal(other, handler)
        ignore_hangups()

    previous.update({number: signal.signal(number, note) for number in (*ending_signals(), signal.SIGINT)})
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
