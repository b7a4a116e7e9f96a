"""A stored state is complete at any time, even if its run is killed, and can be loaded again."""

from __future__ import annotations

import contextlib
import os

import pytest

from gpu import parts
from gpu.results import MOST_BYTES


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "PART_BYTES", 1000)
    return tmp_path / "last.pt"


def kept(state, folder, step: int, size: int) -> bytes:
    data = os.urandom(size)
    state.write_bytes(data)
    parts.keep(state, folder, step)
    return data


@pytest.mark.parametrize("size", [1, 999, 1000, 1001, 12345])
def test_the_joined_parts_equal_the_file(state, tmp_path, size):
    data = kept(state, tmp_path / "out", 7, size)

    assert parts.joined(tmp_path / "out") == data
    assert max(part.stat().st_size for part in (tmp_path / "out").rglob("*-of-*")) <= 1000


def test_a_part_is_small_enough_to_be_returned():
    assert parts.PART_BYTES < MOST_BYTES


def test_only_the_latest_state_is_kept(state, tmp_path):
    kept(state, tmp_path / "out", 7, 3000)
    data = kept(state, tmp_path / "out", 12, 2000)

    assert [folder.name for folder in (tmp_path / "out").iterdir()] == ["state-00000012"]
    assert parts.joined(tmp_path / "out") == data


@pytest.mark.parametrize("moment", ["pathlib.Path.write_bytes", "pathlib.Path.rename", "shutil.rmtree"])
@pytest.mark.parametrize("calls", [0, 1, 2])
def test_a_state_is_complete_if_the_run_is_killed_while_writing(state, tmp_path, monkeypatch, moment, calls):
    old = kept(state, tmp_path / "out", 7, 3000)
    new = os.urandom(2500)
    state.write_bytes(new)

    with monkeypatch.context() as patched:
        place, _, name = moment.rpartition(".")
        target = parts.shutil if place == "shutil" else parts.Path
        original, left = getattr(target, name), [calls]

        def killed(*arguments, **options):
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            return original(*arguments, **options)

        patched.setattr(target, name, killed)
        with contextlib.suppress(KeyboardInterrupt):
            parts.keep(state, tmp_path / "out", 12)

    assert parts.joined(tmp_path / "out") in (old, new)


def test_if_a_part_is_missing_the_previous_state_is_used(state, tmp_path):
    data = kept(state, tmp_path / "out", 7, 3000)
    kept(state, tmp_path / "other", 12, 3000)
    (tmp_path / "other" / "state-00000012").rename(tmp_path / "out" / "state-00000012")
    next((tmp_path / "out" / "state-00000012").glob("*.1-of-*")).unlink()

    assert parts.joined(tmp_path / "out") == data


def test_a_folder_without_parts_has_no_state(tmp_path):
    assert parts.joined(tmp_path) is None
