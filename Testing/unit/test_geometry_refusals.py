"""Impossible grids and scales are refused in one line that says what to do."""

from __future__ import annotations

import math

import numpy as np
import phantoms
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from messages import one_line

from ArSSRLib.errors import InputError
from ArSSRLib.geometry import VolumeGeometry, parse_scale, scale_for_spacing


@st.composite
def geometries(draw) -> VolumeGeometry:
    """Draw a grid with rotated axes; shear is the same for mirrored grids."""
    return VolumeGeometry(
        size=draw(st.tuples(*[st.integers(1, 300)] * 3)),
        spacing=draw(st.tuples(*[st.floats(0.05, 12)] * 3)),
        direction=phantoms.rotation(*draw(st.tuples(*[st.integers(-180, 180)] * 3))),
    )


# --- refusals


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", "abc"),
        ("size", None),
        ("size", (5.0, 4.0, 3.0)),
        ("spacing", 1.0),
        ("spacing", (1, 1)),
        ("spacing", ("1", "1", "2")),
        ("spacing", (1, (1, 2), 3)),
        ("origin", (0, 0)),
        ("direction", np.eye(3)),
        ("direction", (1, 0, 0, 0, 1, 0)),
        ("direction", None),
    ],
)
def test_a_property_in_another_form_is_named(name, value):
    with pytest.raises(InputError, match=f"The {name} of a grid must be .* numbers") as error:
        VolumeGeometry(**{"size": (5, 4, 3), "spacing": (1.0, 1.0, 2.0), name: value})

    assert one_line(error)


def test_lists_and_arrays_of_numbers_are_accepted():
    grid = VolumeGeometry(np.array([5, 4, 3]), [1, 1, np.float32(2)], np.zeros(3), np.eye(3).ravel())

    assert grid.upsampled((1, 1, 2)).size == (5, 4, 6)


@pytest.mark.parametrize("scale", [0, -2, 0.5, 0.999, (2, 2, 0.5)])
def test_a_scale_below_1_is_refused(oblique_geometry, scale):
    with pytest.raises(InputError, match="at least 1") as error:
        oblique_geometry.upsampled(scale)

    assert one_line(error)


@pytest.mark.parametrize("scale", [math.nan, math.inf, -math.inf, (2, math.nan, 2)])
def test_a_nonfinite_scale_is_refused(oblique_geometry, scale):
    with pytest.raises(InputError, match="finite") as error:
        oblique_geometry.upsampled(scale)

    assert one_line(error)


@pytest.mark.parametrize("scale", [1e9, 1e308, (1e9, 1, 1)])
def test_an_excessive_scale_is_refused_with_the_size_of_its_result(oblique_geometry, scale):
    with pytest.raises(InputError, match="choose a smaller scale") as error:
        oblique_geometry.upsampled(scale)

    assert "GB" in one_line(error)


@pytest.mark.parametrize("scale", [(), (2, 2), (2, 2, 2, 2)])
def test_a_scale_of_two_factors_is_refused(oblique_geometry, scale):
    with pytest.raises(InputError, match=rf"got {len(scale)}") as error:
        oblique_geometry.upsampled(scale)

    assert one_line(error)


@pytest.mark.parametrize("scale", [2, 2.0, np.float32(2), np.int64(2), [2], (2, 2, 2), np.array([2, 2, 2])])
def test_a_scale_can_be_any_numeric_type(oblique_geometry, scale):
    assert oblique_geometry.upsampled(scale).size == (40, 36, 18)


@given(geometry=geometries(), axes=st.permutations(range(3)), degrees=st.floats(0.2, 60))
def test_a_sheared_affine_is_refused(geometry, axes, degrees):
    affine = geometry.ras_affine
    first, second = affine[:3, axes[0]].copy(), affine[:3, axes[1]]
    sheared = second / np.linalg.norm(second) + np.tan(np.radians(degrees)) * first / np.linalg.norm(first)
    affine[:3, axes[1]] = sheared * np.linalg.norm(second)

    with pytest.raises(InputError, match="sheared") as error:
        VolumeGeometry.from_ras_affine(geometry.size, affine)

    assert one_line(error)


