"""Positions of voxels in the patient: the field of view is kept for every size, orientation and scale."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import phantoms
import pytest
from hypothesis import given
from hypothesis import strategies as st
from messages import one_line

from ArSSRLib.errors import InputError
from ArSSRLib.geometry import (
    LPS_TO_RAS,
    VolumeGeometry,
    scale_for_isotropic,
    scale_for_size,
    scale_for_spacing,
)

TOLERANCE_MM = 1e-6
# Signed permutations of the axes, which also create left-handed orientations.
ANGLES = st.integers(-180, 180)
SPACINGS = st.floats(0.05, 12)
SCALES = st.one_of(st.floats(1, 9), st.sampled_from([1, 1.5, 2, 2.5, 3, 4, 10 / 3]))


def triples(elements):
    return st.tuples(elements, elements, elements)


@st.composite
def directions(draw) -> tuple[float, ...]:
    rotation = np.reshape(phantoms.rotation(*draw(triples(ANGLES))), (3, 3))
    axes = rotation[:, draw(st.permutations(range(3)))] * draw(triples(st.sampled_from([-1, 1])))
    return tuple(axes.ravel().tolist())


@st.composite
def geometries(draw) -> VolumeGeometry:
    return VolumeGeometry(
        size=draw(triples(st.integers(1, 300))),
        spacing=draw(triples(SPACINGS)),
        origin=draw(triples(st.floats(-500, 500))),
        direction=draw(directions()),
    )


def corners_by_hand(geometry: VolumeGeometry) -> np.ndarray:
    """Return the outer corners, computed one by one from ITK's definition."""
    axes = np.reshape(geometry.direction, (3, 3))
    corners = []
    for ends in itertools.product((0, 1), repeat=3):
        index = [-0.5 if end == 0 else n - 0.5 for end, n in zip(ends, geometry.size, strict=True)]
        steps = [axes[:, n] * geometry.spacing[n] * index[n] for n in range(3)]
        corners.append(np.array(geometry.origin) + steps[0] + steps[1] + steps[2])
    return np.array(corners)


# --- upsampled


@given(geometry=geometries(), scale=triples(SCALES))
def test_upsampled_grid_fills_the_same_field_of_view(geometry, scale):
    upsampled = geometry.upsampled(scale)

    np.testing.assert_allclose(corners_by_hand(upsampled), corners_by_hand(geometry), rtol=0, atol=TOLERANCE_MM)


@given(geometry=geometries(), scale=SCALES)
def test_one_factor_applies_to_every_axis(geometry, scale):
    assert geometry.upsampled(scale) == geometry.upsampled((scale, scale, scale))


@given(geometry=geometries(), scale=triples(SCALES))
def test_upsampled_size_is_scale_times_size_rounded(geometry, scale):
    upsampled = geometry.upsampled(scale)

    for new, old, factor in zip(upsampled.size, geometry.size, scale, strict=True):
        assert abs(new - Fraction(factor) * old) <= Fraction(1, 2) + Fraction(1, 10**9)


