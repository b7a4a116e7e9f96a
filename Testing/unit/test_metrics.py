"""PSNR and SSIM agree with their definitions, computed window by window."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from ArSSRLib.metrics import brain_mask, psnr, ssim, ssim_map


def pair(shape: tuple[int, ...] = (11, 10, 12), noise: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    reference = generator.gamma(2.0, 100.0, shape)
    return reference, reference + noise * 100 * generator.normal(size=shape)


def index_of_window(x: np.ndarray, y: np.ndarray, weight: np.ndarray, data_range: float, unbiased: float) -> float:
    """Return Eq. 13 of Wang et al. 2004 for one window."""
    mean_x, mean_y = (weight * x).sum(), (weight * y).sum()
    variance_x = unbiased * (weight * (x - mean_x) ** 2).sum()
    variance_y = unbiased * (weight * (y - mean_y) ** 2).sum()
    covariance = unbiased * (weight * (x - mean_x) * (y - mean_y)).sum()
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return luminance * (2 * covariance + c2) / (variance_x + variance_y + c2)


def ssim_by_hand(x: np.ndarray, y: np.ndarray, sigma: float | None) -> np.ndarray:
    """Return the index of every window that lies inside the volume."""
    radius = 3 if sigma is None else int(3.5 * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    line = np.ones(7) if sigma is None else np.exp(-0.5 * (offsets / sigma) ** 2)
    weight = np.einsum("k,j,i->kji", line, line, line)
    weight /= weight.sum()
    unbiased = 343 / 342 if sigma is None else 1
    inside = [range(radius, n - radius) for n in x.shape]
    result = np.empty([len(axis) for axis in inside])
    for center in itertools.product(*inside):
        window = tuple(slice(c - radius, c + radius + 1) for c in center)
        place = tuple(c - radius for c in center)
        result[place] = index_of_window(x[window], y[window], weight, x.max() - x.min(), unbiased)
    return result


# --- PSNR


def test_psnr_of_a_constant_error_has_a_closed_form():
    reference = np.linspace(-50, 150, 1000).reshape(10, 10, 10)

    assert psnr(reference, reference + 20) == pytest.approx(20 * math.log10(200 / 20))


def test_the_range_is_that_of_the_reference():
    reference, result = pair()

    assert psnr(reference, result) != pytest.approx(psnr(result, reference), abs=1e-3)
    assert psnr(10 * reference + 7, 10 * result + 7) == pytest.approx(psnr(reference, result))


def test_equal_volumes_have_infinite_psnr():
    reference, _ = pair()

    assert psnr(reference, reference.copy()) == math.inf


def test_psnr_in_a_mask_includes_only_the_errors_there():
    reference = np.zeros((4, 4, 4))
    reference[0, 0, 0] = 100
    result = reference.copy()
    result[:2] += 10
    result[2:] += 77
    mask = np.zeros((4, 4, 4), bool)
    mask[:2] = True

    assert psnr(reference, result, mask) == pytest.approx(20)


def test_the_range_is_that_of_all_voxels_even_with_a_mask():
    reference = np.linspace(0, 1, 64).reshape(4, 4, 4)
    mask = reference > 0.5

    assert psnr(reference, reference + 0.1, mask) == pytest.approx(20)


def test_integers_do_not_overflow():
    reference = np.array([0, 255, 0, 255], np.uint8)
    result = np.array([255, 0, 255, 0], np.uint8)

    assert psnr(reference, result) == pytest.approx(0)


# --- SSIM


@pytest.mark.parametrize("sigma", [None, 1.0])
@pytest.mark.parametrize("noise", [0.1, 1.0])
def test_ssim_is_the_mean_over_all_windows_inside_the_volume(sigma, noise):
    reference, result = pair(noise=noise)

    assert ssim(reference, result, sigma=sigma) == pytest.approx(
        ssim_by_hand(reference, result, sigma).mean(), abs=1e-10
    )


@pytest.mark.parametrize("sigma", [None, 1.0])
def test_the_map_contains_the_index_of_each_window(sigma):
    reference, result = pair()
    radius = 3 if sigma is None else 4
    inside = tuple(slice(radius, n - radius) for n in reference.shape)

    index = ssim_map(reference, result, sigma=sigma)

    assert index.shape == reference.shape
    np.testing.assert_allclose(index[inside], ssim_by_hand(reference, result, sigma), rtol=0, atol=1e-10)


def test_ssim_in_a_mask_is_the_mean_of_the_map_there():
    reference, result = pair()
    mask = np.zeros(reference.shape, bool)
    mask[4:6, 4:6, 5] = True

    expected = ssim_by_hand(reference, result, None)[1:3, 1:3, 2].mean()

    assert ssim(reference, result, mask) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("sigma", [None, 1.5])
def test_equal_volumes_have_ssim_1(sigma):
    reference, _ = pair()

    assert ssim(reference, reference.copy(), sigma=sigma) == pytest.approx(1)


def test_inverted_contrast_has_negative_ssim():
    reference = np.random.default_rng(0).normal(size=(9, 9, 9))

    assert ssim(reference, -reference) < 0


def test_a_volume_thinner_than_the_window_has_an_index():
    reference, result = pair((3, 12, 12))

    assert 0 < ssim(reference, result) < 1


# --- both


def test_psnr_and_ssim_agree_with_scikit_image():
    generator = np.random.default_rng(0)
    reference = generator.gamma(2.0, 100.0, (14, 13, 15))
    result = reference + 30 * generator.normal(size=reference.shape)

    # scikit-image 0.26.0, data_range = max - min of the reference; the last with gaussian_weights=True, sigma=1.5,
    # use_sample_covariance=False.
    assert psnr(reference, result) == pytest.approx(30.150593592516493, rel=1e-12)
    assert ssim(reference, result) == pytest.approx(0.9790002855519523, rel=1e-12)
    assert ssim(reference, result, sigma=1.5) == pytest.approx(0.979184497074559, rel=1e-12)


# --- mask


def head() -> np.ndarray:
    """Return a ball of anatomy with a dark ventricle, a bright voxel far away, and weak noise in the air."""
    k, j, i = np.meshgrid(*[np.arange(32) - 15.5] * 3, indexing="ij")
    radius = np.sqrt(k**2 + j**2 + i**2)
    volume = np.where(radius < 10, 800.0, 5.0)
    volume[radius < 3] = 0
    volume[1, 1, 1] = 900
    return volume


def test_the_mask_is_the_anatomy_with_holes_filled():
    k, j, i = np.meshgrid(*[np.arange(32) - 15.5] * 3, indexing="ij")
    ball = np.sqrt(k**2 + j**2 + i**2) < 10

    mask = brain_mask(head())

    assert np.count_nonzero(mask & ball) / np.count_nonzero(mask | ball) > 0.97


def test_the_mask_excludes_specks_and_air():
    mask = brain_mask(head())

    assert not mask[1, 1, 1]
    assert not mask[0].any()


def test_the_mask_includes_the_ventricle():
    assert brain_mask(head())[15, 15, 15]


def test_the_mask_of_a_volume_without_anatomy_is_the_whole_volume():
    assert brain_mask(np.zeros((4, 4, 4))).all()


def test_the_mask_of_a_volume_of_specks_includes_them():
    volume = np.zeros((8, 8, 8))
    volume[2, 2, 2] = 1

    np.testing.assert_array_equal(brain_mask(volume), volume > 0)
