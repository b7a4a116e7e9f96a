"""NRRD and MetaImage."""

from __future__ import annotations

import os

import numpy as np
import phantoms
import pytest
import SimpleITK as sitk  # noqa: N813 - the name everyone knows it by

from ArSSRLib.errors import InputError
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.io import read_volume, write_volume
from ArSSRLib.volume import FileHeader, Volume

SUFFIXES = (".nrrd", ".mha")


def save(path, array, **changes):
    """Write a file with SimpleITK alone; a change names a setter without its "Set"."""
    image = array if isinstance(array, sitk.Image) else sitk.GetImageFromArray(array)
    for name, value in changes.items():
        getattr(image, f"Set{name}")(value)
    sitk.WriteImage(image, str(path))
    return path


def replace(path, old: bytes, new: bytes):
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("geometry", ["oblique_geometry", "left_handed_geometry"])
def test_the_field_of_view_is_kept_to_double_precision(tmp_path, request, suffix, geometry):
    grid = request.getfixturevalue(geometry)

    written = read_volume(write_volume(phantoms.labels(grid), tmp_path / f"a{suffix}"))

    np.testing.assert_allclose(written.geometry.corners(), grid.corners(), atol=1e-9)
    assert written.geometry.size == grid.size


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".nhdr", ".mhd"])
def test_geometry_and_axis_order_agree_with_itk(tmp_path, suffix):
    array = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    direction = phantoms.rotation(20, 30, 40)
    path = save(tmp_path / f"a{suffix}", array, Spacing=(0.5, 1.5, 4.0), Origin=(1.0, -2.0, 3.0), Direction=direction)

    volume = read_volume(path)

    np.testing.assert_array_equal(volume.array, array)
    assert (volume.array.dtype, volume.header.dtype) == (np.uint16, np.uint16)
    np.testing.assert_allclose(volume.geometry.spacing, (0.5, 1.5, 4.0), rtol=1e-12)
    np.testing.assert_allclose(volume.geometry.origin, (1.0, -2.0, 3.0), rtol=1e-12)
    np.testing.assert_allclose(volume.geometry.direction, direction, atol=1e-12)


def test_a_nrrd_file_in_ras_is_converted_to_lps(tmp_path):
    path = save(tmp_path / "a.nrrd", np.zeros((2, 3, 4), np.int16), Origin=(1.0, 2.0, 3.0))
    replace(path, b"left-posterior-superior", b"right-anterior-superior")

    geometry = read_volume(path).geometry

    assert geometry.origin == (-1.0, -2.0, 3.0)
    assert geometry.direction == (-1, 0, 0, 0, -1, 0, 0, 0, 1)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64])
def test_integers_are_read_back_unchanged(tmp_path, suffix, dtype):
    info = np.iinfo(dtype)
    array = np.resize(np.array([info.min, 1, info.max], dtype), (2, 3, 4))
    volume = Volume(array, VolumeGeometry((4, 3, 2), (1.0, 1.0, 1.0)), FileHeader(dtype=np.dtype(dtype)))

    again = read_volume(write_volume(volume, tmp_path / f"a{suffix}"))

    assert (again.array.dtype, again.header.dtype) == (dtype, dtype)
    np.testing.assert_array_equal(again.array, array)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_integers_that_had_a_slope_are_stored_as_floating_point_numbers(tmp_path, suffix):
    array = np.linspace(0, 1, 24, dtype=np.float32).reshape(2, 3, 4)
    said = FileHeader(dtype=np.dtype(np.int16), scaled=True)

    again = read_volume(
        write_volume(Volume(array, VolumeGeometry((4, 3, 2), (1.0, 1.0, 1.0)), said), tmp_path / f"a{suffix}")
    )

    np.testing.assert_array_equal(again.array, array)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_double_precision_is_read_as_single_precision_if_it_fits(tmp_path, suffix):
    assert read_volume(save(tmp_path / f"a{suffix}", np.full((2, 2, 2), 0.1))).array.dtype == np.float32
    large = read_volume(save(tmp_path / f"b{suffix}", np.full((2, 2, 2), 1e200)))
    assert read_volume(write_volume(large, tmp_path / f"c{suffix}")).array.max() == 1e200


