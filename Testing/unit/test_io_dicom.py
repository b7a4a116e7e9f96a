"""DICOM series, written slice by slice like those of a scanner."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from dicom_series import write_frames, write_series
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless

from ArSSRLib.errors import InputError
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.io import read_volume, write_volume
from ArSSRLib.volume import Volume


@pytest.fixture
def volume(oblique_geometry: VolumeGeometry) -> Volume:
    noise = np.random.default_rng(3).integers(-500, 3000, oblique_geometry.shape)
    return Volume(noise.astype(np.int16), oblique_geometry)


def refused(path, **options) -> str:
    with pytest.raises(InputError) as error:
        read_volume(path, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_series_is_sorted_by_position(tmp_path, volume, capfd):
    write_series(tmp_path, volume)

    read = read_volume(tmp_path)

    np.testing.assert_array_equal(read.array, volume.array)
    np.testing.assert_allclose(read.geometry.corners(), volume.geometry.corners(), atol=1e-6)
    assert (read.array.dtype, read.header.dtype, read.header.scaled) == (np.int16, np.int16, False)
    assert capfd.readouterr() == ("", "")


def test_nothing_that_identifies_the_patient_is_kept(tmp_path, volume):
    write_series(tmp_path / "series", volume)

    read = read_volume(tmp_path / "series")
    content = write_volume(read, tmp_path / "a.nii").read_bytes() + write_volume(read, tmp_path / "a.nrrd").read_bytes()

    assert (read.header.description, dict(read.header.metadata)) == ("T1 axial", {"Modality": "MR"})
    assert b"Doe" not in content
    assert b"4711" not in content


def test_several_series_are_listed_and_one_can_be_chosen(tmp_path, volume):
    first = write_series(tmp_path, volume, series="1.2.3", description="T1\naxial")
    second = write_series(tmp_path, volume.with_array(volume.array + np.int16(1)), series="1.2.4", description="T2")
    write_series(tmp_path, volume, series="1.2.5", description="T2", keep=[0])

    message = refused(tmp_path)

    assert "contains 3 series: 1.2.3 (T1 axial, 9 slices); 1.2.4 (T2, 9 slices); 1.2.5 (T2, 1 slice)" in message
    assert "--series" in message
    np.testing.assert_array_equal(read_volume(tmp_path, series=first).array, volume.array)
    np.testing.assert_array_equal(read_volume(tmp_path, series=second).array, volume.array + 1)
    np.testing.assert_array_equal(read_volume(tmp_path, series="T1 axial").array, volume.array)
    assert '2 of them "T2"' in refused(tmp_path, series="T2")
    assert 'none of them "T3"' in refused(tmp_path, series="T3")


def test_a_list_of_many_series_is_shortened(tmp_path, volume):
    for number in range(25):
        write_series(tmp_path, volume, series=f"1.2.{100 + number}", keep=[0])

    assert "and 5 more" in refused(tmp_path)


def test_other_files_in_the_folder_are_ignored(tmp_path, volume):
    write_series(tmp_path, volume)
    (tmp_path / "README.txt").write_text("notes")
    (tmp_path / ".DS_Store").write_bytes(bytes(10))
    (tmp_path / "sub").mkdir()
    shutil.copy(next(p for p in tmp_path.iterdir() if "_" in p.name), tmp_path / "sub" / "again")

    np.testing.assert_array_equal(read_volume(tmp_path).array, volume.array)


def tilt(k, dataset):
    position = np.array(dataset.ImagePositionPatient, dtype=float) + 0.4 * k * np.array(
        dataset.ImageOrientationPatient[:3]
    )
    dataset.ImagePositionPatient = [f"{x:.6f}" for x in position]


def without(name):
    return lambda _k, dataset: delattr(dataset, name)


def four_frames(_k, dataset):
    dataset.NumberOfFrames = 4
    dataset.PixelData *= 4


def garbled(_k, dataset):
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    dataset.PixelData = encapsulate([b"not an image at all"])
    dataset["PixelData"].VR = "OB"


def with_value(name, value):
    return lambda _k, dataset: setattr(dataset, name, value)


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (tilt, "gantry tilt"),
        (without("ImagePositionPatient"), "has no usable ImagePositionPatient"),
        (without("PixelSpacing"), "has no usable PixelSpacing"),
        (without("ImageOrientationPatient"), "has no usable ImageOrientationPatient"),
        (with_value("SamplesPerPixel", 3), "has color images"),
        (with_value("ImageType", ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]), "is a mosaic"),
        (four_frames, "frames without a position"),
        (lambda k, dataset: k and setattr(dataset, "ImagePositionPatient", [1, 2, 3]), "several echoes or time points"),
        (lambda k, dataset: k == 4 and delattr(dataset, "Rows"), "has a damaged slice"),
        (lambda _k, dataset: setattr(dataset, "PixelData", dataset.PixelData[:-100]), "has a damaged slice"),
        (garbled, "cannot be decoded"),
    ],
)
def test_a_series_that_is_not_a_volume_is_refused_without_other_output(tmp_path, capfd, volume, edit, told):
    write_series(tmp_path, volume, edit=edit)
    capfd.readouterr()

    assert told in refused(tmp_path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ((b"IS\x02\x001 ", b"IS\x02\x00zz"), "header that cannot be interpreted"),
        ((b"1.100000000", b"1.1one,two!"), "has no usable PixelSpacing"),
    ],
)
def test_a_header_with_text_for_numbers_is_refused_without_other_output(tmp_path, capfd, volume, change, told):
    write_series(tmp_path, volume, edit=lambda _k, dataset: setattr(dataset, "NumberOfFrames", "1"), keep=[0])
    path = next(tmp_path.iterdir())
    content = path.read_bytes()
    assert change[0] in content
    path.write_bytes(content.replace(*change))

    assert told in refused(tmp_path)
    assert capfd.readouterr() == ("", "")


def test_a_missing_slice_is_refused(tmp_path, volume):
    write_series(tmp_path, volume, keep=[0, 1, 2, 4, 5, 6, 7, 8])

    assert "lacks 1 slice" in refused(tmp_path)


def test_a_truncated_slice_is_refused_without_other_output(tmp_path, volume, capfd):
    write_series(tmp_path, volume)
    path = sorted(tmp_path.iterdir())[3]
    for kept in (100, 250, 600, path.stat().st_size - 20):
        (tmp_path / "part.dcm").write_bytes(path.read_bytes()[:kept])

        assert "has a damaged slice, part.dcm" in refused(tmp_path)
    assert capfd.readouterr() == ("", "")


def test_a_single_slice_is_refused_with_advice(tmp_path, volume):
    write_series(tmp_path, volume)

    assert "specify the folder that contains all slices" in refused(next(tmp_path.iterdir()))


@pytest.mark.parametrize(
    ("slope", "intercept", "kept"), [("1", "-1024", np.int32), ("2", "0", np.int32), ("0.5", "3", np.float32)]
)
def test_slope_and_intercept_are_applied(tmp_path, volume, slope, intercept, kept):
    def rescale(_k, dataset):
        dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept

    write_series(tmp_path, volume, edit=rescale)

    read = read_volume(tmp_path)

    np.testing.assert_array_equal(read.array, volume.array * float(slope) + float(intercept))
    assert read.array.dtype == kept
    assert read.header.scaled == (kept == np.float32)
    assert read.header.dtype == (np.int16 if read.header.scaled else kept)


def test_each_slice_may_have_its_own_slope(tmp_path, volume):
    def rescale(k, dataset):
        dataset.RescaleSlope, dataset.RescaleIntercept = str(1 + 0.25 * k), "0"

    write_series(tmp_path, volume, edit=rescale)

    expected = volume.array * (1 + 0.25 * np.arange(9))[:, None, None]
    np.testing.assert_allclose(read_volume(tmp_path).array, expected, rtol=1e-6)


@pytest.mark.parametrize("slopes", [None, [1.0] * 9, [2.5] * 9])
def test_a_multi_frame_file_is_a_volume(tmp_path, volume, slopes):
    write_frames(tmp_path / "enhanced.dcm", volume, slopes=slopes)

    read = read_volume(tmp_path / "enhanced.dcm")

    np.testing.assert_allclose(read.array, volume.array * np.float32(slopes[0] if slopes else 1), rtol=1e-6)
    np.testing.assert_allclose(read.geometry.corners(), volume.geometry.corners(), atol=1e-6)


def test_frames_with_different_slopes_are_refused(tmp_path, volume):
    write_frames(tmp_path / "enhanced", volume, slopes=list(range(1, 10)))

    assert "different rescale slopes" in refused(tmp_path / "enhanced")
