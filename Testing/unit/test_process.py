"""Settings of our own processes are made before PyTorch is loaded, and never override the user's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from ArSSRLib.process import LARGE_PAGES, return_freed_memory, stop_requested, use_large_pages

# The value when PyTorch is loaded.
WATCH = """
import os, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print("FOUND", os.environ.get("THP_MEM_ALLOC_ENABLE"))
            sys.meta_path.remove(self)
sys.meta_path.insert(0, Watch())
"""
ENTRIES = {
    "command line": "from ArSSRLib.cli import main; main(['info', 'missing.safetensors'])",
    "worker": "from ArSSRLib.worker.packages import load_packages; load_packages()",
}


@pytest.mark.parametrize("code", ENTRIES.values(), ids=ENTRIES.keys())
def test_the_setting_is_in_place_before_pytorch_is_loaded(code):
    environment = {name: value for name, value in os.environ.items() if name != LARGE_PAGES}
    result = subprocess.run(
        [sys.executable, "-c", WATCH + code], env=environment, capture_output=True, text=True, check=True, timeout=120
    )

    assert result.stdout.splitlines()[0] == "FOUND 1"


def test_a_setting_of_the_user_is_kept(monkeypatch):
    monkeypatch.setenv(LARGE_PAGES, "0")

    use_large_pages()

    assert os.environ[LARGE_PAGES] == "0"


# Fifty blocks of 16 MB, of which every other one is kept, so that freeing the others cannot shrink the heap.
FRAGMENTS = """
import numpy as np, psutil, sys
from ArSSRLib.process import return_freed_memory
if not return_freed_memory():
    print("none")
    sys.exit()
del_me = np.ones(31_000_000, np.uint8)
del del_me  # from here on, glibc left to itself would keep blocks of up to 31 MB
blocks = [np.ones(16_000_000, np.uint8) for _ in range(50)]
before = psutil.Process().memory_info().rss
del blocks[::2]
print(before - psutil.Process().memory_info().rss)
"""


def test_freed_memory_is_returned_to_the_system():
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    result = subprocess.run(
        [sys.executable, "-c", FRAGMENTS], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    if result.stdout.strip() == "none":
        pytest.skip("the C library of this system has no such setting")

    assert int(result.stdout) == pytest.approx(25 * 16_000_000, rel=0.1)


def test_an_allocator_setting_of_the_user_is_kept(monkeypatch):
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "33554432")

    assert return_freed_memory() is False


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs a system with SIGHUP")
def test_a_closed_terminal_requests_a_stop_and_never_interrupts_it():
    before = signal.getsignal(signal.SIGHUP)
    with stop_requested() as received:
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGHUP)
        assert received == [signal.SIGHUP]

    assert signal.getsignal(signal.SIGHUP) == before
