"""``arssr upsample`` from a DICOM series to a derived series, and its refusals."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from dicom_series import write_frames, write_series

from ArSSRLib.cli import main
from ArSSRLib.io import read_volume
from ArSSRLib.volume import Volume


@pytest.fixture
def volume(phantom) -> Volume:
    array = np.interp(phantom.array, (phantom.array.min(), phantom.array.max()), (0, 3000))
    return Volume(array.astype(np.int16), phantom.geometry)


@pytest.fixture
def study(tmp_path, volume):
    write_series(tmp_path / "study", volume)
    return tmp_path / "study"


def test_a_series_becomes_a_derived_series_that_overlays_it(study, tmp_path, arssr, capsys):
    assert arssr(study, tmp_path / "finer", "--scale", "2") == 0

    said = capsys.readouterr().out
    source, result = read_volume(study), read_volume(tmp_path / "finer")
    assert result.geometry.size == (40, 36, 18)
    np.testing.assert_allclose(result.geometry.corners(), source.geometry.corners(), atol=1e-6)
    assert result.array.dtype == np.int16
    assert f"{tmp_path / 'finer'}: 40 x 36 x 18 voxels" in said
    first = pydicom.dcmread(tmp_path / "finer" / "ArSSR_0001.dcm")
    assert first.PatientID == "4711"
    assert first.SeriesDescription == "T1 axial ArSSR 2x"


def test_a_derived_series_holds_the_voxels_that_a_file_would(study, tmp_path, arssr):
    assert arssr(study, tmp_path / "v1.5", "--scale", "1", "1", "2") == 0
    assert arssr(study, tmp_path / "finer.nrrd", "--scale", "1", "1", "2") == 0

    np.testing.assert_array_equal(read_volume(tmp_path / "v1.5").array, read_volume(tmp_path / "finer.nrrd").array)


def test_info_describes_a_derived_series(study, tmp_path, arssr, capsys):
    arssr(study, f"{tmp_path}/T1.axial/", "--scale", "2")
    capsys.readouterr()

    assert main(["info", str(tmp_path / "T1.axial")]) == 0
    said = capsys.readouterr().out
    assert "40 x 36 x 18 voxels" in said
    assert "T1 axial ArSSR 2x" in said


def test_one_of_several_series_is_chosen(study, volume, tmp_path, arssr, capsys, assert_refused):
    wanted = write_series(study, volume, series="1.2.9", description="T2")

    assert_refused(
        arssr(study, tmp_path / "finer", "--scale", "2"), tmp_path / "finer", "2 series", "--series", "1.2.9"
    )
    assert not (tmp_path / "finer").exists()
    assert arssr(study, tmp_path / "finer", "--scale", "2", "--series", wanted) == 0
    assert pydicom.dcmread(tmp_path / "finer" / "ArSSR_0001.dcm").SeriesDescription == "T2 ArSSR 2x"
    capsys.readouterr()
    assert main(["info", str(study), "--series", "T2"]) == 0
    assert "20 x 18 x 9" in capsys.readouterr().out


def test_a_multi_frame_file_becomes_a_derived_series(volume, tmp_path, arssr):
    write_frames(tmp_path / "enhanced", volume)

    assert arssr(tmp_path / "enhanced", tmp_path / "finer", "--scale", "1", "1", "2") == 0
    assert read_volume(tmp_path / "finer").geometry.size == (20, 18, 18)


def test_a_folder_that_holds_something_is_refused_before_any_work(study, tmp_path, arssr, assert_refused):
    (tmp_path / "finer").mkdir()
    (tmp_path / "finer" / "notes.txt").write_text("mine")

    for options in ([], ["--overwrite"]):
        assert_refused(arssr(study, tmp_path / "finer", "--scale", "2", *options), tmp_path / "finer", "new folder")
    assert [path.name for path in (tmp_path / "finer").iterdir()] == ["notes.txt"]


def test_a_series_by_arssr_is_replaced_on_request(study, tmp_path, arssr):
    assert arssr(study, tmp_path / "finer", "--scale", "2") == 0
    assert arssr(study, tmp_path / "finer", "--scale", "1", "1", "1.5") == 2
    assert arssr(study, tmp_path / "finer", "--scale", "1", "1", "1.5", "--overwrite") == 0

    assert read_volume(tmp_path / "finer").geometry.size == (20, 18, 14)


def test_the_folder_of_the_input_is_refused(study, arssr, assert_refused):
    before = sorted(study.iterdir())

    assert_refused(arssr(study, study, "--scale", "2", "--overwrite"), study, "folder of the input")
    assert sorted(study.iterdir()) == before


@pytest.mark.parametrize("options", [[], ["--force"]])
def test_another_modality_is_refused_for_a_derived_series_only(volume, tmp_path, arssr, assert_refused, options):
    write_series(tmp_path / "ct", volume, edit=lambda _k, dataset: setattr(dataset, "Modality", "CT"))

    assert_refused(
        arssr(tmp_path / "ct", tmp_path / "finer", "--scale", "2", *options), tmp_path / "finer", "CT", ".nii"
    )
    assert not (tmp_path / "finer").exists()
    assert arssr(tmp_path / "ct", tmp_path / "finer.nii.gz", "--scale", "2") == 0


def test_a_folder_for_a_volume_that_is_not_dicom_is_refused(brain, tmp_path, arssr, assert_refused):
    for output in (tmp_path / "finer", f"{tmp_path}/finer/"):
        assert_refused(arssr(brain, output, "--scale", "2"), tmp_path / "finer", "is not DICOM", "result.nii.gz")
    (tmp_path / "there").mkdir()
    assert_refused(arssr(brain, tmp_path / "there", "--scale", "2"), tmp_path / "there", "is not DICOM")
    assert not (tmp_path / "finer").exists()


@pytest.mark.parametrize(("name", "told"), [("finer.nii.bz2", "bz2"), ("finer.dcm", "specify a folder")])
def test_a_mistyped_file_name_is_not_taken_for_a_folder(study, tmp_path, arssr, assert_refused, name, told):
    assert_refused(arssr(study, tmp_path / name, "--scale", "2"), tmp_path / name, told)
    assert not (tmp_path / name).exists()


def test_a_missing_input_is_refused_as_such(tmp_path, arssr, assert_refused):
    assert_refused(arssr(tmp_path / "absent", tmp_path / "finer", "--scale", "2"), tmp_path / "finer", "absent")


def test_a_result_never_replaces_a_slice_that_is_named_like_a_volume(study, tmp_path, arssr, capsys):
    for file in study.iterdir():
        file.rename(file.with_suffix(".nii"))
    before = {file: file.read_bytes() for file in study.iterdir()}

    assert arssr(study, min(before), "--scale", "2", "--overwrite") == 2
    assert "is the input, which is never replaced" in capsys.readouterr().err
    assert {file: file.read_bytes() for file in study.iterdir()} == before
