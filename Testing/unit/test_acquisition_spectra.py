"""Spectra along the axes: their invariances, volumes without one, and little memory for large volumes."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from phantoms import texture

from ArSSRLib.acquisition.spectra import FEATURES, SHORTEST, features_of

SPACING = (3.0, 1.0, 1.2)


@pytest.fixture(scope="module")
def slices() -> np.ndarray:
    """Return a textured ball in thick slices, shape (24, 48, 48)."""
    return texture(48)[::2]


def test_each_axis_has_its_features(slices):
    features = features_of(slices, SPACING)

    assert features.axes.shape == (3, FEATURES)
    assert np.isfinite(features.axes).all()
    assert np.isfinite(features.edges).all()


@pytest.mark.parametrize(("gain", "offset"), [(0.25, 0.0), (1.0, 512.0), (-1.0, 0.0)])
def test_offset_and_gain_change_nothing(slices, gain, offset):
    # Steps of 1/1024 and powers of two, so that nothing is rounded.
    exact = np.round(slices.astype(np.float64) * 1024) / 1024
    before, after = (features_of(array, SPACING).axes for array in (exact, gain * exact + offset))

    if gain > 0:
        np.testing.assert_array_equal(before, after)
    else:
        assert not np.array_equal(before, after)  # another contrast, to show that the comparison above can fail


def test_the_order_of_the_axes_is_that_of_the_array(slices):
    k, j, i = features_of(slices, SPACING).axes

    turned = features_of(np.ascontiguousarray(slices.transpose(2, 0, 1)), (1.2, 3.0, 1.0))

    np.testing.assert_allclose(turned.axes, [i, k, j], atol=0.05)


@pytest.mark.parametrize("shape", [(1, 40, 40), (SHORTEST - 1, 40, 40), (40, 40, 2), (1, 1, 1)])
def test_a_short_axis_has_no_spectrum(shape):
    array = np.random.default_rng(0).random(shape)

    assert features_of(array, SPACING) is None


@pytest.mark.parametrize("value", [0, -5.5, 1e30])
def test_a_constant_volume_has_no_spectrum(value):
    assert features_of(np.full((20, 20, 20), value), SPACING) is None


def test_a_range_beyond_the_largest_number_has_no_spectrum():
    array = np.where(np.arange(20) % 2, 1e308, -1e308) * np.ones((20, 20, 1))

    with np.errstate(over="ignore"):
        assert features_of(array, SPACING) is None


def test_a_large_volume_needs_little_memory():
    array = np.tile(texture(48), (3, 3, 3))  # 12 MB
    array = np.concatenate([array] * 4)  # 48 MB

    tracemalloc.start()
    features_of(array, SPACING)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert most < 64e6
