"""A derived DICOM series: its voxels and geometry, and that it is written completely or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the name everyone knows it by
from derived_series import DERIVATION, SHA256, write_to
from dicom_series import write_series
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, RawDataStorage

from ArSSRLib.errors import InputError, OutputError
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.io import (
    Derivation,
    find_series,
    read_volume,
    validate_series_folder,
    validate_series_source,
    write_derived_series,
)
from ArSSRLib.volume import FileHeader, Volume

# --- voxels and geometry


def test_the_series_is_read_back_as_the_written_volume(tmp_path, result, written, capfd):
    again = read_volume(tmp_path / "out")

    np.testing.assert_array_equal(again.array, result.array)
    np.testing.assert_allclose(again.geometry.corners(), result.geometry.corners(), atol=1e-6)
    assert again.array.dtype == np.int16
    assert capfd.readouterr() == ("", "")


def test_another_reader_finds_the_same_grid_and_voxels(tmp_path, result, written):
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "out")))
    image = reader.Execute()

    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), result.array)
    np.testing.assert_allclose(image.GetOrigin(), result.geometry.origin, atol=1e-6)
    np.testing.assert_allclose(image.GetSpacing(), result.geometry.spacing, atol=1e-6)
    np.testing.assert_allclose(image.GetDirection(), result.geometry.direction, atol=1e-6)


def test_each_slice_states_its_position_and_its_spacings_in_order(result, written):
    spacing = result.geometry.spacing
    affine = result.geometry.affine
    for k, dataset in enumerate(written):
        np.testing.assert_allclose(dataset.ImagePositionPatient, (affine @ [0, 0, k, 1])[:3], atol=1e-9)
        np.testing.assert_allclose(dataset.PixelSpacing, [spacing[1], spacing[0]], atol=1e-9)
        np.testing.assert_allclose([dataset.SliceThickness, dataset.SpacingBetweenSlices], spacing[2], atol=1e-9)
        assert dataset.InstanceNumber == k + 1


def test_a_left_handed_volume_keeps_its_position(tmp_path, left_handed_geometry):
    base = Volume(np.zeros((9, 18, 20), np.int16), VolumeGeometry((20, 18, 9), (1, 1, 2)))
    write_series(tmp_path / "source", base)
    noise = np.random.default_rng(1).integers(0, 4000, left_handed_geometry.shape).astype(np.int16)

    write_to(tmp_path, Volume(noise, left_handed_geometry))
    again = read_volume(tmp_path / "out")

    np.testing.assert_array_equal(again.array[::-1], noise)
    first, last = ((left_handed_geometry.affine @ [0, 0, k, 1])[:3] for k in (0, len(noise) - 1))
    np.testing.assert_allclose(again.geometry.origin, last, atol=1e-6)
    np.testing.assert_allclose((again.geometry.affine @ [0, 0, len(noise) - 1, 1])[:3], first, atol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "low", "high", "representation"),
    [(np.int16, -32768, 32767, 1), (np.uint16, 0, 65535, 0), (np.uint8, 0, 255, 0), (np.int32, -1024, 3000, 1)],
)
def test_16_bit_integers_are_stored_exactly(tmp_path, source, dtype, low, high, representation):
    array = np.linspace(low, high, source.array.size).round().astype(dtype).reshape(source.array.shape)
    volume = Volume(array, source.geometry, FileHeader(dtype=np.dtype(dtype)))

    datasets = write_to(tmp_path, volume)

    np.testing.assert_array_equal(read_volume(tmp_path / "out").array, array)
    assert {dataset.PixelRepresentation for dataset in datasets} == {representation}
    assert all(dataset.BitsAllocated == 16 and "RescaleSlope" not in dataset for dataset in datasets)


def test_intensities_of_the_engine_are_rounded_to_the_type_of_the_source(tmp_path, source, result):
    write_to(tmp_path, result.with_array(np.full(result.array.shape, 12.6, np.float32)))

    np.testing.assert_array_equal(read_volume(tmp_path / "out").array, 13)


@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [(-3.7, 912.3, np.float32), (0, 1e-7, np.float64), (-1e9, 1e9, np.float64), (7.25, 7.25, np.float32)],
)
def test_floating_point_numbers_are_stored_in_steps_of_the_stated_slope(tmp_path, source, low, high, dtype):
    array = np.linspace(low, high, source.array.size).astype(dtype).reshape(source.array.shape)

    datasets = write_to(tmp_path, Volume(array, source.geometry))

    slope, intercept = float(datasets[0].RescaleSlope), float(datasets[0].RescaleIntercept)
    stored = np.stack([dataset.pixel_array for dataset in datasets])
    assert np.abs(stored * slope + intercept - array.astype(float)).max() <= 0.51 * slope
    assert slope <= max(high - low, 65535 * (high == low)) / 65535 * (1 + 1e-6)
    np.testing.assert_allclose(read_volume(tmp_path / "out").array, stored * slope + intercept, rtol=1e-6, atol=1e-12)


def test_nonfinite_voxels_are_refused(tmp_path, source):
    array = np.full(source.array.shape, np.nan, np.float32)

    with pytest.raises(OutputError, match=r"out: has voxels that are NaN or infinite, .*\.nii\.gz"):
        write_to(tmp_path, Volume(array, source.geometry))
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


# --- refusals


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda _k, d: setattr(d, "Modality", "CT"), "comes from CT, .* only be made from MR images; write .nii.gz"),
        (lambda _k, d: setattr(d, "SOPClassUID", CTImageStorage), "comes from MR of the kind CT Image Storage"),
        (lambda _k, d: setattr(d, "SOPClassUID", RawDataStorage), "comes from MR of the kind Raw Data Storage"),
        (lambda _k, d: delattr(d, "StudyInstanceUID"), "without StudyInstanceUID"),
        (lambda _k, d: delattr(d, "SOPInstanceUID"), "without SOPInstanceUID"),
    ],
)
def test_a_source_that_cannot_have_a_derived_mr_series_is_refused(tmp_path, oblique_geometry, edit, told):
    base = Volume(np.zeros(oblique_geometry.shape, np.int16), oblique_geometry)
    write_series(tmp_path / "source", base, edit=edit)

    with pytest.raises(InputError, match=told):
        validate_series_source(tmp_path / "source")
    with pytest.raises(InputError, match=told):
        write_to(tmp_path, base)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_sources_of_two_series_are_refused(tmp_path, result):
    write_series(tmp_path / "other", result)
    files = [*find_series(tmp_path / "source"), *find_series(tmp_path / "other")]

    with pytest.raises(InputError, match="sources from 2 series"):
        write_derived_series(result, tmp_path / "out", sources=files, derivation=DERIVATION)


def test_a_volume_without_a_dicom_source_is_refused(tmp_path, result):
    with pytest.raises(InputError, match="has no source images"):
        write_derived_series(result, tmp_path / "out", sources=[], derivation=DERIVATION)


@pytest.mark.parametrize(("sha256", "scale"), [("", (2, 2, 2)), ("g" * 64, (2, 2, 2)), (SHA256, (0.5, 1, 1))])
def test_an_incomplete_description_of_the_algorithm_is_refused(sha256, scale):
    with pytest.raises(InputError):
        Derivation("arssr2", sha256, scale)


@pytest.mark.parametrize(("scale", "label"), [((2, 2, 2), "ArSSR 2x"), ((1, 1, 4.5), "ArSSR 1x1x4.5")])
def test_the_label_states_the_scale(scale, label):
    assert replace(DERIVATION, scale=scale).label == label


# --- all or nothing


def test_a_folder_with_other_files_is_never_replaced(tmp_path, result):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")

    with pytest.raises(OutputError, match="contains 1 file; choose a new folder"):
        write_to(tmp_path, result)
    with pytest.raises(OutputError, match="files other than those of a series written by ArSSR, such as notes"):
        write_to(tmp_path, result, overwrite=True)
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"


def test_an_earlier_result_is_replaced_as_a_whole_when_allowed(tmp_path, source, result, written):
    again = write_to(tmp_path, source, overwrite=True)

    assert len(again) == len(source.array) < len(written)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "source"]


def test_nothing_is_written_to_the_folder_of_the_input(tmp_path, result, written):
    with pytest.raises(OutputError, match="is the folder of the input"):
        validate_series_folder(tmp_path / "out", overwrite=True, source=tmp_path / "out")
    with pytest.raises(OutputError, match="is the folder of the input"):
        validate_series_folder(tmp_path / "out", overwrite=True, source=tmp_path / "out" / "ArSSR_0001.dcm")


def test_an_empty_folder_is_used(tmp_path, result):
    (tmp_path / "out").mkdir()

    assert len(write_to(tmp_path, result)) == len(result.array)


def test_a_failure_midway_leaves_nothing_and_keeps_existing_files(tmp_path, result, written, monkeypatch):
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    save = Dataset.save_as

    def fail_at_the_fifth(dataset, path, **options):
        if path.name == "ArSSR_0005.dcm":
            raise OSError(28, "No space left on device")
        save(dataset, path, **options)

    monkeypatch.setattr(Dataset, "save_as", fail_at_the_fifth)
    for name, options in (("out", {"overwrite": True}), ("new", {})):
        with pytest.raises(OutputError, match="No space left"):
            write_to(tmp_path, result, name=name, **options)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "source"]
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_a_series_that_cannot_be_renamed_keeps_the_old_one(tmp_path, source, written, monkeypatch):
    move, failures = Path.replace, iter([OSError(16, "Device or resource busy")])

    def fail_once(path, target):
        if Path(target).name == "out" and (failure := next(failures, None)):
            raise failure
        return move(path, target)

    monkeypatch.setattr(Path, "replace", fail_once)
    with pytest.raises(OutputError, match="busy"):
        write_to(tmp_path, source, overwrite=True)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "source"]
    assert len(list((tmp_path / "out").iterdir())) == len(written)


def test_a_folder_that_is_a_file_or_has_no_parent_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")

    with pytest.raises(OutputError, match="is a file; specify a new folder"):
        validate_series_folder(tmp_path / "file", overwrite=True)
    with pytest.raises(OutputError, match="is not an existing folder"):
        validate_series_folder(tmp_path / "missing" / "out", overwrite=False)
