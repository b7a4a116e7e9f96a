"""Invalid NIfTI and MGH files are refused; many are nibabel's own test files."""

from __future__ import annotations

import gzip
import logging
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nifti_files import AFFINE, save

from ArSSRLib.errors import InputError
from ArSSRLib.io import read_volume

AWKWARD = Path(nib.__file__).parent / "tests" / "data"


def awkward(name: str) -> Path:
    if not (AWKWARD / name).exists():
        pytest.skip(f"nibabel was installed without its test file {name}")
    return AWKWARD / name


def refused(path: Path) -> str:
    with pytest.raises(InputError) as error:
        read_volume(path)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_4d_file_with_one_volume_is_a_volume(tmp_path):
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4, 1, 1)

    np.testing.assert_array_equal(
        read_volume(save(tmp_path / "a.nii", array=array, sform=(AFFINE, 1))).array, array[..., 0, 0].T
    )


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ((4, 5, 6, 12), r"has 4 dimensions (4 x 5 x 6 x 12), but 3 are needed; split it"),
        ((4, 5), "has 2 dimensions (4 x 5), but 3 are needed"),
        ((4, 5, 6, 1, 3), "has 5 dimensions"),
        ((4, 0, 6), "has no voxels (4 x 0 x 6)"),
    ],
)
def test_other_numbers_of_dimensions_are_refused(tmp_path, shape, told):
    path = save(tmp_path / "a.nii", array=np.zeros(shape, np.int16), sform=(AFFINE, 1))

    assert told in refused(path)


@pytest.mark.parametrize(
    ("dtype", "told"), [(np.complex64, "complex"), ([("R", "u1"), ("G", "u1"), ("B", "u1")], "has colors")]
)
def test_voxels_that_are_not_gray_values_are_refused(tmp_path, dtype, told):
    assert told in refused(save(tmp_path / "a.nii", array=np.zeros((3, 3, 3), dtype), sform=(AFFINE, 1)))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ((slice(0, 3), slice(0, 1), 0.0), "singular"),
        ((0, 3, np.nan), "not finite"),
        ((1, 1, np.inf), "not finite"),
        ((0, 1, 0.4), "not perpendicular"),
    ],
    ids=["singular", "nan", "infinite", "sheared"],
)
def test_an_unusable_affine_is_refused(tmp_path, change, told):
    affine = AFFINE.copy()
    affine[change[0], change[1]] = change[2]

    assert told in refused(save(tmp_path / "a.nii", sform=(affine, 1)))


def test_a_quaternion_that_is_not_a_rotation_is_refused(tmp_path):
    def spoil(header):
        header["quatern_b"] = header["quatern_c"] = 0.9

    assert "a.nii" in refused(save(tmp_path / "a.nii", qform=(AFFINE, 1), edit=spoil))


def test_a_quaternion_that_is_not_a_rotation_is_ignored_if_there_is_an_sform(tmp_path, caplog):
    def spoil(header):
        header["quatern_b"] = header["quatern_c"] = 0.9

    volume = read_volume(save(tmp_path / "a.nii", sform=(AFFINE, 1), qform=(AFFINE, 1), edit=spoil))

    np.testing.assert_allclose(volume.geometry.ras_affine, AFFINE, atol=1e-6)
    assert "its qform is singular or not finite; the sform is used" in caplog.text


def test_analyze_files_are_refused_for_their_undefined_orientation(tmp_path):
    nib.Spm99AnalyzeImage(np.zeros((3, 3, 3), np.int16), None).to_filename(tmp_path / "a.img")

    assert "does not define the orientation" in refused(tmp_path / "a.img")


def test_a_header_that_nibabel_repairs_is_logged(tmp_path, caplog, capfd):
    def spoil(header):
        header["pixdim"][2] = -2.0

    with caplog.at_level(logging.WARNING):
        read_volume(save(tmp_path / "a.nii", sform=(AFFINE, 1), edit=spoil))

    assert "pixdim" in caplog.text
    assert {record.name for record in caplog.records} == {"ArSSRLib.io.nifti"}
    assert capfd.readouterr() == ("", "")


# --- nibabel's own test files


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("example4d.nii.gz", "has 4 dimensions (128 x 96 x 24 x 2)"),
        ("functional.nii", "has 4 dimensions"),
        ("example_nifti2.nii.gz", "has 4 dimensions"),
        ("row_major.dconn.nii", "does not define the orientation"),
        ("test.mgz", "has 4 dimensions"),
        ("analyze.hdr", "a"),
        ("nifti1.hdr", "a"),
    ],
)
def test_unsupported_files_are_refused(name, told, capfd):
    assert told in refused(awkward(name))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["anatomical.nii", "standard.nii.gz", "resampled_anat_moved.nii"])
def test_unusual_valid_files_are_read_like_nibabel(name):
    volume, image = read_volume(awkward(name)), nib.load(awkward(name))

    np.testing.assert_allclose(volume.geometry.ras_affine, image.affine, atol=1e-9)
    np.testing.assert_allclose(volume.array.T, image.get_fdata(), rtol=1e-6)


def test_a_sheared_mgh_file_is_refused(tmp_path):
    image = nib.load(awkward("test.mgz"))
    header = image.header.copy()
    header["Mdc"] = np.array([[1, 0, 0], [0.5, 0.9, 0], [0, 0, 1]])
    nib.MGHImage(np.zeros((3, 4, 5), np.int16), None, header).to_filename(tmp_path / "a.mgz")

    assert "not perpendicular" in refused(tmp_path / "a.mgz")


def test_a_file_whose_compression_is_damaged_at_its_start_is_refused(tmp_path):
    path = tmp_path / "damaged.nii.gz"
    whole = gzip.compress(np.random.default_rng(0).bytes(4000), mtime=0)
    path.write_bytes(whole[:10] + b"\xff" * 40 + whole[50:])

    with pytest.raises(InputError, match=r"is damaged or truncated .*copy or export it again"):
        read_volume(path)