@given(size=triples(st.integers(1, 500)), eighths=triples(st.integers(8, 80)))
def test_a_half_voxel_is_rounded_up(size, eighths):
    upsampled = VolumeGeometry(size, (1.0, 1.0, 1.0)).upsampled([n / 8 for n in eighths])

    assert upsampled.size == tuple((2 * e * n + 8) // 16 for e, n in zip(eighths, size, strict=True))


@given(geometry=geometries(), scale=triples(SCALES))
def test_each_axis_has_its_own_factor(geometry, scale):
    sizes = [geometry.upsampled(factor).size[axis] for axis, factor in enumerate(scale)]

    assert geometry.upsampled(scale).size == tuple(sizes)


@given(geometry=geometries())
def test_scale_1_changes_nothing(geometry):
    assert geometry.upsampled(1) == geometry


@given(geometry=geometries(), scale=triples(SCALES))
def test_upsampled_grid_keeps_the_direction(geometry, scale):
    assert geometry.upsampled(scale).direction == geometry.direction


def test_the_published_example_of_thick_slices_moves_the_origin_by_1_9_mm():
    geometry = VolumeGeometry((10, 10, 10), (1.0, 1.0, 5.0), (0.0, 0.0, 0.0))

    assert geometry.upsampled((1, 1, 4)).origin == pytest.approx((0, 0, -1.875))


# --- affines, extent, shape


@given(geometry=geometries())
def test_a_ras_affine_describes_the_grid_completely(geometry):
    again = VolumeGeometry.from_ras_affine(geometry.size, geometry.ras_affine)

    np.testing.assert_allclose(corners_by_hand(again), corners_by_hand(geometry), rtol=0, atol=TOLERANCE_MM)


@given(geometry=geometries(), index=triples(st.floats(-10, 300)))
def test_ras_and_lps_describe_the_same_point(geometry, index):
    lps = geometry.affine @ [*index, 1]
    ras = geometry.ras_affine @ [*index, 1]

    np.testing.assert_allclose(ras, [-lps[0], -lps[1], lps[2], 1], rtol=0, atol=TOLERANCE_MM)


@given(geometry=geometries(), scale=triples(SCALES))
def test_the_affine_of_an_upsampled_grid_is_the_product_with_the_scaling(geometry, scale):
    upsampled = VolumeGeometry.from_ras_affine(geometry.size, geometry.ras_affine).upsampled(scale)
    factors = np.divide(upsampled.size, geometry.size)
    fine_to_coarse = np.diag([*(1 / factors), 1])
    fine_to_coarse[:3, 3] = (1 / factors - 1) / 2

    expected = geometry.ras_affine @ fine_to_coarse

    np.testing.assert_allclose(upsampled.ras_affine, expected, rtol=0, atol=TOLERANCE_MM)


@given(geometry=geometries())
def test_corners_are_those_of_the_outer_faces(geometry):
    np.testing.assert_allclose(geometry.corners(), corners_by_hand(geometry), rtol=0, atol=TOLERANCE_MM)


@given(geometry=geometries())
def test_extent_is_the_distance_between_outer_faces(geometry):
    corners = corners_by_hand(geometry)
    lengths = [np.linalg.norm(corners[n] - corners[0]) for n in (4, 2, 1)]

    np.testing.assert_allclose(geometry.extent, lengths, rtol=0, atol=TOLERANCE_MM)


def test_affine_agrees_with_itk(oblique_geometry, left_handed_geometry):
    import SimpleITK  # noqa: PLC0415  loaded where it is compared with, it takes a second

    for geometry in (oblique_geometry, left_handed_geometry):
        image = SimpleITK.Image(geometry.size, SimpleITK.sitkUInt8)
        image.SetSpacing(geometry.spacing)
        image.SetOrigin(geometry.origin)
        image.SetDirection(geometry.direction)
        point = image.TransformContinuousIndexToPhysicalPoint((3.25, -0.5, 6.0))
        np.testing.assert_allclose((geometry.affine @ [3.25, -0.5, 6, 1])[:3], point, rtol=0, atol=1e-9)


def test_a_left_handed_grid_stays_left_handed(left_handed_geometry):
    again = VolumeGeometry.from_ras_affine(left_handed_geometry.size, left_handed_geometry.ras_affine)

    assert np.linalg.det(np.reshape(again.direction, (3, 3))) == pytest.approx(-1)


def test_shape_is_size_reversed(oblique_geometry):
    assert oblique_geometry.shape == (9, 18, 20)


# --- scales from a spacing or a size


@given(geometry=geometries(), more=triples(st.integers(0, 700)))
def test_a_requested_size_is_exact(geometry, more):
    size = tuple(np.add(geometry.size, more).tolist())

    assert geometry.upsampled(scale_for_size(geometry, size)).size == size


@pytest.mark.parametrize("size", [(20, 18, 8), (20, 18), (0, 0, 0), (40, 36, -18)])
def test_a_smaller_size_is_refused(oblique_geometry, size):
    with pytest.raises(InputError, match="20 x 18 x 9") as error:
        scale_for_size(oblique_geometry, size)

    assert one_line(error)


@given(geometry=geometries(), finer=triples(st.floats(1, 9)))
def test_a_requested_spacing_is_exact_up_to_rounding_of_the_size(geometry, finer):
    target = np.divide(geometry.spacing, finer)

    upsampled = geometry.upsampled(scale_for_spacing(geometry, target))

    # At most half a voxel more or less along the whole axis, and always the same field of view.
    assert (np.abs(np.divide(geometry.extent, target) - upsampled.size) <= 0.5 + 1e-6).all()


def test_one_spacing_applies_to_every_axis():
    geometry = VolumeGeometry((10, 10, 10), (1.0, 2.0, 4.0))

    assert scale_for_spacing(geometry, 0.5) == pytest.approx((2, 4, 8))


def test_an_axis_within_1_percent_of_the_spacing_is_not_changed():
    geometry = VolumeGeometry((10, 10, 10), (0.995, 1.0, 3.0))

    assert scale_for_spacing(geometry, 1.0) == pytest.approx((1, 1, 3))


def test_a_coarser_spacing_is_refused(oblique_geometry):
    with pytest.raises(InputError, match="coarser") as error:
        scale_for_spacing(oblique_geometry, 1.0)

    assert "0.9 x 1.1 x 2.5 mm" in one_line(error)


@pytest.mark.parametrize("spacing", [0, -1, math.nan, math.inf, (1, 1), (1, 1, 0)])
def test_a_spacing_that_is_not_a_length_is_refused(oblique_geometry, spacing):
    with pytest.raises(InputError, match="positive length") as error:
        scale_for_spacing(oblique_geometry, spacing)

    assert one_line(error)


@given(geometry=geometries())
def test_isotropic_means_the_finest_spacing_along_every_axis(geometry):
    scale = scale_for_isotropic(geometry)

    np.testing.assert_allclose(np.divide(geometry.spacing, scale), min(geometry.spacing), rtol=1e-12)


# --- matches


def test_a_grid_matches_itself_after_rounding_in_a_header(oblique_geometry):
    other = VolumeGeometry.from_ras_affine(oblique_geometry.size, oblique_geometry.ras_affine.astype(np.float32))

    assert oblique_geometry.matches(other)


@pytest.mark.parametrize(
    "change",
    [
        {"origin": (0.001, 0.0, 0.0)},
        {"spacing": (1.0, 1.0, 1.001)},
        {"size": (8, 8, 9)},
        {"direction": phantoms.rotation(0, 0, 0.1)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_different_grids_do_not_match(change):
    plain = {"size": (8, 8, 8), "spacing": (1.0, 1.0, 1.0), "origin": (0.0, 0.0, 0.0)}

    assert not VolumeGeometry(**plain).matches(VolumeGeometry(**(plain | change)))


def test_lps_to_ras_reverses_the_first_two_axes():
    np.testing.assert_array_equal(LPS_TO_RAS, np.diag([-1, -1, 1, 1]))
