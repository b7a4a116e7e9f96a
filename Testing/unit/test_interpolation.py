"""Resampling by one matrix per axis agrees with SciPy, with the Fourier transform, and with the definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from ArSSRLib.acquisition.matrices import gaussian_kernel, kernel_matrix
from ArSSRLib.interpolation import (
    apply_matrices,
    bandlimited_matrix,
    bspline_weights,
    centered_positions,
    cubic_upsample,
    mirrored,
    spline_at_points,
    spline_coefficients,
    spline_matrix,
    spline_taps,
)


def random_volume(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def scipy_spline(volume: np.ndarray, positions: list[np.ndarray]) -> np.ndarray:
    """Interpolate at scattered positions, or on a grid."""
    return ndimage.map_coordinates(volume, positions, order=3, mode="mirror")


def grid_of(*axes: np.ndarray) -> list[np.ndarray]:
    return list(np.meshgrid(*axes, indexing="ij"))


def smooth_volume(*shape: int) -> torch.Tensor:
    axes = [np.cos(np.linspace(0, (2 + n) * np.pi, length)) for n, length in enumerate(shape)]
    return torch.from_numpy(np.einsum("k,j,i->kji", *axes))


# --- cubic splines


@pytest.mark.parametrize("count", [2, 3, 4, 7, 31])
def test_spline_equals_scipy_at_any_position(count):
    values = np.random.default_rng(count).normal(size=count)
    positions = np.linspace(-2.5, count + 1.5, 97)

    result = spline_matrix(count, positions) @ values

    np.testing.assert_allclose(result, scipy_spline(values, [positions]), rtol=0, atol=1e-9)


def test_spline_of_one_voxel_returns_that_voxel():
    np.testing.assert_allclose(spline_matrix(1, np.array([-0.4, 0, 0.3])), np.ones((3, 1)), rtol=0, atol=1e-12)


@given(count=st.integers(1, 40), position=st.floats(-3, 43))
def test_spline_weights_sum_to_1(count, position):
    assert spline_matrix(count, np.array([position])).sum() == pytest.approx(1)


@given(count=st.integers(1, 40))
def test_spline_passes_through_the_samples(count):
    np.testing.assert_allclose(spline_matrix(count, np.arange(count)), np.eye(count), rtol=0, atol=1e-12)


@given(fraction=st.floats(0, 1, exclude_max=True))
def test_bspline_weights_sum_to_1_and_keep_the_center_of_mass(fraction):
    weights = bspline_weights(np.array(fraction))

    assert weights.sum() == pytest.approx(1)
    assert weights @ [-1, 0, 1, 2] == pytest.approx(fraction)


def test_indices_are_mirrored_about_the_outermost_centers():
    np.testing.assert_array_equal(mirrored(np.arange(-4, 8), 4), [2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1])


@pytest.mark.parametrize(
    ("shape", "fine"),
    [((6, 5, 7), (9, 13, 7)), ((1, 4, 5), (3, 8, 10)), ((2, 1, 1), (5, 2, 4)), ((1, 1, 1), (2, 3, 4))],
)
def test_cubic_upsampling_equals_scipy_at_cell_centered_positions(shape, fine):
    volume = random_volume(*shape)
    axes = [(np.arange(m) + 0.5) * n / m - 0.5 for n, m in zip(shape, fine, strict=True)]

    result = cubic_upsample(volume, fine)

    np.testing.assert_allclose(result, scipy_spline(volume.numpy(), grid_of(*axes)), rtol=0, atol=1e-9)


def test_cubic_upsampling_equals_scipy_zoom_in_grid_mode():
    volume = random_volume(6, 5, 7)

    zoomed = ndimage.zoom(volume.numpy(), 3, order=3, mode="mirror", grid_mode=True)

    np.testing.assert_allclose(cubic_upsample(volume, (18, 15, 21)), zoomed, rtol=0, atol=1e-9)


def test_a_batch_is_upsampled_item_by_item():
    volumes = random_volume(2, 3, 4, 5, 6)

    together = cubic_upsample(volumes, (8, 10, 12))

    assert together.shape == (2, 3, 8, 10, 12)
    torch.testing.assert_close(together[1, 2], cubic_upsample(volumes[1, 2], (8, 10, 12)))


def test_matrices_are_applied_to_their_axes():
    volume = random_volume(3, 4, 5)
    matrices = [np.random.default_rng(n).normal(size=(n, m)) for n, m in ((6, 3), (2, 4), (7, 5))]

    result = apply_matrices(volume, matrices)

    np.testing.assert_allclose(result, np.einsum("ak,bj,ci,kji->abc", *matrices, volume.numpy()), rtol=1e-12)


def test_resampling_keeps_the_type_of_the_array():
    assert cubic_upsample(torch.zeros(3, 3, 3), (4, 4, 4)).dtype == torch.float32


@given(coarse=st.integers(1, 60), fine=st.integers(1, 60))
def test_centered_positions_are_symmetric_in_the_field_of_view(coarse, fine):
    positions = centered_positions(coarse, fine)

    np.testing.assert_allclose(positions + positions[::-1], coarse - 1, rtol=0, atol=1e-9)


# --- splines at scattered points


@pytest.mark.parametrize("shape", [(6, 5, 7), (1, 4, 5), (2, 1, 3), (1, 1, 1)])
def test_spline_at_points_equals_scipy(shape):
    volumes = random_volume(2, *shape)
    positions = [
        torch.from_numpy(np.random.default_rng(n).uniform(-0.5, m - 0.5, (2, 50))) for n, m in enumerate(shape)
    ]

    result = spline_at_points(spline_coefficients(volumes), positions)

    for item in range(2):
        # SciPy treats an axis of one voxel as having no width; ours repeats the voxel.
        where = [p[item].numpy() * (n > 1) for p, n in zip(positions, shape, strict=True)]
        np.testing.assert_allclose(result[item], scipy_spline(volumes[item].numpy(), where), rtol=0, atol=1e-9)


@pytest.mark.parametrize("shape", [(6, 5, 7), (1, 2, 9)])
def test_spline_coefficients_equal_scipy(shape):
    volume = random_volume(*shape)

    filtered = volume.numpy()
    for axis, count in enumerate(shape):
        if count > 1:
            filtered = ndimage.spline_filter1d(filtered, order=3, axis=axis, mode="mirror")

    np.testing.assert_allclose(spline_coefficients(volume), filtered, rtol=0, atol=1e-9)


@given(count=st.integers(1, 12), position=st.floats(-5, 16))
def test_spline_taps_never_leave_the_axis_and_sum_to_1(count, position):
    index, weight = spline_taps(torch.tensor([position], dtype=torch.float64), count)

    assert 0 <= int(index.min()) <= int(index.max()) < count
    assert float(weight.sum()) == pytest.approx(1)


# --- Gaussian blur


@pytest.mark.parametrize("fwhm", [2.0, 3.3, 5.0])
def test_gaussian_blur_has_the_stated_width(fwhm):
    response = kernel_matrix(101, gaussian_kernel(fwhm))[50]

    # A sampled Gaussian has the variance of the continuous one, sigma = FWHM / (2 sqrt(2 ln 2)).
    variance = response @ (np.arange(101) - 50.0) ** 2
    assert np.sqrt(variance) * 2 * np.sqrt(2 * np.log(2)) == pytest.approx(fwhm, rel=2e-3)


@pytest.mark.parametrize("fwhm", [1.0, 2.0, 4.5])
def test_gaussian_blur_equals_scipy(fwhm):
    values = np.random.default_rng(0).normal(size=40)
    sigma = fwhm / (2 * np.sqrt(2 * np.log(2)))

    expected = ndimage.gaussian_filter1d(values, sigma, mode="nearest", radius=max(1, int(np.ceil(4 * sigma))))

    np.testing.assert_allclose(kernel_matrix(40, gaussian_kernel(fwhm)) @ values, expected, rtol=0, atol=1e-12)


@given(count=st.integers(1, 30), fwhm=st.floats(0.05, 20))
def test_gaussian_blur_preserves_a_constant(count, fwhm):
    np.testing.assert_allclose(kernel_matrix(count, gaussian_kernel(fwhm)).sum(axis=1), 1, rtol=1e-12)


def test_a_width_of_0_is_no_blur():
    np.testing.assert_array_equal(kernel_matrix(5, gaussian_kernel(0)), np.eye(5))


# --- band-limited resampling


@pytest.mark.parametrize("factor", [2.0, 3.0, 2.5])
def test_band_limited_resampling_preserves_a_low_frequency(factor):
    count = 240
    coarse = round(count / factor)
    cycles = 0.15 / factor  # per fine voxel; the new Nyquist frequency is 0.5 / factor
    positions = centered_positions(count, coarse)

    result = bandlimited_matrix(count, positions, factor) @ np.cos(2 * np.pi * cycles * np.arange(count))

    inside = slice(12, -12)
    np.testing.assert_allclose(result[inside], np.cos(2 * np.pi * cycles * positions)[inside], rtol=0, atol=0.01)


@pytest.mark.parametrize("factor", [2.0, 3.0, 2.5])
def test_band_limited_resampling_removes_frequencies_that_would_alias(factor):
    count = 240
    positions = centered_positions(count, round(count / factor))
    wave = np.cos(2 * np.pi * 0.8 / factor * np.arange(count))

    result = bandlimited_matrix(count, positions, factor) @ wave

    assert np.abs(result[12:-12]).max() < 0.02
    # Sampling without a filter would keep nearly its full amplitude.
    assert np.abs(spline_matrix(count, positions) @ wave)[12:-12].max() > 0.5


@given(count=st.integers(1, 40), spacing=st.floats(0.3, 5))
def test_band_limited_resampling_preserves_a_constant(count, spacing):
    positions = np.arange(0, count, spacing)

    np.testing.assert_allclose(bandlimited_matrix(count, positions, spacing).sum(axis=1), 1, rtol=1e-9)


def test_band_limited_resampling_at_the_samples_returns_them():
    np.testing.assert_allclose(bandlimited_matrix(9, np.arange(9.0), 1.0), np.eye(9), rtol=0, atol=1e-12)


def test_coefficients_support_gradients_after_use_in_inference_mode():
    # The prefilter is cached; if it were created in inference mode, gradients could not use it.
    with torch.inference_mode():
        spline_coefficients(torch.rand(1, 11, 13, 17))
    volume = torch.rand(1, 11, 13, 17, requires_grad=True)

    spline_coefficients(volume).square().sum().backward()

    assert volume.grad.abs().min() > 0
