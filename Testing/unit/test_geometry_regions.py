"""A box of a grid: its voxels keep their positions in the patient."""

from __future__ import annotations

import numpy as np
import phantoms
import pytest
from hypothesis import given
from hypothesis import strategies as st
from messages import one_line

from ArSSRLib.errors import InputError
from ArSSRLib.geometry import VolumeGeometry, parse_region

FORMS = [
    None,
    7,
    "abc",
    (1, 2, 3),
    ((0, 1), (0, 1)),
    ((0, 1),) * 4,
    ((0, 1, 2),) * 3,
    ((0.5, 1), (0, 1), (0, 1)),
    (("0", 1), (0, 1), (0, 1)),
]
BOXES = [
    ((0, 0), (0, 1), (0, 1)),
    ((2, 1), (0, 1), (0, 1)),
    ((-1, 3), (0, 1), (0, 1)),
    ((0, 1), (0, 1), (0, 10)),
    ((0, 1), (0, 19), (0, 1)),
]


@given(data=st.data())
def test_every_voxel_of_a_crop_keeps_its_position(oblique_geometry, left_handed_geometry, data):
    geometry = data.draw(st.sampled_from([oblique_geometry, left_handed_geometry]))
    start = [data.draw(st.integers(0, n - 1)) for n in geometry.size]
    size = [data.draw(st.integers(1, n - first)) for n, first in zip(geometry.size, start, strict=True)]

    cropped = geometry.cropped(start, size)

    i, j, k = (slice(first, first + count) for first, count in zip(start, size, strict=True))
    assert cropped.size == tuple(size)
    np.testing.assert_allclose(phantoms.positions(cropped), phantoms.positions(geometry)[k, j, i], atol=1e-9)


def test_a_crop_of_the_whole_grid_equals_the_grid(oblique_geometry):
    assert oblique_geometry.cropped((0, 0, 0), oblique_geometry.size) == oblique_geometry


@pytest.mark.parametrize(
    ("start", "size"), [((0, 0, 9), (1, 1, 1)), ((0, 0, 0), (21, 1, 1)), ((0, 0, 0), (1, 1, 0)), ((0, 0), (1, 1))]
)
def test_a_crop_beyond_the_grid_is_refused(oblique_geometry, start, size):
    with pytest.raises(InputError) as error:
        oblique_geometry.cropped(start, size)

    assert one_line(error)


@pytest.mark.parametrize("region", FORMS, ids=str)
def test_a_malformed_region_is_refused(region):
    with pytest.raises(InputError, match="three pairs of voxel numbers") as error:
        parse_region(region, (20, 18, 9))

    assert one_line(error)


@pytest.mark.parametrize("region", BOXES, ids=str)
def test_a_region_that_is_empty_or_beyond_the_grid_is_refused_with_the_size_of_the_grid(region):
    with pytest.raises(InputError, match="extends beyond the grid of 20 x 18 x 9 voxels") as error:
        parse_region(region, (20, 18, 9))

    assert one_line(error)


def test_a_region_can_have_any_integer_type():
    region = parse_region(
        np.array([[1, 20], [0, 18], [3, 4]], dtype=np.int16), VolumeGeometry((20, 18, 9), (1, 1, 1)).size
    )

    assert region == ((1, 20), (0, 18), (3, 4))
    assert all(type(edge) is int for pair in region for edge in pair)
