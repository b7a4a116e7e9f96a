"""What a process of our own asks of the system, before PyTorch is loaded: the command line's and the worker's.

Not for a process that somebody else started: a notebook keeps its settings.
"""

from __future__ import annotations

import os

LARGE_PAGES = "THP_MEM_ALLOC_ENABLE"


def use_large_pages() -> None:
    """Let PyTorch ask Linux for memory in pages of 2 MB; elsewhere it does nothing.

    Every convolution takes new memory, which the system clears page by page: with pages of 4 kB that was more than a
    third of the processor time of a volume. What the user has set stays.

    Source:
        c10/core/impl/alloc_cpu.cpp of PyTorch, which reads the variable at its first allocation.
    """
    os.environ.setdefault(LARGE_PAGES, "1")
