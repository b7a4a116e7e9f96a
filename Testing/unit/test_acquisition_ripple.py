"""Ripple at the slice distance: 2 after linear interpolation, 0 without slices, along the right axis."""

import math

import numpy as np
import pytest

from ArSSRLib.acquisition.ripple import slice_ripple


def smooth_walk(count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 6, 7))


def test_linear_interpolation_has_a_ripple_of_2():
    coarse = smooth_walk(30)
    fine = np.stack([np.interp(np.arange(117) / 4, np.arange(30), line) for line in coarse.reshape(30, -1).T], axis=-1)

    # Its second derivative is an impulse at every slice, so the amplitude of each harmonic is twice the mean.
    assert slice_ripple(fine.reshape(117, 6, 7), 0, 4.0) == pytest.approx(2.0)


def test_a_known_modulation_is_measured():
    position = np.arange(401)
    size = 3.0 * (1 + 0.35 * np.cos(2 * np.pi * position / 5))
    line = np.cumsum(np.cumsum(size))[:, None, None]

    assert slice_ripple(line, 0, 5.0) == pytest.approx(0.35, abs=1e-3)


def test_noise_has_almost_no_ripple():
    assert slice_ripple(np.random.default_rng(1).normal(size=(200, 40, 40)), 0, 4.0) < 0.03


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_ripple_is_measured_along_the_requested_axis(axis):
    fine = np.repeat(smooth_walk(20), 4, axis=0)

    turned = np.moveaxis(fine, 0, axis)

    assert slice_ripple(turned, axis, 4.0) == slice_ripple(fine, 0, 4.0)


def test_offset_and_gain_do_not_change_the_ripple():
    fine = np.repeat(smooth_walk(20), 4, axis=0)

    assert slice_ripple(1000 * fine + 50, 0, 4.0) == pytest.approx(slice_ripple(fine, 0, 4.0))


@pytest.mark.parametrize(("count", "period"), [(11, 3.0), (60, 1.0)])
def test_too_few_slices_have_no_ripple_value(count, period):
    assert math.isnan(slice_ripple(smooth_walk(count), 0, period))


def test_a_constant_volume_has_no_ripple_value():
    assert math.isnan(slice_ripple(np.ones((40, 5, 5)), 0, 4.0))
