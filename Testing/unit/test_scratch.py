"""Arrays on disk behave like others, need no memory, and leave nothing behind."""

from __future__ import annotations

import mmap
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from messages import one_line

from ArSSRLib import scratch
from ArSSRLib.errors import OutputError
from ArSSRLib.scratch import array_on_disk, planes_of, release_pages, write_block

SHAPE = (6, 5, 4)


@pytest.fixture
def numbers() -> np.ndarray:
    return np.random.default_rng(1).integers(-1000, 1000, SHAPE).astype(np.int16)


def test_released_pages_keep_their_content(tmp_path, numbers):
    array = array_on_disk(SHAPE, np.int16, tmp_path)
    array[...] = numbers
    release_pages(array[2:, 1:])

    assert array.dtype == np.int16
    np.testing.assert_array_equal(array, numbers)


def test_a_new_array_contains_zeros(tmp_path):
    assert not array_on_disk(SHAPE, np.float32, tmp_path).any()


def test_planes_share_the_memory_of_their_array(tmp_path, numbers, monkeypatch):
    monkeypatch.setattr(scratch, "WINDOW_BYTES", 1)
    array = array_on_disk(SHAPE, np.int16, tmp_path)
    for plane, values in zip(planes_of(array), numbers, strict=True):
        plane[...] = values

    np.testing.assert_array_equal(array, numbers)
    assert [plane.tolist() for plane in planes_of(numbers)] == numbers.tolist()


def test_private_mappings_keep_their_changes(tmp_path, numbers):
    numbers.tofile(tmp_path / "file")
    private = np.memmap(tmp_path / "file", np.int16, mode="c", shape=SHAPE)
    private[...] = 7

    release_pages(private)

    assert (private == 7).all()


def test_the_file_of_an_array_has_no_name(tmp_path):
    array = array_on_disk(SHAPE, np.int16, tmp_path)

    assert array.size
    assert list(tmp_path.iterdir()) == [] or sys.platform == "win32"


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_block_is_written_only_to_its_position(tmp_path, numbers, on_disk, monkeypatch):
    monkeypatch.setattr(scratch, "WINDOW_BYTES", 20)
    array = array_on_disk(SHAPE, np.int16, tmp_path) if on_disk else np.zeros(SHAPE, np.int16)
    place = (slice(1, 5), slice(0, 3), slice(2, 4))
    expected = np.zeros(SHAPE, np.int16)
    expected[place] = numbers[place]

    write_block(array, place, numbers[place])

    np.testing.assert_array_equal(array, expected)


PEAK = """
import re, sys
from pathlib import Path
import numpy as np
from ArSSRLib.scratch import array_on_disk, planes_of, write_block
peak = lambda: int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
before = peak()
array = array_on_disk((100, 1000, 1000), np.uint8, Path(sys.argv[1]))
for start in range(0, 1000, 100):  # narrow blocks, which touch all pages of their rows
    planes = (np.full((1000, 100), number, np.uint8) for number in range(100))
    write_block(array, (slice(100), slice(1000), slice(start, start + 100)), planes)
print(peak() - before, sum(int(plane[0, 0]) for plane in planes_of(array)), peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs the account of Linux")
def test_an_array_of_100_mb_is_written_and_read_within_40_mb(tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path)], capture_output=True, text=True, check=True, timeout=120
    )
    written, total, read = map(int, result.stdout.split())

    assert total == sum(range(100))
    assert written <= read < 40e6


def test_a_full_disk_is_reported_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=479))

    # 240 bytes for the array, and the same for the file written from it.
    with pytest.raises(
        OutputError, match=r"needs 4.8e-07 GB on the disk.*4.79e-07 GB are free.*choose another"
    ) as error:
        array_on_disk(SHAPE, np.int16, tmp_path)

    assert one_line(error)


def test_a_disk_that_fills_up_later_is_reported_without_a_crash(tmp_path, monkeypatch):
    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scratch, "_reserve", no_space)

    with pytest.raises(OutputError, match=r"No space left on device.*choose another folder") as error:
        array_on_disk(SHAPE, np.int16, tmp_path)

    assert one_line(error)
    assert list(tmp_path.iterdir()) == []


def test_zeros_are_written_if_the_system_cannot_reserve_space(tmp_path, monkeypatch, numbers):
    monkeypatch.delattr(scratch.os, "posix_fallocate", raising=False)
    monkeypatch.setattr(scratch, "WINDOW_BYTES", 100)
    monkeypatch.delattr(mmap, "MADV_DONTNEED", raising=False)
    array = array_on_disk(SHAPE, np.int16, tmp_path)

    assert not array.any()
    for plane, values in zip(planes_of(array), numbers, strict=True):
        plane[...] = values
    np.testing.assert_array_equal(array, numbers)
