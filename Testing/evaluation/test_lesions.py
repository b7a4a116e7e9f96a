"""Lesions: region and surround of each, by distances in mm, and the fraction of the contrast that a result keeps."""

import math

import numpy as np
import pytest

from ArSSRLib.evaluation.lesions import GIVEN, MARGIN, SURROUND, contrast_recovery, lesions_of

SPACING = (0.8, 1.0, 1.5)
SHAPE = (24, 26, 28)
ANATOMY = np.ones(SHAPE, bool)


def two_lesions():
    mask = np.zeros(SHAPE, bool)
    mask[8:10, 6:8, 7:9] = mask[15, 19:21, 20] = True
    return mask


def distances_to(mask):
    """Return the distance of each voxel to the nearest of a mask, in mm, by comparing all of them."""
    voxels = np.indices(SHAPE).reshape(3, -1).T * SPACING[::-1]
    inside = np.argwhere(mask) * SPACING[::-1]
    return np.linalg.norm(voxels[:, None] - inside, axis=-1).min(axis=1).reshape(SHAPE)


@pytest.fixture
def lesions():
    return lesions_of(two_lesions(), ANATOMY, SPACING, GIVEN)


@pytest.fixture
def truth(lesions):
    """Return a volume of 500 with one dark and one bright lesion."""
    return np.choose(lesions.labels, [500.0, 350.0, 700.0]).astype(np.float32)


def test_the_region_is_the_lesions_and_two_millimeters(lesions):
    np.testing.assert_array_equal(lesions.region, distances_to(two_lesions()) <= MARGIN)


def test_the_surround_is_anatomy_off_the_nearest_lesion():
    anatomy = np.zeros(SHAPE, bool)
    anatomy[:, 3:, :] = True
    first, second = two_lesions(), two_lesions()
    first[12:], second[:12] = False, False

    lesions = lesions_of(two_lesions(), anatomy, SPACING, GIVEN)

    one, other = distances_to(first), distances_to(second)
    about = anatomy & (np.minimum(one, other) > MARGIN) & (np.minimum(one, other) <= SURROUND)
    np.testing.assert_array_equal(lesions.surround, np.where(about, np.where(one < other, 1, 2), 0))


def test_voxels_that_touch_at_a_corner_are_one_lesion():
    mask = np.zeros(SHAPE, bool)
    mask[5, 5, 5] = mask[6, 6, 6] = mask[9, 9, 9] = True

    assert lesions_of(mask, ANATOMY, SPACING, GIVEN).count == 2


def test_an_empty_mask_has_no_lesions():
    assert lesions_of(np.zeros(SHAPE, bool), ANATOMY, SPACING, GIVEN) is None


@pytest.mark.parametrize("kept", [1.0, 0.5, 0.0, -1.0, 1.5])
def test_the_recovery_is_the_part_of_the_contrast_that_is_kept(truth, lesions, kept):
    result = (500 + kept * (truth - 500)).astype(np.float32)

    assert contrast_recovery(truth, result, lesions) == pytest.approx(kept)


def test_brightness_decides_nothing(truth, lesions):
    assert contrast_recovery(truth, truth + np.float32(80), lesions) == pytest.approx(1)


def test_each_lesion_counts_by_its_contrast_and_not_by_its_size(truth, lesions):
    result = np.where(lesions.labels == 2, np.float32(500), truth)

    assert contrast_recovery(truth, result, lesions) == pytest.approx(150 / (150 + 200))


def test_a_lesion_without_a_surround_does_not_count(truth):
    anatomy = ANATOMY.copy()
    anatomy[:, :14] = False
    lesions = lesions_of(two_lesions(), anatomy, SPACING, GIVEN)
    result = np.where(lesions.labels == 1, np.float32(500), truth)

    assert contrast_recovery(truth, result, lesions) == pytest.approx(1)


def test_without_a_contrast_there_is_nothing_to_recover(lesions):
    flat = np.full(SHAPE, 500, np.float32)

    assert math.isnan(contrast_recovery(flat, flat, lesions))
