"""Unfinished files are hidden, have neutral names, and are deleted once the process that created them has ended."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from ArSSRLib import leftovers
from ArSSRLib.errors import OutputError
from ArSSRLib.leftovers import hidden_name, sweep, write_whole


@pytest.fixture
def name_of_the_dead(monkeypatch):
    """Return a function that gives the hidden name of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()

    def make(suffix=""):
        with monkeypatch.context() as patch:
            patch.setattr("os.getpid", lambda: process.pid)
            return hidden_name(suffix)

    return make


@pytest.mark.parametrize("suffix", ["", ".nii.gz", ".png"])
def test_files_of_a_killed_process_are_deleted(tmp_path, name_of_the_dead, suffix):
    (tmp_path / name_of_the_dead(suffix)).write_bytes(b"half")
    (tmp_path / name_of_the_dead()).mkdir()
    (tmp_path / "brain.nii.gz").write_bytes(b"whole")

    assert sweep(tmp_path) == 2
    assert os.listdir(tmp_path) == ["brain.nii.gz"]


def test_a_link_is_deleted_but_not_its_target(tmp_path, name_of_the_dead):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_bytes(b"")
    (tmp_path / name_of_the_dead()).symlink_to(tmp_path / "kept")

    sweep(tmp_path)

    assert os.listdir(tmp_path) == ["kept"]
    assert os.listdir(tmp_path / "kept") == ["file"]


def test_files_of_a_running_process_are_kept(tmp_path):
    (tmp_path / hidden_name()).write_bytes(b"half")

    assert sweep(tmp_path) == 0
    assert len(os.listdir(tmp_path)) == 1


def test_files_from_another_machine_are_kept(tmp_path, name_of_the_dead, monkeypatch):
    monkeypatch.setattr(platform, "node", lambda: "elsewhere")
    leftovers._machine.cache_clear()
    (tmp_path / name_of_the_dead()).write_bytes(b"half")
    monkeypatch.undo()
    leftovers._machine.cache_clear()

    assert sweep(tmp_path) == 0


@pytest.mark.parametrize("name", [".arssr-", ".arssr-1234", ".arssr-zzzzzzzz-1-00000000", "arssr-old.nii", ".arssrrc"])
def test_files_with_similar_names_are_kept(tmp_path, name):
    (tmp_path / name).write_bytes(b"mine")

    assert sweep(tmp_path) == 0


def test_a_missing_folder_is_not_an_error(tmp_path):
    assert sweep(tmp_path / "nothing") == 0


def test_a_file_is_written_completely_after_leftovers_are_deleted(tmp_path, name_of_the_dead):
    (tmp_path / name_of_the_dead()).write_bytes(b"half")
    write_whole(tmp_path / "file", b"old")
    write_whole(tmp_path / "file", b"new")

    assert (tmp_path / "file").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("step", ["os.fsync", "pathlib.Path.replace"])
def test_a_failed_write_keeps_the_existing_file(tmp_path, monkeypatch, step):
    (tmp_path / "file").write_bytes(b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(step, full)
    with pytest.raises(OutputError, match="No space left"):
        write_whole(tmp_path / "file", b"new")

    assert (tmp_path / "file").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]
