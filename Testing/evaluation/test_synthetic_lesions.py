"""Synthetic lesions: their positions, their contrast, and reproducibility for a seed."""

import numpy as np
import pytest
from scipy import ndimage

from ArSSRLib.errors import InputError
from ArSSRLib.evaluation.lesions import SURROUND
from ArSSRLib.evaluation.synthetic_lesions import COUNT, DARKENING, EDGE, RADII, white_matter, with_synthetic_lesions

SPACING = (1.0, 1.25, 1.5)
SHAPE = (48, 56, 68)
CORE, WHITE = 20.0, 34.0  # radii in mm between which the phantom has white matter


def radius_of_voxels():
    steps = np.reshape(SPACING[::-1], (3, 1, 1, 1))
    middle = np.reshape([(n - 1) / 2 for n in SHAPE], (3, 1, 1, 1))
    return np.linalg.norm((np.indices(SHAPE) - middle) * steps, axis=0)


@pytest.fixture(scope="module")
def brain():
    """Return a shell of white matter between gray matter, in fluid, with noise, and a vessel that is brightest."""
    radius = radius_of_voxels()
    array = np.select([radius < CORE, radius < WHITE, radius < 38, radius < 40], [600.0, 900.0, 600.0, 200.0])
    noise = np.random.default_rng(5).normal(1, 0.05, SHAPE)
    noise[24:27, 20:22, 20:48] = 9.0
    return (array * noise).astype(np.float32)


@pytest.fixture(scope="module")
def made(brain):
    return with_synthetic_lesions(brain, brain > 0, SPACING, 7)


def test_white_matter_is_the_brightest_tissue_despite_noise_and_vessels(brain):
    found, radius = white_matter(brain, brain > 0, SPACING), radius_of_voxels()

    expected = (radius > CORE) & (radius < WHITE)
    clear = np.abs(radius - WHITE) > 1.5
    assert (found == expected)[clear & (np.abs(radius - CORE) > 1.5)].mean() > 0.995


def test_the_same_seed_gives_the_same_lesions_and_another_gives_others(brain, made):
    again = with_synthetic_lesions(brain, brain > 0, SPACING, 7)
    other = with_synthetic_lesions(brain, brain > 0, SPACING, 8)

    np.testing.assert_array_equal(again[0], made[0])
    assert (other[1] != made[1]).any()


def test_they_are_apart_and_have_the_sizes_that_are_promised(made):
    labels, count = ndimage.label(made[1])

    assert 3 <= count <= COUNT
    for box in ndimage.find_objects(labels):
        extent = [(part.stop - part.start) * step for part, step in zip(box, SPACING[::-1], strict=True)]
        assert max(extent) <= 2 * RADII[1] + max(SPACING)
        assert min(extent) >= 2 * RADII[0] - max(SPACING)


def test_they_lie_deep_in_white_matter(made):
    _, lesions, white = made
    depth = ndimage.distance_transform_edt(white, sampling=SPACING[::-1])
    labels, count = ndimage.label(lesions)

    for label in range(1, count + 1):
        center = tuple(np.round(ndimage.center_of_mass(labels == label)).astype(int))
        radius = np.cbrt((labels == label).sum() * np.prod(SPACING) * 3 / (4 * np.pi))
        assert depth[center] >= 0.7 * radius


def test_they_have_room_for_a_surround_up_to_the_border(brain):
    half = brain > 0
    half[:, :, 34:] = False  # the border of the anatomy cuts through white matter

    _, lesions, _ = with_synthetic_lesions(brain, half, SPACING, 7)

    off = ndimage.distance_transform_edt(half, sampling=SPACING[::-1])
    assert off[lesions].min() >= SURROUND


def test_each_is_darker_by_a_quarter_to_a_half_and_its_surface_by_half_of_that(brain, made):
    array, lesions, _ = made
    loss = np.where(brain > 0, 1 - array / np.where(brain > 0, brain, 1), 0)
    labels, count = ndimage.label(ndimage.binary_dilation(lesions, iterations=1))

    for label in range(1, count + 1):
        here = labels == label
        most = loss[here].max()
        assert DARKENING[0] - 1e-3 <= most <= DARKENING[1] + 1e-3
        np.testing.assert_array_equal(lesions[here], loss[here] >= most / 2 - 1e-5)


def test_nothing_changes_beyond_the_edge(brain, made):
    array, lesions, _ = made
    off = ndimage.distance_transform_edt(~lesions, sampling=SPACING[::-1])

    # A voxel inside may be up to one voxel away from the surface.
    far = off > EDGE / 2 + np.linalg.norm(SPACING)
    np.testing.assert_array_equal(array[far], brain[far])


def test_without_space_for_lesions_the_message_says_what_to_do():
    array = np.full((12, 12, 12), 500, np.float32)

    with pytest.raises(InputError, match=r"no space for a synthetic lesion in 1728 voxels .* --set lesions="):
        with_synthetic_lesions(array, array > 0, (1.0, 1.0, 1.0), 0)
