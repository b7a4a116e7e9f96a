"""Refusals of ``arssr upsample`` are one line, and leave no incomplete file behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import odd_files
import phantoms
import pytest

from ArSSRLib import write_volume
from ArSSRLib.checkpoint import save_model
from ArSSRLib.commands import upsample as command
from ArSSRLib.model.fixed_scale import FixedScaleConfig
from ArSSRLib.model.registry import build_model


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (odd_files.missing, "does not exist"),
        (odd_files.zero_bytes, "0 bytes"),
        (odd_files.text_file, "damaged"),
        (odd_files.truncated, "truncated"),
        (odd_files.truncated_uncompressed, "truncated"),
        (odd_files.four_dimensions, "4 dimensions"),
        (odd_files.two_dimensions, "2 dimensions"),
        (odd_files.colors, "color"),
        (odd_files.complex_numbers, "complex"),
        (odd_files.empty, "bad.nii"),
        (odd_files.singular_affine, "singular"),
        (odd_files.sheared_affine, "sheared"),
        (odd_files.no_format, "neither a DICOM file"),
        (odd_files.empty_folder, "study"),
    ],
)
def test_unusable_input_is_refused_in_one_line(make, word, tmp_path, arssr, assert_refused):
    source = make(tmp_path)
    code = arssr(source, tmp_path / "out.nii.gz", "--scale", "2")

    assert_refused(code, tmp_path / "out.nii.gz", word)


def test_a_scale_that_the_model_was_not_trained_for_is_refused(oblique_geometry, tmp_path, arssr, assert_refused):
    source = write_volume(phantoms.sample(phantoms.blobs_in(oblique_geometry), oblique_geometry), tmp_path / "in.nii")
    model = build_model(FixedScaleConfig(kind="srcnn3d", scale=2.0))
    weights = save_model(model, tmp_path / "srcnn3d_x2.safetensors", metadata={})

    code = arssr(source, tmp_path / "out.nii.gz", "--scale", "3", "--model", str(weights))

    assert_refused(code, tmp_path / "out.nii.gz", "srcnn3d_x2 was trained for a scale of 2")


# --- label maps


def test_a_label_map_is_refused_with_advice(oblique_geometry, tmp_path, arssr, assert_refused):
    source = write_volume(phantoms.labels(oblique_geometry), tmp_path / "seg.nii.gz")
    code = arssr(source, tmp_path / "out.nii.gz", "--scale", "2")

    assert_refused(code, tmp_path / "out.nii.gz", "label map", "nearest-neighbor", "--force")


def test_a_label_map_is_upsampled_by_force(oblique_geometry, tmp_path, arssr):
    source = write_volume(phantoms.labels(oblique_geometry), tmp_path / "seg.nii.gz")

    assert arssr(source, tmp_path / "out.nii.gz", "--scale", "2", "--force") == 0


# --- impossible requests


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--scale", "0"], "at least 1, got 0"),
        (["--scale", "-2"], "at least 1, got -2"),
        (["--scale", "0.5"], "Resample Scalar Volume"),
        (["--scale", "nan"], "nan"),
        (["--scale", "inf"], "inf"),
        (["--scale", "abc"], '"abc" is not a number'),
        (["--scale", "1e9"], "GB"),
        (["--scale", "500"], "GB"),
        (["--scale", "1"], "would not change"),
        (["--scale", "1.01"], "would not change"),
        (["--spacing", "4"], "coarser"),
        (["--size", "10", "18", "9"], "at least the 20 x 18 x 9"),
        (["--scale", "2", "--model", "arsr2"], "arsr2"),
        (["--scale", "2", "--model", "missing.safetensors"], "missing.safetensors"),
        (["--scale", "2", "--device", "cuda:99"], "cuda:99"),
        (["--scale", "2", "--device", "tpu"], "tpu"),
        (["--scale", "2", "--precision", "fp16"], "fp16"),
        (["--scale", "2", "--memory-limit", "0.001"], "memory limit"),
        (["--scale", "2", "--series", "1.2.3"], "DICOM"),
        (["--scale", "2", "--figure", "out.jpg"], "png"),
        (["--scale", "2", "--figure", "missing/out.png"], "missing"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_impossible_request_is_refused_in_one_line(options, word, brain, tmp_path, arssr, assert_refused):
    code = arssr(brain, tmp_path / "out.nii.gz", *options)

    assert_refused(code, tmp_path / "out.nii.gz", word)


def test_an_existing_output_is_refused_and_kept(brain, tmp_path, arssr, capsys):
    (tmp_path / "out.nii.gz").write_bytes(b"mine")

    assert arssr(brain, tmp_path / "out.nii.gz", "--scale", "2") == 2
    assert (tmp_path / "out.nii.gz").read_bytes() == b"mine"
    assert "--overwrite" in capsys.readouterr().err


def test_an_existing_figure_is_refused_before_any_work(brain, tmp_path, arssr, assert_refused):
    (tmp_path / "out.png").write_bytes(b"mine")
    code = arssr(brain, tmp_path / "out.nii.gz", "--scale", "2", "--figure", str(tmp_path / "out.png"))

    assert_refused(code, tmp_path / "out.nii.gz", "out.png")
    assert (tmp_path / "out.png").read_bytes() == b"mine"


def test_the_input_is_never_replaced(brain, arssr, capsys):
    before = brain.read_bytes()

    assert arssr(brain, brain, "--scale", "2", "--overwrite") == 2
    assert brain.read_bytes() == before
    assert "is the input" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["missing/out.nii.gz", "brain.nii.gz/out.nii.gz", "out.jpg", "out"])
def test_an_unwritable_output_is_refused_before_any_work(name, brain, tmp_path, arssr, capsys, monkeypatch):
    monkeypatch.setattr(command, "read_volume", lambda *_args, **_options: pytest.fail("the volume was read"))
    code = arssr(brain, tmp_path / name, "--scale", "2")

    printed = capsys.readouterr()
    assert code == 2
    assert len(printed.err.splitlines()) == 1


def test_a_folder_without_permission_is_refused(brain, tmp_path, arssr, capsys):
    if os.name != "posix" or os.geteuid() == 0:
        locked = Path("/proc/self")  # not even root can write there
        if not locked.is_dir():
            pytest.skip("this user may write everywhere")
    else:
        locked = tmp_path / "locked"
        locked.mkdir(mode=0o500)

    assert arssr(brain, locked / "out.nii.gz", "--scale", "2") == 2
    assert "cannot be written" in capsys.readouterr().err


# --- interruption


def test_ctrl_c_leaves_no_file_and_exits_with_130(tiny_weights, phantom, tmp_path):
    if os.name != "posix":
        pytest.skip("signals are sent as POSIX does")
    source = odd_files.nifti(tmp_path / "large.nii", odd_files.noise((96, 96, 96), 0, 1000))
    target = tmp_path / "result" / "out.nii.gz"
    target.parent.mkdir()
    arguments = ["upsample", str(source), str(target), "--scale", "3", "--device", "cpu", "--progress", "json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "ArSSRLib", *arguments, "--model", str(tiny_weights)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        for line in process.stdout:
            if "fraction" in line:
                process.send_signal(signal.SIGINT)
                break
        _, error = process.communicate(timeout=120)

    assert process.returncode == 130
    assert error.strip() == "arssr: interrupted; nothing was left behind"
    assert list(target.parent.iterdir()) == []


def test_a_full_disk_leaves_no_file(brain, tmp_path, arssr, assert_refused, monkeypatch):
    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nibabel.openers.Opener.write", full)
    code = arssr(brain, tmp_path / "out.nii.gz", "--scale", "2")

    assert_refused(code, tmp_path / "out.nii.gz", "No space left")