def test_a_4d_file_with_one_volume_is_a_volume(tmp_path):
    image = sitk.GetImageFromArray(np.arange(24, dtype=np.int16).reshape(1, 2, 3, 4), isVector=False)
    image.SetSpacing((0.5, 0.6, 0.7, 9.0))

    volume = read_volume(save(tmp_path / "a.nrrd", image))

    np.testing.assert_array_equal(volume.array, np.arange(24).reshape(2, 3, 4))
    np.testing.assert_allclose(volume.geometry.spacing, (0.5, 0.6, 0.7), rtol=1e-12)


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.zeros((3, 4), np.int16), r"has 2 dimensions \(4 x 3\), but 3 are needed"),
        (np.zeros((5, 2, 3, 4), np.int16), r"has 4 dimensions \(4 x 3 x 2 x 5\), but 3 are needed; split it"),
        (sitk.Image([4, 3, 2], sitk.sitkVectorUInt8, 3), "has 3 channels"),
        (sitk.Image([4, 3, 2], sitk.sitkComplexFloat32), "has (complex voxels|2 channels)"),
    ],
    ids=["2-D", "4-D", "colors", "complex"],
)
def test_a_color_volume_is_refused(tmp_path, array, told):
    image = array if isinstance(array, sitk.Image) else sitk.GetImageFromArray(array, isVector=False)
    is_complex = image.GetPixelIDValue() == sitk.sitkComplexFloat32

    # ITK writes complex voxels only to MetaImage.
    for suffix in (".mha",) if is_complex else SUFFIXES:
        with pytest.raises(InputError, match=told):
            read_volume(save(tmp_path / f"a{suffix}", image))


@pytest.mark.parametrize(
    ("suffix", "change", "told"),
    [
        (".nrrd", (b"(1,0,0) (0,1,0)", b"(1,0,0) (1,0,0)"), "damaged"),
        (".nrrd", (b"(1,0,0) (0,1,0)", b"(1,0,0) (.5,1,0)"), "not perpendicular"),
        (".nrrd", (b"(1,0,0) (0,1,0)", b"(0,0,0) (0,1,0)"), "a voxel spacing of 0; correct"),
        (".nrrd", (b"(1,0,0) (0,1,0)", b"(nan,0,0) (0,1,0)"), "damaged"),
        (".mha", (b"Matrix = 1 0 0 0 1 0", b"Matrix = 1 0 0 1 0 0"), "damaged"),
        (".mha", (b"Matrix = 1 0 0 0 1 0", b"Matrix = 1 0 0 0.3 1 0"), "not perpendicular"),
        (".mha", (b"ElementSpacing = 1 1 1", b"ElementSpacing = 1 0 1"), "a voxel spacing of 0; correct"),
        (".mha", (b"DimSize = 4 3 2", b"DimSize = 4 0 2"), "size 4 x 0 x 2"),
    ],
)
def test_an_unusable_grid_is_refused_without_other_output(tmp_path, capfd, suffix, change, told):
    path = replace(save(tmp_path / f"a{suffix}", np.zeros((2, 3, 4), np.int16)), *change)
    capfd.readouterr()

    with pytest.raises(InputError, match=told) as error:
        read_volume(path)

    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", [".nhdr", ".mhd"])
def test_a_header_without_its_voxels_is_refused_without_other_output(tmp_path, capfd, suffix):
    path = save(tmp_path / f"a{suffix}", np.zeros((2, 3, 4), np.int16))
    for other in tmp_path.iterdir():
        if other != path:
            other.unlink()

    with pytest.raises(InputError, match="which does not exist"):
        read_volume(path)
    assert capfd.readouterr() == ("", "")


def test_a_compressed_file_with_detached_voxels_is_read(tmp_path):
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    path = tmp_path / "a.nhdr"
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path), useCompression=True)

    # The same header with the other extension, but without voxels after it.
    np.testing.assert_array_equal(read_volume(path.rename(tmp_path / "b.nrrd")).array, array)


def test_the_warning_setting_of_itk_is_restored(tmp_path):
    before = sitk.ProcessObject.GetGlobalWarningDisplay()

    write_volume(phantoms.labels(VolumeGeometry((4, 4, 4), (1.0, 1.0, 1.0))), tmp_path / "a.mha")

    assert sitk.ProcessObject.GetGlobalWarningDisplay() == before


def test_standard_error_is_restored_after_reading(tmp_path, capfd):
    read_volume(save(tmp_path / "a.mha", np.zeros((2, 2, 2), np.int16)))
    os.write(2, b"still here")

    assert capfd.readouterr().err == "still here"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_without_compression_the_voxels_are_the_same_and_the_file_is_larger(tmp_path, oblique_geometry, suffix):
    volume = Volume(np.zeros(oblique_geometry.shape, np.int16), oblique_geometry)
    small = write_volume(volume, tmp_path / f"small{suffix}")
    plain = write_volume(volume, tmp_path / f"plain{suffix}", compress=False)

    np.testing.assert_array_equal(read_volume(plain).array, read_volume(small).array)
    assert plain.stat().st_size > volume.array.nbytes > small.stat().st_size
