"""``arssr upsample`` on a folder: one bad file never stops the others."""

from __future__ import annotations

import json

import nibabel as nib
import pytest

from ArSSRLib import write_volume
from ArSSRLib.commands import upsample as command


@pytest.fixture
def study(phantom, tmp_path):
    """A folder with two valid volumes, an invalid one between them, and a file that is no volume."""
    folder = tmp_path / "study"
    folder.mkdir()
    write_volume(phantom, folder / "a.nii.gz")
    (folder / "b.nii.gz").write_text("not a volume")
    write_volume(phantom, folder / "c.nrrd")
    (folder / "notes.txt").write_text("scanned on a Tuesday")
    return folder


def test_one_invalid_file_is_named_and_does_not_stop_the_others(study, tmp_path, arssr, capsys):
    code = arssr(study, tmp_path / "out", "--scale", "2")

    printed = capsys.readouterr()
    assert code == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.nii.gz", "c.nrrd"]
    assert len(printed.out.splitlines()) == 2
    assert f"arssr: error: {study / 'b.nii.gz'}: " in printed.err
    assert "1 of 3 volumes failed: b.nii.gz" in printed.err
    assert "Traceback" not in printed.err


def test_a_defect_in_one_file_does_not_stop_the_others(study, tmp_path, arssr, monkeypatch):
    real = command.carry_out

    def sometimes(plan, *args, **options):
        if not (tmp_path / "out" / "a.nii.gz").exists() and not (tmp_path / "tried").exists():
            (tmp_path / "tried").touch()
            raise ZeroDivisionError
        return real(plan, *args, **options)

    monkeypatch.setattr(command, "carry_out", sometimes)

    assert arssr(study, tmp_path / "out", "--scale", "2") == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["c.nrrd"]


def test_a_good_folder_exits_with_0(study, tmp_path, arssr):
    (study / "b.nii.gz").unlink()

    assert arssr(study, tmp_path / "new" / "out", "--scale", "2") == 0
    assert len(list((tmp_path / "new" / "out").iterdir())) == 2


def test_failures_in_a_folder_are_reported_in_json(study, tmp_path, arssr, capsys):
    arssr(study, tmp_path / "out", "--scale", "2", "--progress", "json")

    stages = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["input"] for line in stages if line["stage"] == "done"] == [
        str(study / "a.nii.gz"),
        str(study / "c.nrrd"),
    ]
    assert [line["input"] for line in stages if line["stage"] == "failed"] == [str(study / "b.nii.gz")]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--scale", "0"], "at least 1"),
        (["--scale", "2", "--model", "nonsense"], "nonsense"),
        (["--scale", "2", "--device", "cuda:99"], "cuda:99"),
        (["--scale", "2", "--figure", "all.png"], "--figure"),
    ],
)
def test_an_option_impossible_for_every_volume_is_refused_once(options, word, study, tmp_path, arssr, assert_refused):
    code = arssr(study, tmp_path / "out", *options)

    assert_refused(code, tmp_path / "out", word)
    assert not (tmp_path / "out").exists()


def test_the_folder_of_the_input_is_refused_as_output(study, arssr, capsys):
    assert arssr(study, study, "--scale", "2", "--overwrite") == 2
    assert "is the input folder" in capsys.readouterr().err


def test_a_file_is_refused_as_output_of_a_folder(study, tmp_path, arssr, capsys):
    (tmp_path / "out.nii.gz").write_bytes(b"mine")

    assert arssr(study, tmp_path / "out.nii.gz", "--scale", "2") == 2
    assert (tmp_path / "out.nii.gz").read_bytes() == b"mine"
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_volume_in_two_files_becomes_one_file(phantom, tmp_path, arssr):
    (tmp_path / "study").mkdir()
    image = nib.Nifti1Pair(phantom.array.T, phantom.geometry.ras_affine)
    nib.save(image, tmp_path / "study" / "brain.hdr")

    assert arssr(tmp_path / "study", tmp_path / "out", "--scale", "2") == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["brain.nii.gz"]


def test_two_volumes_never_share_a_result(phantom, tmp_path, arssr, capsys):
    (tmp_path / "study").mkdir()
    nib.save(nib.Nifti1Pair(phantom.array.T, phantom.geometry.ras_affine), tmp_path / "study" / "brain.hdr")
    write_volume(phantom, tmp_path / "study" / "brain.nii.gz")

    assert arssr(tmp_path / "study", tmp_path / "out", "--scale", "2", "--overwrite") == 1
    assert "rename one" in capsys.readouterr().err
