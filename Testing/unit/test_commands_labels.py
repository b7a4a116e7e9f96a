"""Label maps are distinguished from images."""

from __future__ import annotations

import numpy as np
import phantoms
import pytest

from ArSSRLib.commands.labels import label_count


def parcellation(count, dtype):
    """Return cubes with edges of 4 voxels and different labels on a background."""
    blocks = np.arange(1, count + 1).reshape(5, 5, -1) * 7
    return np.pad(np.kron(blocks, np.ones((4, 4, 4))), 4).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_a_segmentation_is_a_label_map_in_any_type(oblique_geometry, dtype):
    assert label_count(phantoms.labels(oblique_geometry).array.astype(dtype)) == 4


def test_a_mask_is_a_label_map():
    array = np.zeros((12, 12, 12), dtype=bool)
    array[4:8, 4:8, 4:8] = True

    assert label_count(array) == 2


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_a_parcellation_of_hundreds_of_regions_is_a_label_map(dtype):
    assert label_count(parcellation(150, dtype)) == 151


def test_an_image_of_integers_is_not_a_label_map():
    array = np.random.default_rng(1).normal(400, 60, size=(24, 24, 24)).astype(np.int16)

    assert label_count(array) == 0


def test_a_smooth_8_bit_image_is_not_a_label_map(phantom):
    array = np.round(phantom.array / phantom.array.max() * 255).astype(np.uint8)

    assert label_count(array) == 0


def test_an_image_of_floating_point_numbers_is_not_a_label_map(phantom):
    assert label_count(phantom.array) == 0


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan])
def test_a_constant_volume_is_not_a_label_map(value):
    assert label_count(np.full((8, 8, 8), value, dtype=np.float32)) == 0


def test_few_voxels_are_not_a_label_map():
    assert label_count(np.arange(27, dtype=np.int16).reshape(3, 3, 3)) == 0
