"""A volume becomes ground truth as the protocol specifies, with the name of its subject."""

import dataclasses
import re

import numpy as np
import pytest
from evaluation.tables import protocol_of, rough, write_subject
from scipy import ndimage

from ArSSRLib.errors import InputError
from ArSSRLib.evaluation.ground_truth import crop_statement, lesion_statement, prepare_ground_truth, subject_name
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.io import read_volume, write_volume
from ArSSRLib.io.sources import Source, subject_of
from ArSSRLib.volume import Volume, hash_of


def source_of(path):
    return Source(path, subject_of(path))


@pytest.fixture
def source(tmp_path):
    array = np.zeros((40, 36, 32), np.float32)
    array[10:30, 8:30, 4:28] = rough()
    return source_of(write_subject(tmp_path / "sub-07_T1w.nii.gz", array=array))


def test_without_a_crop_the_truth_is_the_volume(source, tmp_path):
    truth = prepare_ground_truth(source, protocol_of(tmp_path))

    stored = read_volume(source.path)
    np.testing.assert_array_equal(truth.volume.array, stored.array)
    assert truth.volume.geometry == stored.geometry
    assert truth.voxel_hash == hash_of(stored.array)


def test_the_mask_and_a_margin_are_kept_where_they_were(source, tmp_path):
    truth = prepare_ground_truth(source, protocol_of(tmp_path, crop="mask", crop_margin=3))

    where = np.argwhere(prepare_ground_truth(source, protocol_of(tmp_path)).mask)
    first, last = where.min(axis=0) - 3, where.max(axis=0) + 4
    stored = read_volume(source.path)
    k, j, i = (slice(max(0, a), b) for a, b in zip(first, last, strict=True))
    np.testing.assert_array_equal(truth.volume.array, stored.array[k, j, i])
    corner = stored.geometry.affine @ [i.start, j.start, k.start, 1]
    np.testing.assert_allclose(truth.volume.geometry.origin, corner[:3])
    assert truth.mask.shape == truth.volume.array.shape


def test_a_size_crops_about_the_middle_and_never_pads(source, tmp_path):
    truth = prepare_ground_truth(source, protocol_of(tmp_path, crop_size=(12, 99, 10)))

    np.testing.assert_array_equal(truth.volume.array, read_volume(source.path).array[15:25, :, 10:22])


def test_a_spacing_resamples_in_the_same_field_of_view(source, tmp_path):
    geometry = prepare_ground_truth(source, protocol_of(tmp_path, spacing=2.0)).volume.geometry

    assert geometry.size == (16, 18, 20)
    np.testing.assert_allclose(geometry.corners(), read_volume(source.path).geometry.corners(), atol=1e-9)


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.full((12, 12, 12), 3.0, np.float32), "shows nothing, because all its voxels are equal"),
        (rough(shape=(12, 12, 6)), "has 6 x 12 x 12 voxels after cropping, but at least 8"),
    ],
)
def test_a_volume_that_cannot_be_a_truth_is_refused(tmp_path, array, reason):
    source = source_of(write_subject(tmp_path / "a.nii.gz", array=array))

    with pytest.raises(InputError, match=reason):
        prepare_ground_truth(source, protocol_of(tmp_path))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "not at all"),
        ({"crop": "mask", "crop_margin": 4}, "bounding box of its mask and 4 voxels on every side"),
        ({"crop_size": (8, 9, 10)}, r"to at most 8 x 9 x 10 voxels \(i, j, k\)"),
    ],
)
def test_the_crop_is_described(tmp_path, changes, words):
    assert re.search(words, crop_statement(protocol_of(tmp_path, **changes)))


@pytest.fixture
def with_lesions(source, tmp_path):
    """Return a source with a mask of lesions: a large cuboid, and a voxel in the air."""
    mask = np.zeros((40, 36, 32), np.uint8)
    mask[17:23, 16:22, 14:21] = mask[0, 0, 0] = 1
    path = write_subject(tmp_path / "mask.nii.gz", array=mask)
    return dataclasses.replace(source, lesions=path)


def test_a_mask_of_lesions_is_cropped_with_its_volume(with_lesions, tmp_path):
    truth = prepare_ground_truth(with_lesions, protocol_of(tmp_path, crop_size=(12, 99, 10)))

    expected = read_volume(with_lesions.lesions).array[15:25, :, 10:22] > 0
    np.testing.assert_array_equal(truth.lesions.labels > 0, expected)
    assert (truth.lesions.name, truth.lesions.count) == ("lesions", 1)
    np.testing.assert_array_equal(truth.volume.array, read_volume(with_lesions.path).array[15:25, :, 10:22])


def test_a_mask_of_lesions_is_resampled_with_its_volume(with_lesions, tmp_path):
    truth = prepare_ground_truth(with_lesions, protocol_of(tmp_path, spacing=0.8))

    mask = read_volume(with_lesions.lesions).array.astype(np.float64)
    lines = [(np.arange(n) + 0.5) * old / n - 0.5 for n, old in zip(truth.mask.shape, mask.shape, strict=True)]
    linear = ndimage.map_coordinates(mask, np.meshgrid(*lines, indexing="ij"), order=1, mode="nearest")
    np.testing.assert_array_equal(truth.lesions.labels > 0, linear > 0.5)


def test_a_mask_of_another_grid_is_refused_with_both(with_lesions, tmp_path):
    mask = read_volume(with_lesions.lesions)
    geometry = VolumeGeometry(mask.geometry.size, mask.geometry.spacing, (5.0, -3.0, 9.0))
    write_volume(Volume(mask.array, geometry), with_lesions.lesions, overwrite=True)

    with pytest.raises(
        InputError, match=r"mask\.nii\.gz, the lesion mask of sub-07_T1w\.nii\.gz, .*\(5\.00, -3\.00, 9\.00\)"
    ):
        prepare_ground_truth(with_lesions, protocol_of(tmp_path))


def test_synthetic_lesions_are_in_the_truth_and_the_same_under_any_name(tmp_path):
    paths = [write_subject(tmp_path / f"{name}.nii.gz", 3, spacing=(3.0, 3.0, 3.0)) for name in "ab"]

    one, other = (prepare_ground_truth(source_of(path), protocol_of(tmp_path, lesions="synthetic")) for path in paths)

    stored = read_volume(paths[0]).array
    darker = one.lesions.labels > 0
    assert darker.any()
    assert (one.volume.array[darker] < 0.9 * stored[darker]).all()
    assert one.lesions.name == "synthetic lesions"
    assert one.voxel_hash == hash_of(stored)
    np.testing.assert_array_equal(one.volume.array, other.volume.array)


def test_the_lesions_are_described(tmp_path):
    assert "synthetic, not of a patient" in lesion_statement(protocol_of(tmp_path, lesions="synthetic"))
    assert "2 mm around them" in lesion_statement(protocol_of(tmp_path))


@pytest.mark.parametrize(("name", "subject"), [("sub-01_T1w.nii.gz", "sub-01"), ("brain.one.nii.gz", "brain")])
def test_the_name_of_a_subject_has_no_suffix(tmp_path, name, subject):
    assert subject_name(source_of(tmp_path / name)) == subject
