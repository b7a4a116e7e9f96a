"""Simulated acquisitions and back-projection, compared with the resampling operations that they consist of."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from ArSSRLib.acquisition.matrices import (
    PROFILES,
    acquisition_matrices,
    back_project,
    coarse_shape,
)
from ArSSRLib.interpolation import apply_matrices, centered_positions, cubic_upsample


def random_volume(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def scipy_spline(volume: np.ndarray, positions: list[np.ndarray]) -> np.ndarray:
    """Interpolate at scattered positions, or on a grid."""
    return ndimage.map_coordinates(volume, positions, order=3, mode="mirror")


def smooth_volume(*shape: int) -> torch.Tensor:
    axes = [np.cos(np.linspace(0, (2 + n) * np.pi, length)) for n, length in enumerate(shape)]
    return torch.from_numpy(np.einsum("k,j,i->kji", *axes))


# --- acquisitions


@pytest.mark.parametrize(("fine", "coarse"), [((20, 24, 28), (10, 12, 14)), ((25, 30, 41), (10, 9, 1))])
def test_the_literal_degradation_of_the_paper_equals_the_zoom_of_scipy(fine, coarse):
    volume = random_volume(*fine)

    result = apply_matrices(volume, acquisition_matrices(fine, coarse, profile="endpoints"))

    factors = [new / old for old, new in zip(fine, coarse, strict=True)]
    # Not in its default mode "constant", which returns 0 if rounding places the last center outside.
    expected = ndimage.zoom(volume.numpy(), factors, order=3, mode="mirror", grid_mode=False)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("scale", [2, 3, (1, 2, 4)])
def test_a_box_averages_the_voxels_inside(scale):
    volume = random_volume(12, 12, 12)
    coarse = np.array(volume.shape) // scale

    result = apply_matrices(volume, acquisition_matrices(volume.shape, coarse.tolist(), profile="box"))

    torch.testing.assert_close(result, torch.nn.functional.avg_pool3d(volume[None], scale)[0])


def test_a_box_across_a_voxel_includes_a_fraction_of_it():
    matrix = acquisition_matrices([5], [2], profile="box")[0]

    np.testing.assert_allclose(matrix, np.array([[2, 2, 1, 0, 0], [0, 0, 1, 2, 2]]) / 5, rtol=0, atol=1e-12)


def test_point_sampling_is_the_spline_at_the_coarse_centers():
    values = np.random.default_rng(0).normal(size=24)

    matrix = acquisition_matrices([24], [10], profile="point")[0]

    positions = (np.arange(10) + 0.5) * 2.4 - 0.5
    np.testing.assert_allclose(matrix @ values, scipy_spline(values, [positions]), rtol=0, atol=1e-9)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_a_gaussian_acquisition_attenuates_as_its_transfer_function(factor):
    count, cycles = 40 * factor, 0.2 / factor
    matrix = acquisition_matrices([count], [40], profile="gaussian")[0]
    positions = centered_positions(count, 40)

    result = matrix @ np.cos(2 * np.pi * cycles * np.arange(count))

    sigma = factor / (2 * np.sqrt(2 * np.log(2)))
    attenuation = np.exp(-2 * (np.pi * cycles * sigma) ** 2)
    expected = attenuation * np.cos(2 * np.pi * cycles * positions)
    np.testing.assert_allclose(result[8:-8], expected[8:-8], rtol=0, atol=5e-3)


@pytest.mark.parametrize("profile", PROFILES)
def test_an_axis_that_is_not_coarsened_is_not_changed(profile):
    np.testing.assert_allclose(acquisition_matrices([9], [9], profile=profile)[0], np.eye(9), rtol=0, atol=1e-12)


@pytest.mark.parametrize("profile", PROFILES)
@given(fine=st.integers(1, 60), scale=st.floats(1, 6))
def test_an_acquisition_preserves_a_constant(profile, fine, scale):
    coarse = max(1, round(fine / scale))

    matrix = acquisition_matrices([fine], [coarse], profile=profile)[0]

    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-9)


def test_an_unknown_slice_profile_is_refused():
    with pytest.raises(ValueError, match=f'one of {", ".join(PROFILES)}, got "boxcar"'):
        acquisition_matrices([8], [4], profile="boxcar")


def test_a_scale_coarsens_each_axis_by_its_own_factor():
    assert coarse_shape((12, 12, 12), (1, 2, 5)) == (12, 6, 2)


def test_a_volume_thinner_than_the_scale_keeps_one_voxel():
    assert coarse_shape((1, 2, 12), (4, 8, 4)) == (1, 1, 3)


@pytest.mark.parametrize("profile", ["point", "gaussian"])
def test_back_projection_makes_the_result_agree_with_the_measurement(profile):
    truth = smooth_volume(24, 20, 22) + 0.05 * random_volume(24, 20, 22)
    matrices = acquisition_matrices((24, 20, 22), (12, 10, 11), profile=profile)
    coarse = apply_matrices(truth, matrices)
    cubic = cubic_upsample(coarse, truth.shape)

    corrected = back_project(coarse, cubic, matrices)

    before = (coarse - apply_matrices(cubic, matrices)).abs().max()
    after = (coarse - apply_matrices(corrected, matrices)).abs().max()
    assert float(after) < 0.2 * float(before)


def test_zero_iterations_change_nothing():
    fine = random_volume(8, 8, 8)
    matrices = acquisition_matrices((8, 8, 8), (4, 4, 4), profile="gaussian")

    assert back_project(random_volume(4, 4, 4), fine, matrices, iterations=0) is fine


@pytest.mark.parametrize(
    ("scale", "shape"), [((2, 2, 2), (10, 11, 12)), ((3, 1, 1), (7, 22, 24)), ((1, 1, 50), (20, 22, 1))]
)
def test_a_scale_coarsens_the_axes_of_the_array(scale, shape):
    assert coarse_shape((20, 22, 24), scale) == shape
