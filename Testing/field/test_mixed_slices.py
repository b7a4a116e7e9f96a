"""Slices of one series with different storage: each is read according to its own header."""

from __future__ import annotations

import numpy as np
import pytest
from derived_series import as_scanned
from dicom_series import write_frames, write_series
from pydicom import Dataset, dcmread

from ArSSRLib.errors import InputError
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.io import read_volume, write_volume
from ArSSRLib.volume import Volume


@pytest.fixture
def volume():
    """Return a volume of 12-bit numbers."""
    geometry = VolumeGeometry((8, 7, 6), (0.9, 0.9, 5.5), (-12.3, -10.6, -30.2))
    return Volume(np.random.default_rng(3).integers(0, 4000, geometry.shape).astype(np.int16), geometry)


def inverted_display(k, dataset):
    if k % 2:
        dataset.PhotometricInterpretation = "MONOCHROME1"


def signs(k, dataset):
    dataset.PixelRepresentation = k % 2


def bits(k, dataset):
    dataset.PixelRepresentation = 0
    dataset.BitsStored, dataset.HighBit = (12, 11) if k % 2 else (16, 15)


@pytest.mark.parametrize("how", [inverted_display, signs, bits])
def test_a_difference_in_storage_between_slices_changes_no_voxel(tmp_path, volume, how):
    write_series(tmp_path / "s", volume, edit=how)

    np.testing.assert_array_equal(read_volume(tmp_path / "s").array, volume.array)


@pytest.mark.parametrize("first", [None, (0.5, 3), (-2, 100)])
def test_every_slice_has_its_own_slope_and_intercept(tmp_path, volume, first):
    slopes = [first or (1, 0), (2, 0), (0.25, -7), (1, 5), (100, 0), (1, 0)]

    def edit(k, dataset):
        if k or first:
            dataset.RescaleSlope, dataset.RescaleIntercept = slopes[k]

    write_series(tmp_path / "s", volume, edit=edit)
    gains, offsets = np.reshape(slopes, (6, 2, 1, 1)).swapaxes(0, 1)
    expected = volume.array * gains.astype(float) + offsets

    np.testing.assert_allclose(read_volume(tmp_path / "s").array, expected)


def test_slices_of_8_and_16_bits_keep_the_steps_of_the_finer_ones(tmp_path, volume):
    def edit(k, dataset):
        dataset.RescaleSlope, dataset.RescaleIntercept = "0.5", "0"
        if k % 2:
            dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
            dataset.PixelRepresentation = 0
            dataset.PixelData = (volume.array[k] // 16).astype("u1").tobytes()

    write_series(tmp_path / "s", volume, edit=edit)
    source = read_volume(tmp_path / "s")
    copy = read_volume(write_volume(source, tmp_path / "copy.nii"))

    np.testing.assert_array_equal(source.array[::2], volume.array[::2] / 2)
    np.testing.assert_allclose(copy.array, source.array, atol=0.05)


def test_a_padding_that_only_later_slices_declare_counts(tmp_path, volume):
    write_series(tmp_path / "s", volume, edit=lambda k, d: setattr(d, "PixelPaddingValue", -2000) if k > 2 else None)

    assert read_volume(tmp_path / "s").header.padding == (-2000, -2000)


@pytest.mark.parametrize("parts", ["MAGNITUDE PHASE", "REAL IMAGINARY"])
def test_parts_of_a_complex_scan_in_one_series_are_refused_by_name(tmp_path, volume, parts):
    first, second = parts.split()
    write_series(tmp_path / "s", volume, series="1.2.3.7", edit=lambda _, d: setattr(d, "ComplexImageComponent", first))
    other = volume.with_array(volume.array[::-1].copy())
    write_series(tmp_path / "p", other, series="1.2.3.7", edit=lambda _, d: setattr(d, "ComplexImageComponent", second))
    for file in (tmp_path / "p").iterdir():
        file.rename(tmp_path / "s" / f"p{file.name}")

    with pytest.raises(InputError, match=f"mixes the .*{first.lower()}.* images of a complex scan"):
        read_volume(tmp_path / "s")


@pytest.mark.parametrize("mixed", [False, True])
def test_frames_declare_their_part_of_a_complex_image(tmp_path, volume, mixed):
    write_frames(tmp_path / "f.dcm", volume)
    dataset = dcmread(tmp_path / "f.dcm")
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "NONE"]
    for k, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        kind = Dataset()
        kind.FrameType = ["ORIGINAL", "PRIMARY", "M" if mixed and k > 2 else "P", "NONE"]
        frame.MRImageFrameTypeSequence = [kind]
    dataset.save_as(tmp_path / "f.dcm")

    if mixed:
        with pytest.raises(InputError, match="mixes the magnitude and phase images"):
            read_volume(tmp_path / "f.dcm")
    else:
        assert read_volume(tmp_path / "f.dcm").header.component == "phase"


@pytest.mark.parametrize("signed", [0, 1])
def test_voxels_stored_above_unused_bits_are_read(tmp_path, volume, signed):
    array = volume.array // 2 - 1000 * signed

    def edit(k, dataset):
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 15, signed
        dataset.PixelData = (array[k].astype("<u2") << 4).tobytes()

    write_series(tmp_path / "s", volume, edit=edit)

    np.testing.assert_array_equal(read_volume(tmp_path / "s").array, array)


@pytest.mark.parametrize("highest", [11, 31, 255])
def test_an_impossible_highest_bit_changes_no_voxel(tmp_path, volume, highest):
    write_series(tmp_path / "s", volume, edit=lambda _k, dataset: setattr(dataset, "HighBit", highest))

    np.testing.assert_array_equal(read_volume(tmp_path / "s").array, volume.array)


@pytest.mark.parametrize(("name", "dtype"), [("FloatPixelData", "<f4"), ("DoubleFloatPixelData", "<f8")])
def test_floating_point_voxels_are_read(tmp_path, volume, name, dtype):
    def edit(k, dataset):
        as_scanned(k, dataset)
        del dataset.PixelData, dataset.PixelRepresentation, dataset.HighBit, dataset.BitsStored
        dataset.BitsAllocated = 8 * np.dtype(dtype).itemsize
        setattr(dataset, name, (volume.array[k] / 8).astype(dtype).tobytes())

    write_series(tmp_path / "s", volume, edit=edit)

    np.testing.assert_array_equal(read_volume(tmp_path / "s").array, volume.array / 8)


def test_frames_with_slopes_of_their_own_are_refused_by_name(tmp_path, volume):
    write_frames(tmp_path / "f.dcm", volume, slopes=[1, 2, 1, 1, 1, 1])
    assert len(dcmread(tmp_path / "f.dcm").PerFrameFunctionalGroupsSequence) == 6

    with pytest.raises(InputError, match="different rescale slopes"):
        read_volume(tmp_path / "f.dcm")


def test_a_copy_with_a_differently_written_position_is_read_once(tmp_path, volume):
    write_series(tmp_path / "s", volume, series="1.2.3.77")
    for file in sorted((tmp_path / "s").iterdir()):
        dataset = dcmread(file)
        dataset.ImagePositionPatient = [f"{float(x):.4f}" for x in dataset.ImagePositionPatient]
        dataset.save_as(tmp_path / "s" / f"copy_{file.name}")

    np.testing.assert_array_equal(read_volume(tmp_path / "s").array, volume.array)
