"""The benchmarks are scripts beside each other: while a test runs, they find each other as they do when run."""

from __future__ import annotations

from pathlib import Path

import pytest

FOLDER = Path(__file__).parent


@pytest.fixture(autouse=True)
def beside_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test import the scripts by their names, and nobody else: other folders have names in common with them."""
    monkeypatch.syspath_prepend(FOLDER)