@given(geometry=geometries())
def test_rounding_of_a_header_to_single_precision_is_not_mistaken_for_shear(geometry):
    assume(max(geometry.spacing) / min(geometry.spacing) < 1e3)

    again = VolumeGeometry.from_ras_affine(geometry.size, geometry.ras_affine.astype(np.float32))

    np.testing.assert_allclose(again.spacing, geometry.spacing, rtol=1e-5)


@pytest.mark.parametrize(
    "columns",
    [
        pytest.param(np.diag([1.0, 1.0, 0.0]), id="zero axis"),
        pytest.param(np.zeros((3, 3)), id="all zero"),
        pytest.param(np.ones((3, 3)), id="parallel axes"),
        pytest.param(np.diag([1.0, 1e-320, 1.0]), id="spacing that is no normal number"),
    ],
)
def test_a_singular_affine_is_refused(columns):
    affine = np.eye(4)
    affine[:3, :3] = columns

    with pytest.raises(InputError, match="singular") as error:
        VolumeGeometry.from_ras_affine((4, 4, 4), affine)

    assert one_line(error)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e200])
@pytest.mark.parametrize("element", [(0, 0), (1, 0)])
def test_a_nonfinite_affine_is_refused(value, element):
    affine = np.eye(4)
    affine[element] = value

    with pytest.raises(InputError, match="not finite") as error:
        VolumeGeometry.from_ras_affine((4, 4, 4), affine)

    assert one_line(error)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_nonfinite_origin_is_refused(value):
    affine = np.eye(4)
    affine[0, 3] = value

    with pytest.raises(InputError, match="not finite"):
        VolumeGeometry.from_ras_affine((4, 4, 4), affine)


@pytest.mark.parametrize("size", [(0, 4, 4), (4, -1, 4), (4, 4)])
def test_an_empty_grid_is_refused(size):
    with pytest.raises(InputError, match="at least one voxel") as error:
        VolumeGeometry(size, (1.0, 1.0, 1.0))

    assert one_line(error)


@pytest.mark.parametrize("spacing", [(1, 1, 0), (1, -1, 1), (math.nan, 1, 1), (math.inf, 1, 1)])
def test_an_unusable_spacing_is_refused(spacing):
    with pytest.raises(InputError, match="correct the header") as error:
        VolumeGeometry((4, 4, 4), spacing)

    assert one_line(error)


@pytest.mark.parametrize("scale", ["abc", ["a", "b", "c"], {}, [[1, 1, 2]], np.ones((3, 1))])
def test_a_scale_that_is_not_a_number_is_refused(scale):
    with pytest.raises(InputError, match="Scale must be one") as error:
        parse_scale(scale)

    assert one_line(error)


@pytest.mark.parametrize("spacing", ["abc", None, [[1, 1, 1]], ["a", 1, 1], object(), {}])
def test_a_target_spacing_in_another_form_is_refused(oblique_geometry, spacing):
    with pytest.raises(InputError, match="Spacing must be one positive length in mm") as error:
        scale_for_spacing(oblique_geometry, spacing)

    assert one_line(error)


def test_numbers_of_any_numeric_type_are_a_target_spacing(oblique_geometry):
    assert scale_for_spacing(oblique_geometry, np.array(0.1)) == scale_for_spacing(oblique_geometry, [0.1] * 3)


@pytest.mark.parametrize("affine", [None, np.eye(3), "abc", np.eye(4).astype(str)])
def test_an_affine_in_another_form_is_refused(affine):
    with pytest.raises(InputError, match="affine of a grid must be a 4 x 4 matrix") as error:
        VolumeGeometry.from_ras_affine((5, 4, 3), affine)

    assert one_line(error)
