"""DICOM as scanners and archives write it: inverted storage, rounded positions, copies, mosaics, phase."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import phantoms
import pytest
import SimpleITK as sitk  # noqa: N813
from derived_series import as_scanned, write_to
from dicom_series import write_frames, write_series
from messages import one_line
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import RLELossless

from ArSSRLib.errors import InputError
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.io import read_volume
from ArSSRLib.volume import Volume

TURN = phantoms.rotation(12, -7, 5)


def series_of(low=0, high=892, *, geometry=None) -> Volume:
    geometry = geometry or VolumeGeometry((8, 7, 6), (0.9, 0.9, 5.5), (-12.3, -10.6, -30.2), TURN)
    return Volume(np.random.default_rng(3).integers(low, high + 1, geometry.shape).astype(np.int16), geometry)


# --- MONOCHROME1


@pytest.mark.parametrize(
    ("bits", "signed", "slope"),
    [(12, 0, None), (16, 0, 2), (16, 1, None), (12, 1, None), (12, 0, 0.5)],
)
def test_inverted_storage_keeps_its_values(tmp_path, bits, signed, slope):
    volume = series_of(-500 if signed else 0)

    def edit(_k, dataset):
        dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME1", signed
        dataset.BitsStored, dataset.HighBit = bits, bits - 1
        if slope:
            dataset.RescaleSlope, dataset.RescaleIntercept = slope, -7

    write_series(tmp_path / "s", volume, edit=edit)

    np.testing.assert_array_equal(read_volume(tmp_path / "s").array, volume.array * (slope or 1) - (7 if slope else 0))


def test_compressed_inverted_storage_keeps_its_values(tmp_path):
    volume = series_of(geometry=VolumeGeometry((72, 68, 3), (0.9, 0.9, 5.5)))

    def edit(k, dataset):
        image = sitk.GetImageFromArray(volume.array[k].astype(np.uint16))
        sitk.WriteImage(image, tmp_path / "packed.dcm", useCompression=True)
        packed = dcmread(tmp_path / "packed.dcm")
        dataset.PixelData, dataset.file_meta.TransferSyntaxUID = packed.PixelData, packed.file_meta.TransferSyntaxUID
        dataset["PixelData"].is_undefined_length = True
        dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME1", 0

    write_series(tmp_path / "s", volume, edit=edit)
    assert dcmread(next((tmp_path / "s").iterdir())).file_meta.TransferSyntaxUID.is_compressed

    np.testing.assert_array_equal(read_volume(tmp_path / "s").array, volume.array)


def jpeg_with_end_inside(k, dataset):
    """Compress a slice as JPEG Lossless; in slice 1, two bytes look like the end, so the decoder fills the rest."""
    words = np.frombuffer(dataset.PixelData, "<u2").reshape(1, dataset.Rows, dataset.Columns)
    with tempfile.TemporaryDirectory() as folder:
        writer = sitk.ImageFileWriter()
        writer.SetUseCompression(True)
        writer.SetCompressor("JPEG")
        writer.SetFileName(str(Path(folder) / "packed.dcm"))
        writer.Execute(sitk.GetImageFromArray(words))
        packed = dcmread(writer.GetFileName())
    middle = len(packed.PixelData) // 2
    ended = packed.PixelData[:middle] + b"\xff\xd9" + packed.PixelData[middle + 2 :]
    dataset.PixelData, dataset.PixelRepresentation = (ended if k == 1 else packed.PixelData), 0
    dataset.file_meta.TransferSyntaxUID = packed.file_meta.TransferSyntaxUID
    dataset["PixelData"].is_undefined_length = True


def test_damage_that_the_jpeg_decoder_only_mentions_is_refused(tmp_path, capfd):
    volume = series_of(geometry=VolumeGeometry((72, 68, 3), (0.9, 0.9, 5.5)))
    write_series(tmp_path / "s", volume, edit=jpeg_with_end_inside)

    with pytest.raises(
        InputError, match=r"damaged voxels in \w+, according to the JPEG decoder \(.*premature end"
    ) as error:
        read_volume(tmp_path / "s")
    one_line(error)
    assert capfd.readouterr().err == ""


def test_run_length_encoded_slices_keep_their_values(tmp_path):
    volume = series_of(geometry=VolumeGeometry((13, 11, 3), (0.9, 0.9, 5.5)))
    # GDCM cannot decode noise of 64 voxels or fewer that another program compressed; no scanner writes such slices.
    write_series(tmp_path / "s", volume, edit=lambda _k, dataset: dataset.compress(RLELossless))

    np.testing.assert_array_equal(read_volume(tmp_path / "s").array, volume.array)


def test_a_derived_series_of_inverted_storage_displays_as_its_source(tmp_path):
    def edit(k, dataset):
        as_scanned(k, dataset)
        dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME1", 0

    write_series(tmp_path / "source", series_of(), edit=edit)
    source = read_volume(tmp_path / "source")
    written = write_to(tmp_path, source)

    assert {dataset.PhotometricInterpretation for dataset in written} == {"MONOCHROME1"}
    np.testing.assert_array_equal(np.stack([dataset.pixel_array for dataset in written]), source.array)


def test_frames_of_inverted_storage_keep_their_values_too(tmp_path):
    write_frames(tmp_path / "f.dcm", series_of())
    dataset = dcmread(tmp_path / "f.dcm")
    dataset.PhotometricInterpretation = "MONOCHROME1"
    dataset.save_as(tmp_path / "f.dcm")

    np.testing.assert_array_equal(read_volume(tmp_path / "f.dcm").array, series_of().array)


# --- padding


def test_a_declared_padding_is_read_and_declared_again(tmp_path):
    volume = series_of()
    volume.array[:, :2] = -2000

    def edit(k, dataset):
        as_scanned(k, dataset)
        dataset.PixelPaddingValue = -2000

    write_series(tmp_path / "source", volume, edit=edit)
    source = read_volume(tmp_path / "source")

    assert source.header.padding == (-2000, -2000)
    assert {dataset.PixelPaddingValue for dataset in write_to(tmp_path, source)} == {-2000}


def test_a_padding_value_written_without_its_sign_is_recognized(tmp_path):
    write_series(tmp_path / "s", series_of(), edit=lambda _k, d: d.add_new("PixelPaddingValue", "US", 63536))

    assert read_volume(tmp_path / "s").header.padding == (-2000, -2000)


def test_a_declared_range_of_padding_follows_the_slope_of_every_slice(tmp_path):
    def edit(k, dataset):
        dataset.PixelPaddingValue, dataset.PixelPaddingRangeLimit = -1000, -2000
        dataset.RescaleSlope, dataset.RescaleIntercept = 1 + k, 0

    write_series(tmp_path / "s", series_of(), edit=edit)

    assert read_volume(tmp_path / "s").header.padding == (-12003, -1000)


# --- rounded positions


def rounded(digits: int):
    def edit(_k, dataset):
        dataset.ImagePositionPatient = [f"{float(x):.{digits}f}" for x in dataset.ImagePositionPatient]
        dataset.ImageOrientationPatient = [f"{float(x):.6f}" for x in dataset.ImageOrientationPatient]

    return edit


@pytest.mark.parametrize("digits", [1, 2, 3])
@pytest.mark.parametrize(("slices", "step"), [(3, 5.5), (10, 5.5), (10, 1.0), (20, 1.2), (2, 3.0)])
def test_rounded_positions_form_an_even_upright_stack(tmp_path, digits, slices, step):
    grid = VolumeGeometry((8, 7, slices), (0.9, 0.9, step), (-12.34, -10.61, -30.17), TURN)
    write_series(tmp_path / "s", series_of(geometry=grid), edit=rounded(digits))

    found = read_volume(tmp_path / "s").geometry

    tolerance = 10.0**-digits  # half of the last digit along each of three axes
    np.testing.assert_allclose(found.corners(), grid.corners(), atol=2 * tolerance)


@pytest.mark.parametrize("digits", [1, 6])
def test_a_true_tilt_is_refused_regardless_of_rounding(tmp_path, digits):
    def edit(k, dataset):
        row = np.array([float(x) for x in dataset.ImageOrientationPatient[:3]])
        leaning = np.array([float(x) for x in dataset.ImagePositionPatient]) + 0.1 * k * row
        dataset.ImagePositionPatient = [f"{x:.{digits}f}" for x in leaning]

    write_series(tmp_path / "s", series_of(), edit=edit)

    with pytest.raises(InputError, match=r"tilted by (0.9|1|1.\d+) degrees"):
        read_volume(tmp_path / "s")


# --- uneven slice distances, missing slices and copies


def stretched(steps):
    """Return an edit that places slices at these distances, in mm."""
    depths = np.concatenate([[0], np.cumsum(steps)])

    def edit(k, dataset):
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.ImagePositionPatient = [0, 0, f"{depths[k]:.3f}"]

    return edit


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ([5.5] * 5 + [9] * 4, "unevenly spaced slices (5.5 to 9 mm apart)"),
        ([4] * 6 + [1.1] + [7] * 6, "unevenly spaced"),
        ([5] * 5 + [10] * 4, "unevenly spaced"),
        ([5.5, 11, 5.5, 11, 5.5, 5.5, 5.5], "lacks 2 slices between the 8 it has: numbers 2 and 3 are 11 mm apart"),
        ([5.5] * 4 + [16.5] + [5.5] * 3, "lacks 2 slices"),
    ],
)
def test_a_changing_distance_is_distinguished_from_missing_slices(tmp_path, steps, told):
    grid = VolumeGeometry((4, 3, len(steps) + 1), (1.0, 1.0, 1.0))
    write_series(tmp_path / "s", series_of(geometry=grid), edit=stretched(steps))

    with pytest.raises(InputError) as error:
        read_volume(tmp_path / "s")

    assert told in str(error.value)


def test_exact_copies_are_read_once(tmp_path, caplog):
    write_series(tmp_path / "s", series_of(), edit=as_scanned)
    for file in sorted((tmp_path / "s").iterdir()):
        (tmp_path / "s" / f"copy_{file.name}").write_bytes(file.read_bytes())

    found = read_volume(tmp_path / "s")

    np.testing.assert_array_equal(found.array, series_of().array)
    assert "6 of 12 files are copies" in caplog.text


def test_different_images_at_one_position_are_not_copies(tmp_path):
    for name, volume in (("a", series_of()), ("b", series_of(1, 900))):
        write_series(tmp_path / name, volume, series="1.2.3.77")
        for file in (tmp_path / name).iterdir():
            (tmp_path / "s").mkdir(exist_ok=True)
            file.rename(tmp_path / "s" / f"{name}{file.name}")

    with pytest.raises(InputError, match="12 slices at 6 positions"):
        read_volume(tmp_path / "s")


# --- files


@pytest.mark.parametrize("suffix", ["", ".dcm"])
def test_a_series_can_be_derived_from_files_without_a_preamble(tmp_path, suffix):
    write_series(tmp_path / "source", series_of(), edit=as_scanned)
    for file in sorted((tmp_path / "source").iterdir()):
        dataset = dcmread(file)
        del dataset.file_meta
        dataset.preamble = None
        file.unlink()
        dataset.save_as(file.with_name(file.name + suffix), implicit_vr=not suffix, little_endian=True)
    assert (sorted((tmp_path / "source").iterdir())[0]).read_bytes()[128:132] != b"DICM"

    source = read_volume(tmp_path / "source")

    np.testing.assert_array_equal(source.array, series_of().array)
    assert len(write_to(tmp_path, source)) == len(source.array)


@pytest.mark.parametrize(
    "change",
    [
        {"ImageType": ["ORIGINAL", "PRIMARY", "M", "VFRAME"]},
        {"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]},
        {"Manufacturer": "UIH", "private": True},
    ],
)
def test_mosaics_are_named_as_mosaics(tmp_path, change):
    def edit(_k, dataset):
        for name, value in change.items():
            if name == "private":
                dataset.private_block(0x0065, "Image Private Header", create=True).add_new(0x50, "DS", "36")
            else:
                setattr(dataset, name, value)

    write_series(tmp_path / "s", series_of(), edit=edit)

    with pytest.raises(InputError, match="mosaic"):
        read_volume(tmp_path / "s")


def test_the_mosaic_of_a_single_word_is_named_as_one(tmp_path):
    write_series(tmp_path / "s", series_of(), edit=lambda _k, dataset: setattr(dataset, "ImageType", "MOSAIC"))

    with pytest.raises(InputError, match="is a mosaic"):
        read_volume(tmp_path / "s")


def test_a_position_that_is_no_number_is_named(tmp_path):
    def edit(_k, dataset):
        dataset.add(RawDataElement(Tag(0x00200032), "DS", 12, b"1,5\\2,5\\3,5 ", 0, False, True))

    write_series(tmp_path / "s", series_of(), edit=edit)

    with pytest.raises(InputError, match="has no usable ImagePositionPatient in"):
        read_volume(tmp_path / "s")


def test_slices_at_a_single_position_are_counted(tmp_path):
    write_series(
        tmp_path / "s", series_of(), edit=lambda _k, dataset: setattr(dataset, "ImagePositionPatient", [1, 2, 3])
    )

    with pytest.raises(InputError, match="has 6 slices at 1 position, as in"):
        read_volume(tmp_path / "s")
