"""Lets the tests of the benchmarks import the scripts beside them, as the scripts import each other."""

from __future__ import annotations

from pathlib import Path

import pytest

FOLDER = Path(__file__).parent


@pytest.fixture(autouse=True)
def beside_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test import the scripts by name; other folders have scripts with the same names."""
    monkeypatch.syspath_prepend(FOLDER)
