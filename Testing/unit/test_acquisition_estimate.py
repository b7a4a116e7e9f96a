"""The slice profile is estimated correctly on a texture with a known profile, and unknown without enough detail."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from phantoms import texture
from scipy import ndimage

from ArSSRLib.acquisition.estimate import (
    CAUTION,
    LARGEST_ERROR,
    LEAST_KEPT,
    MOST_KEPT,
    WIDTH_OF_SMOOTH,
    Prediction,
    fitted,
    gaussian_width,
    predicted_axes,
    profile_of,
)
from ArSSRLib.acquisition.matrices import profile_matrices
from ArSSRLib.acquisition.profile import AxisProfile, SliceProfile
from ArSSRLib.acquisition.spectra import features_of
from ArSSRLib.interpolation import apply_matrices

SPACING = (4.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def fine() -> torch.Tensor:
    """Return the texture before it is acquired."""
    return torch.from_numpy(texture())


def acquired(fine, kind, width=1.0) -> np.ndarray:
    """Return slices with a distance of four fine voxels."""
    axis = AxisProfile(kind, width)
    return apply_matrices(fine, profile_matrices(fine.shape, (24, 96, 96), SliceProfile((axis, axis, axis)))).numpy()


def estimated_axes(array, spacing) -> tuple[AxisProfile | None, ...]:
    """Return the estimates along k, j, i."""
    return tuple(None if found is None else profile_of(found) for found in predicted_axes(array, spacing))


def estimated(array, spacing=SPACING) -> AxisProfile | None:
    """Return the estimate along k."""
    return estimated_axes(array, spacing)[0]


def test_wide_slices_are_recognized(fine):
    found = estimated(acquired(fine, "gaussian", 1.3))

    assert (found.kind, found.source) == ("gaussian", "estimated")
    assert found.width == pytest.approx(1.3, abs=0.15)


def test_points_are_left_unknown_because_narrow_slices_look_like_them(fine):
    kept, error, *_ = fitted().predicted(features_of(acquired(fine, "point"), SPACING).axes[0])

    assert error <= LARGEST_ERROR
    assert kept > MOST_KEPT
    assert estimated(acquired(fine, "point")) is None


@pytest.mark.parametrize("width", [0.7, 1.0])
def test_the_contrast_that_gaussian_slices_keep_is_predicted(width):
    like_anatomy = torch.from_numpy(texture(steepness=1.5))
    features = features_of(acquired(like_anatomy, "gaussian", width), SPACING).axes[0]

    kept, *_ = fitted().predicted(features)

    assert kept == pytest.approx(AxisProfile("gaussian", width).transfer()[1], abs=0.12)


def test_a_predicted_contrast_gives_a_gaussian_that_keeps_slightly_less():
    axis = profile_of(Prediction(0.5, 0.01))

    assert axis is not None
    assert (axis.kind, axis.source) == ("gaussian", "estimated")
    assert axis.transfer()[1] == pytest.approx(0.5 - CAUTION, abs=0.01)


def test_the_profile_of_noise_is_unknown():
    array = np.random.default_rng(0).standard_normal((32, 48, 48))

    assert estimated_axes(array, (1.0, 1.0, 1.0)) == (None, None, None)


def test_a_smooth_volume_is_not_mistaken_for_thick_slices():
    smooth = ndimage.gaussian_filter(texture(64), 3)

    assert {axis and axis.width for axis in estimated_axes(smooth, (1.0, 1.0, 1.0))} <= {None, WIDTH_OF_SMOOTH}


def test_the_profile_of_identical_slices_is_unknown(fine):
    array = np.repeat(acquired(fine, "gaussian", 1.3)[12:13], 24, axis=0)

    assert estimated(array) is None


@pytest.mark.parametrize("shape", [(1, 64, 64), (6, 64, 64), (3, 3, 3), (1, 1, 1)])
def test_the_profile_of_few_slices_is_unknown(shape):
    assert estimated_axes(np.random.default_rng(0).random(shape), SPACING) == (None, None, None)


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_the_profile_of_a_constant_volume_is_unknown(value):
    assert estimated_axes(np.full((32, 32, 32), value), SPACING) == (None, None, None)


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float64])
def test_the_voxel_type_changes_the_estimate_only_by_rounding(fine, dtype):
    slices = acquired(fine, "gaussian", 1.3)

    assert estimated(np.round(slices * 50).clip(0, 250).astype(dtype)).width == pytest.approx(
        estimated(slices).width, abs=0.03
    )


@pytest.mark.parametrize("width", [0.5, 0.8, 1.3])
def test_the_width_is_that_of_the_gaussian_that_keeps_the_same_contrast(width):
    assert gaussian_width(AxisProfile("gaussian", width).transfer()[1]) == pytest.approx(width)


@pytest.mark.parametrize(
    ("kept", "error"),
    [
        (0.5, LARGEST_ERROR + 0.001),
        (0.5, math.inf),
        (0.5, math.nan),
        (LEAST_KEPT - 0.01, 0.01),
        (MOST_KEPT + 0.01, 0.01),
        (-1, 0.01),
    ],
)
def test_an_uncertain_estimate_leaves_the_profile_unknown(kept, error):
    assert profile_of(Prediction(kept, error)) is None


def test_features_unlike_those_of_the_fit_have_infinite_uncertainty():
    regression = fitted()

    assert regression.predicted(regression.mean)[1] < 1
    assert regression.predicted(regression.mean + 50 * regression.deviation)[1] == math.inf
