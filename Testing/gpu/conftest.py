"""The marker of tests that need a GPU, and an environment without the packages that a lent machine lacks."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Import names of packages that a bare machine with PyTorch may lack.
MISSING = ("nibabel", "SimpleITK", "pydicom", "safetensors", "psutil", "tqdm", "tensorboard", "openvino", "matplotlib")
HOOK = f"""
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {MISSING!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
"""


@pytest.fixture(scope="session")
def bare_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process that finds none of these packages, including its children."""
    folder = tmp_path_factory.mktemp("bare")
    (folder / "sitecustomize.py").write_text(HOOK, encoding="utf-8")
    return {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


@pytest.fixture(scope="session")
def command() -> list[str]:
    """The rehearsed command."""
    return [sys.executable, str(ROOT / "Testing" / "gpu" / "run.py"), "--rehearse"]
