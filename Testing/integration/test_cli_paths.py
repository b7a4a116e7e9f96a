"""``arssr upsample`` accepts all usual file names, and refuses names that a file system cannot store."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from ArSSRLib import read_volume
from ArSSRLib.cli import main
from ArSSRLib.io import nifti

# All characters with a meaning in shells.
ODD_NAMES = [
    "two words.nii.gz",
    "Süd 脳 Größe.nii.gz",
    "x" * 193 + ".nii.gz",
    "$(touch caught);`touch caught`&'q' #%s.nii.gz",
    "-dash.nii.gz",
]

BEST = ("--scale", "1.5", "--quality", "best", "--uncertainty")


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("side", ["input", "output"])
def test_odd_names_are_taken_as_they_are(name, side, brain, tmp_path, arssr):
    folder = tmp_path / "Ordner (neu) ü"
    folder.mkdir()
    source, target = (folder / name, tmp_path / "out.nii.gz") if side == "input" else (brain, folder / name)
    if side == "input":
        shutil.copy(brain, source)

    assert arssr(source, target, "--scale", "1.5") == 0
    assert read_volume(target).geometry.size == (30, 27, 14)
    assert os.listdir(folder) == [name]
    assert not any("caught" in file for file in os.listdir(tmp_path))


def test_relative_paths_are_relative_to_where_the_command_runs(brain, tmp_path, arssr, monkeypatch):
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")

    assert arssr("../brain.nii.gz", "./../sub/out.nii.gz", "--scale", "1.5") == 0
    assert os.listdir(tmp_path / "sub") == ["out.nii.gz"]


def test_a_link_as_output_is_followed(brain, tmp_path, arssr):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out.nii.gz").symlink_to(tmp_path / "elsewhere" / "real.nii.gz")

    assert arssr(brain, tmp_path / "out.nii.gz", "--scale", "1.5") == 0
    assert (tmp_path / "out.nii.gz").is_symlink()
    assert os.listdir(tmp_path / "elsewhere") == ["real.nii.gz"]


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_link_to_the_input_is_the_input(link, brain, tmp_path, arssr, capsys):
    before = brain.read_bytes()
    link(brain, tmp_path / "other.nii.gz")

    assert arssr(brain, tmp_path / "other.nii.gz", "--scale", "1.5", "--overwrite") == 2
    assert "is the input" in capsys.readouterr().err
    assert brain.read_bytes() == before


@pytest.mark.parametrize("spread", ["out.nii.gz", "sub/../out.nii.gz", "link.nii.gz"])
@pytest.mark.parametrize("more", [(), ("--overwrite",)])
def test_the_uncertainty_never_replaces_the_result(spread, more, brain, tmp_path, arssr, assert_refused):
    (tmp_path / "sub").mkdir()
    (tmp_path / "link.nii.gz").symlink_to(tmp_path / "out.nii.gz")
    code = arssr(brain, tmp_path / "out.nii.gz", *BEST, str(tmp_path / spread), *more)

    assert_refused(code, tmp_path / "out.nii.gz", "is also the output")


def test_the_uncertainty_never_replaces_the_input_in_a_folder(brain, tmp_path, arssr, assert_refused):
    (tmp_path / "one").mkdir()
    only = tmp_path / "one" / "brain.nii.gz"
    shutil.copy(brain, only)
    code = arssr(tmp_path / "one", tmp_path / "out.nii.gz", *BEST, str(only), "--overwrite")

    assert_refused(code, tmp_path / "out.nii.gz", "is the input, which is never replaced")
    assert only.read_bytes() == brain.read_bytes()


def test_links_that_lead_in_a_circle_are_refused(brain, tmp_path, arssr, assert_refused):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")

    assert_refused(arssr(brain, tmp_path / "a" / "out.nii.gz", "--scale", "1.5"), tmp_path / "out.nii.gz")


def test_a_folder_as_output_is_refused_with_a_name_to_use(brain, tmp_path, arssr, assert_refused):
    (tmp_path / "results").mkdir()
    code = arssr(brain, tmp_path / "results", "--scale", "1.5")

    assert_refused(code, tmp_path / "results" / "out", "results/result.nii.gz")


def test_a_folder_called_like_a_volume_is_refused(brain, tmp_path, arssr, assert_refused):
    (tmp_path / "results.nii.gz").mkdir()
    code = arssr(brain, tmp_path / "results.nii.gz", "--scale", "1.5")

    assert_refused(code, tmp_path / "out.nii.gz", "folder")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("CON.nii.gz", "device"),
        ("nul.nrrd", "device"),
        ("NUL", "device"),
        ("10:30.nii.gz", 'does not allow ":"'),
        ("out.nii.gz.", "dot"),
        ("out.nii ", "space"),
        ("line\nbreak.nii", "control character"),
    ],
)
def test_a_name_that_windows_does_not_have_is_refused_everywhere(name, reason, brain, tmp_path, arssr, assert_refused):
    assert_refused(arssr(brain, tmp_path / name, "--scale", "1.5"), tmp_path / name, reason)


def test_a_picture_is_refused_by_the_same_rules(brain, tmp_path, arssr, assert_refused):
    code = arssr(brain, tmp_path / "out.nii.gz", "--scale", "1.5", "--figure", str(tmp_path / "AUX.png"))

    assert_refused(code, tmp_path / "out.nii.gz", "device")


@pytest.mark.parametrize(("source", "target"), [("-", "out.nii.gz"), ("brain.nii.gz", "-")])
def test_a_dash_is_refused_as_a_file(source, target, brain, tmp_path, arssr, assert_refused, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert_refused(arssr(source, target, "--scale", "1.5"), tmp_path / target, "standard input")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names that are no text")
def test_a_file_name_that_is_not_valid_text_is_accepted(brain, tmp_path, tiny_weights):
    # In a separate process, because the standard output of the tests accepts every character.
    target = os.fsencode(tmp_path) + b"/caf\xe9.nii.gz"
    command = [sys.executable, "-m", "ArSSRLib", "upsample", str(brain), target, "--scale", "1.5"]
    done = subprocess.run(
        [*command, "--device", "cpu", "--model", str(tiny_weights)],
        capture_output=True,
        check=False,
        env=os.environ | {"PYTHONUTF8": "1"},
    )

    assert (done.returncode, done.stderr) == (0, b"")
    assert b"caf?.nii.gz: 30 x 27 x 14" in done.stdout
    assert os.path.isfile(target)


def test_control_characters_are_never_printed(phantom, tmp_path, arssr, capsys):
    source = tmp_path / "v\x1b]0;title\x07.nii"
    nifti.write(phantom, source, "\x1b[2J\x9b31m gone \u202e")

    assert main(["info", str(source)]) == 0
    arssr(source, tmp_path / "out.nii.gz", "--scale", "1.5", "-v")
    arssr(source, tmp_path / "out\x1b.bad", "--scale", "1.5")

    printed = capsys.readouterr()
    for letter in "\x1b\x07\x9b\u202e":
        assert letter not in printed.out + printed.err
    assert "?[2J" in printed.out
