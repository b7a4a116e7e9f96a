"""Free memory in a Linux container, with either version of control groups."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from ArSSRLib import device
from ArSSRLib.device import free_memory

CPU = torch.device("cpu")

# Linux's file names for the limit, the use and the statistics of a container, and the field for inactive files.
CONTAINERS = {
    "version 2": ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    "version 1": (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
        "total_inactive_file",
    ),
}


@pytest.fixture(params=CONTAINERS.values(), ids=CONTAINERS.keys())
def container(monkeypatch, tmp_path, request):
    """Return a function that simulates a container with a memory limit, on a machine with 8 GB free."""
    moved = [
        (*(tmp_path / path.relative_to("/sys/fs/cgroup") for path in paths), field) for *paths, field in device.CGROUPS
    ]
    monkeypatch.setattr(device, "CGROUPS", moved)
    limit, use, account = (tmp_path / name for name in request.param[:3])
    limit.parent.mkdir(exist_ok=True)
    field = request.param[3]
    monkeypatch.setattr(device.psutil, "virtual_memory", lambda: SimpleNamespace(available=8_000_000_000))

    def holds(maximum: str, current: str, *, idle_files: int = 0) -> None:
        limit.write_text(maximum)
        use.write_text(current)
        account.write_text(f"cache 12345\n{field} {idle_files}\nunevictable 0\n")

    return holds


def test_without_a_container_the_memory_of_the_machine_counts(container):
    assert free_memory(CPU) == 8_000_000_000


@pytest.mark.parametrize(
    ("maximum", "current", "free"),
    [
        ("3000000000\n", "1000000000\n", 2_000_000_000),
        ("64000000000\n", "1000000000\n", 8_000_000_000),
        ("max\n", "1000000000\n", 8_000_000_000),
        ("1000\n", "2000\n", 0),
    ],
)
def test_free_memory_is_limited_by_the_container(container, maximum, current, free):
    container(maximum, current)

    assert free_memory(CPU) == free


def test_inactive_cached_files_count_as_free_memory(container):
    container("3000000000\n", "2900000000\n", idle_files=1_500_000_000)

    assert free_memory(CPU) == 1_600_000_000
