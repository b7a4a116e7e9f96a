"""The minimal replacements of packages behave like the packages."""

from __future__ import annotations

import os
import sys

import psutil
import pytest
import torch
from safetensors.torch import load, save

from gpu import bare

TENSORS = {
    "weight": torch.arange(6, dtype=torch.float32).view(2, 3),
    "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "count": torch.tensor(7),
    "none": torch.zeros(0, 3),
}


def test_the_package_loads_files_of_the_replacement():
    found = load(bare.save(TENSORS, {"config": "{}"}))

    assert {name: (t.dtype, t.tolist()) for name, t in found.items()} == {
        name: (t.dtype, t.tolist()) for name, t in TENSORS.items()
    }


def test_the_replacement_loads_files_of_the_package():
    found = bare.load(save(TENSORS, {"config": "{}"}))

    assert all(torch.equal(found[name], tensor) for name, tensor in TENSORS.items())
    assert {name: t.dtype for name, t in found.items()} == {name: t.dtype for name, t in TENSORS.items()}


@pytest.mark.skipif(sys.platform != "linux", reason="it reads Linux's own files")
def test_the_replacement_reports_the_memory_like_psutil(monkeypatch):
    total, resident = psutil.virtual_memory().total, psutil.Process().memory_info().rss
    monkeypatch.setitem(sys.modules, "psutil", psutil)
    bare.STAND_INS["psutil"]()
    stand_in = sys.modules["psutil"]

    assert stand_in.virtual_memory().total == total
    assert stand_in.Process().memory_info().rss == pytest.approx(resident, rel=0.2)
    assert stand_in.pid_exists(os.getpid())
    assert not stand_in.pid_exists(2**22 + 1)
