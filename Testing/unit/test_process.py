"""Settings of our own processes are made before PyTorch is loaded, and never over the user's."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ArSSRLib.process import LARGE_PAGES, use_large_pages

# Which value PyTorch finds when it is loaded.
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
def test_pytorch_finds_the_setting_when_it_is_loaded(code):
    environment = {name: value for name, value in os.environ.items() if name != LARGE_PAGES}
    result = subprocess.run(
        [sys.executable, "-c", WATCH + code], env=environment, capture_output=True, text=True, check=True, timeout=120
    )

    assert result.stdout.splitlines()[0] == "FOUND 1"


def test_the_setting_of_the_user_stays(monkeypatch):
    monkeypatch.setenv(LARGE_PAGES, "0")

    use_large_pages()

    assert os.environ[LARGE_PAGES] == "0"
