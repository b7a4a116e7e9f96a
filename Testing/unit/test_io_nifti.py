"""NIfTI and MGH as neuroimaging software expects them."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import phantoms
import pytest
from nifti_files import AFFINE, save

from ArSSRLib.errors import OutputError
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.io import read_volume, write_volume
from ArSSRLib.volume import FileHeader, Volume

# --- positions of voxels


def test_arrays_are_transposed_to_k_j_i_and_affines_converted_to_lps(tmp_path):
    array = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)

    volume = read_volume(save(tmp_path / "a.nii", array=array, sform=(AFFINE, 1)))

    np.testing.assert_array_equal(volume.array, array.transpose(2, 1, 0))
    assert volume.array.flags.c_contiguous
    np.testing.assert_allclose(volume.geometry.affine, np.diag([-1, -1, 1, 1]) @ AFFINE, atol=1e-12)
    np.testing.assert_allclose(volume.geometry.ras_affine, AFFINE, atol=1e-12)


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image, nib.Nifti1Pair])
def test_every_variant_of_nifti_is_read(tmp_path, kind):
    suffix = ".img" if kind is nib.Nifti1Pair else ".nii.gz"
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)

    path = save(tmp_path / f"a{suffix}", array=array, sform=(AFFINE, 2), kind=kind)

    np.testing.assert_array_equal(read_volume(path).array, array.T)
    if kind is nib.Nifti1Pair:
        np.testing.assert_array_equal(read_volume(path.with_suffix(".hdr")).array, array.T)


def test_the_sform_is_preferred_and_a_different_qform_is_reported(tmp_path, caplog):
    other = AFFINE.copy()
    other[0, 3] += 0.5
    path = save(tmp_path / "a.nii", sform=(AFFINE, 4), qform=(other, 1))

    volume = read_volume(path)

    np.testing.assert_allclose(volume.geometry.ras_affine, AFFINE, atol=1e-6)
    assert "sform and its qform place the voxels differently" in caplog.text
    # Both forms get the grid of the sform, so the qform must not claim to have scanner coordinates.
    assert (volume.header.sform_code, volume.header.qform_code) == (4, 4)


def test_matching_forms_are_read_without_a_warning(tmp_path, caplog):
    volume = read_volume(save(tmp_path / "a.nii", sform=(AFFINE, 2), qform=(AFFINE, 1)))

    assert not caplog.records
    assert (volume.header.sform_code, volume.header.qform_code) == (2, 1)


def test_the_qform_is_used_if_there_is_no_sform(tmp_path):
    volume = read_volume(save(tmp_path / "a.nii", qform=(AFFINE, 3)))

    np.testing.assert_allclose(volume.geometry.ras_affine, AFFINE, atol=1e-6)
    assert (volume.header.sform_code, volume.header.qform_code) == (3, 3)


def test_without_any_form_the_spacing_is_used_and_the_assumption_reported(tmp_path, caplog):
    path = save(tmp_path / "a.nii", edit=lambda header: header.set_zooms((1.5, 2.0, 3.0)))

    volume = read_volume(path)

    assert volume.geometry.spacing == (1.5, 2.0, 3.0)
    assert "left and right are a guess" in caplog.text


@pytest.mark.parametrize(("unit", "millimeters"), [("meter", 1000.0), ("micron", 1e-3), ("mm", 1.0), ("unknown", 1.0)])
def test_lengths_are_converted_to_mm(tmp_path, unit, millimeters):
    path = save(tmp_path / "a.nii", sform=(AFFINE, 1), edit=lambda header: header.set_xyzt_units(unit))

    volume = read_volume(path)

    np.testing.assert_allclose(volume.geometry.ras_affine[:3], AFFINE[:3] * millimeters, rtol=1e-12)
    assert nib.load(write_volume(volume, tmp_path / "b.nii")).header.get_xyzt_units()[0] == "mm"


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mgz"])
@pytest.mark.parametrize("geometry", ["oblique_geometry", "left_handed_geometry"])
def test_the_field_of_view_is_kept_to_single_precision(tmp_path, request, suffix, geometry):
    grid = request.getfixturevalue(geometry)

    written = read_volume(write_volume(phantoms.labels(grid), tmp_path / f"a{suffix}"))

    np.testing.assert_allclose(written.geometry.corners(), grid.corners(), atol=2e-5)


@pytest.mark.parametrize("geometry", ["oblique_geometry", "left_handed_geometry"])
def test_both_forms_spacing_and_handedness_are_written(tmp_path, request, geometry):
    grid = request.getfixturevalue(geometry)
    said = FileHeader(qform_code=1, sform_code=4)

    header = nib.load(write_volume(Volume(np.zeros(grid.shape), grid, said), tmp_path / "a.nii")).header

    # Rounded once: the sform is exactly the affine in single precision.
    np.testing.assert_array_equal(header.get_sform(), np.vstack([grid.ras_affine[:3].astype(np.float32), [0, 0, 0, 1]]))
    np.testing.assert_allclose(header.get_qform(), grid.ras_affine, atol=1e-5)
    np.testing.assert_allclose(header.get_zooms(), grid.spacing, rtol=1e-6)
    assert header["pixdim"][0] == np.sign(np.linalg.det(grid.ras_affine[:3, :3]))
    assert (int(header["qform_code"]), int(header["sform_code"])) == (1, 4)


def test_a_slightly_sheared_grid_is_written_exactly_to_the_sform(tmp_path):
    direction = np.eye(3)
    direction[:, 1] = [5e-4, 1, 0]
    grid = VolumeGeometry((4, 5, 6), (1.0, 1.0, 2.0), direction=tuple(direction.ravel()))

    header = nib.load(write_volume(phantoms.labels(grid), tmp_path / "a.nii")).header

    np.testing.assert_allclose(header.get_sform(), grid.ras_affine, atol=1e-7)
    np.testing.assert_allclose(header.get_qform(), grid.ras_affine, atol=1e-3)


def test_a_file_without_a_position_is_written_without_one(tmp_path):
    said = FileHeader(qform_code=0, sform_code=0)
    volume = Volume(np.zeros((2, 2, 2), np.int16), VolumeGeometry((2, 2, 2), (1.0, 1.0, 1.0)), said)

    header = nib.load(write_volume(volume, tmp_path / "a.nii")).header

    assert (int(header["qform_code"]), int(header["sform_code"])) == (0, 0)


# --- other fields of the header


def test_only_valid_fields_are_copied(tmp_path):
    def fill(header):
        header["cal_min"], header["cal_max"] = 10, 900
        header["aux_file"] = b"lut.txt"
        header["db_name"] = b"Doe^Jane"
        header.set_intent("t test", (3,), name="activation")
        header["slice_code"], header["slice_end"] = 1, 5

    volume = read_volume(save(tmp_path / "a.nii", sform=(AFFINE, 1), edit=fill))
    header = nib.load(write_volume(volume, tmp_path / "b.nii", description="x" * 200)).header

    assert (float(header["cal_min"]), float(header["cal_max"])) == (10, 900)
    assert (header["aux_file"].item(), header["db_name"].item(), int(header["intent_code"])) == (b"", b"", 0)
    assert int(header["slice_code"]) == 0
    assert len(header["descrip"].item()) == 79
    assert (header["magic"].item(), header.endianness) == (b"n+1", "<")


def test_a_description_is_not_truncated_within_a_character(tmp_path):
    volume = Volume(np.zeros((2, 2, 2), np.int16), VolumeGeometry((2, 2, 2), (1.0, 1.0, 1.0)))

    write_volume(volume, tmp_path / "a.nii", description="ü" * 100)

    assert read_volume(tmp_path / "a.nii").header.description.endswith("üü")


# --- voxels


@pytest.mark.parametrize("dtype", ["u1", "i1", "<i2", ">i2", "<u2", ">i4", "<u4", "<i8", ">u8"])
def test_integers_are_read_back_unchanged(tmp_path, dtype):
    info = np.iinfo(dtype)
    array = np.resize(np.array([info.min, 0, 3, info.max], dtype=dtype), (3, 4, 5))
    image = nib.Nifti1Image(array, AFFINE, nib.Nifti1Header(endianness=">" if ">" in dtype else "<"), dtype=dtype)
    image.to_filename(tmp_path / "a.nii")

    volume = read_volume(tmp_path / "a.nii")
    again = nib.load(write_volume(volume, tmp_path / "b.nii"))

    assert volume.header.dtype == np.dtype(dtype).newbyteorder("=")
    assert not volume.header.scaled
    np.testing.assert_array_equal(volume.array, array.T)
    assert (again.get_data_dtype(), again.header.endianness) == (np.dtype(dtype).newbyteorder("<"), "<")
    np.testing.assert_array_equal(np.asanyarray(again.dataobj), array)


def test_scaled_integers_get_a_new_slope_that_covers_the_result(tmp_path):
    array = np.linspace(-3.0, 12.0, 120, dtype=np.float32).reshape(4, 5, 6)
    path = save(tmp_path / "a.nii", array=array, sform=(AFFINE, 1), edit=lambda header: header.set_data_dtype("i2"))

    volume = read_volume(path)
    sharper = volume.with_array(np.where(volume.array > 11, 40.0, volume.array).astype(np.float32))
    again = nib.load(write_volume(sharper, tmp_path / "b.nii.gz"))

    assert volume.array.dtype == np.float32
    np.testing.assert_allclose(volume.array, array.T, atol=15 / 2**16)
    assert (volume.header.dtype, volume.header.scaled) == (np.int16, True)
    assert again.get_data_dtype() == np.int16
    np.testing.assert_allclose(again.get_fdata().T, sharper.array, atol=43 / 2**16)


def test_scaled_integers_with_nonfinite_voxels_are_written_without_a_warning(tmp_path, caplog):
    grid = VolumeGeometry((2, 2, 2), (1.0, 1.0, 1.0))
    array = np.array([np.nan, np.inf, -np.inf, 1, 2, 3, 4, 5], np.float32).reshape(2, 2, 2)
    volume = Volume(array, grid, FileHeader(dtype=np.dtype(np.uint8), scaled=True))

    again = read_volume(write_volume(volume, tmp_path / "a.nii"))

    assert np.isfinite(again.array).all()
    np.testing.assert_allclose(again.array.ravel()[3:], [1, 2, 3, 4, 5], atol=0.05)
    assert not caplog.records


def test_floating_point_numbers_are_read_back_in_single_precision(tmp_path):
    save(tmp_path / "a.nii", array=np.linspace(0, 1, 60).reshape(3, 4, 5), sform=(AFFINE, 1))

    volume = read_volume(tmp_path / "a.nii")

    assert (volume.array.dtype, volume.header.dtype) == (np.float32, np.float64)
    assert nib.load(write_volume(volume, tmp_path / "b.nii")).get_data_dtype() == np.float32


def test_numbers_beyond_single_precision_are_preserved(tmp_path):
    array = np.array([0, 1e30, 1e39, -1e200]).reshape(1, 2, 2)
    save(tmp_path / "a.nii", array=array, sform=(AFFINE, 1))

    volume = read_volume(tmp_path / "a.nii")

    np.testing.assert_array_equal(nib.load(write_volume(volume, tmp_path / "b.nii")).get_fdata(), array)
    with pytest.raises(OutputError, match="beyond the range or the precision of float32"):
        write_volume(volume, tmp_path / "b.mgz")


@pytest.mark.parametrize(
    ("given", "stored"),
    [("u1", "u1"), ("i1", "i2"), ("i2", "i2"), ("u2", "i4"), ("i4", "i4"), ("u4", "f4"), ("f4", "f4"), ("f8", "f4")],
)
def test_mgh_uses_the_smallest_of_its_types_that_fits(tmp_path, given, stored):
    volume = Volume(np.ones((2, 3, 4), given), VolumeGeometry((4, 3, 2), (1.0, 1.0, 1.0)))

    path = write_volume(volume, tmp_path / "a.mgz")

    assert nib.load(path).get_data_dtype().newbyteorder("=") == np.dtype(stored)
    assert read_volume(path).array.dtype == np.dtype(stored)


def test_a_volume_too_large_for_nifti_1_is_written_as_nifti_2(tmp_path):
    volume = Volume(np.zeros((1, 1, 40000), np.uint8), VolumeGeometry((40000, 1, 1), (0.1, 1.0, 1.0)))

    path = write_volume(volume, tmp_path / "a.nii")

    assert isinstance(nib.load(path), nib.Nifti2Image)
    assert read_volume(path).geometry.size == (40000, 1, 1)
