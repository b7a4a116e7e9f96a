"""How a process of our own is set up, the command line's and the worker's: its memory, and where its log goes.

Not for a process that somebody else started: a notebook keeps its settings.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator

LARGE_PAGES = "THP_MEM_ALLOC_ENABLE"


def use_large_pages() -> None:
    """Let PyTorch ask Linux for memory in pages of 2 MB; elsewhere it does nothing.

    Every convolution takes new memory, which the system clears page by page: with pages of 4 kB that was more than a
    third of the processor time of a volume. What the user has set stays.

    Source:
        c10/core/impl/alloc_cpu.cpp of PyTorch, which reads the variable at its first allocation.
    """
    os.environ.setdefault(LARGE_PAGES, "1")


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
