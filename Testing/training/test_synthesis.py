"""Random contrasts: anatomy stays where it is, only intensities change."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ArSSRLib.training.synthesis import BIAS_TERM, KNOTS, random_bias_field, random_contrast

SEEDS = st.integers(0, 10_000)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def patch(lowest: float = -0.1, highest: float = 1.1, count: int = 241) -> torch.Tensor:
    """Return all intensities once, in order; the middle of a symmetric range is 0."""
    return torch.linspace(lowest, highest, count)


@given(seed=SEEDS)
def test_without_curves_only_the_gain_changes(seed):
    result = random_contrast(patch(), generator(seed), gamma=0, curve=0)

    gain = float(result[-1] / patch()[-1])
    assert 0.8 <= gain <= 1.2
    torch.testing.assert_close(result, gain * patch())


@given(seed=SEEDS)
def test_a_power_curve_keeps_order_and_sign(seed):
    result = random_contrast(patch(-1, 1), generator(seed), gamma=1, curve=0)

    assert (result.diff() > 0).all()
    assert torch.equal(result.sign(), patch(-1, 1).sign())


@given(seed=SEEDS)
def test_a_power_curve_is_one_power(seed):
    positive = patch(0.1, 1.1)

    result = random_contrast(positive, generator(seed), gamma=1, curve=0)

    # log(result) = exponent * (log(gain) + log(patch))
    slopes = result.log().diff() / positive.log().diff()
    assert 0.69 <= float(slopes.mean()) <= 1.51
    torch.testing.assert_close(slopes, slopes.mean().expand_as(slopes), rtol=0, atol=2e-3)


@given(seed=SEEDS)
def test_a_tone_curve_is_continuous_begins_at_0_and_stays_in_range(seed):
    fine = patch(-0.1, 1.6, 17_001)

    result = random_contrast(fine, generator(seed), gamma=0, curve=1)

    assert (result[fine <= 0] == 0).all()
    assert 0 <= float(result.min()) <= float(result.max()) <= 1
    # At most the full height between two knots 0.2 apart, at the largest gain, with steps of 1e-4.
    assert float(result.diff().abs().max()) <= 1.2 * KNOTS / 1.2 * 1e-4 * 1.1


@given(seed=SEEDS)
def test_equal_intensities_stay_equal(seed):
    repeated = torch.tensor([0.3, 0.7, 0.3, 0.7])

    for gamma, curve in ((1, 0), (0, 1)):
        result = random_contrast(repeated, generator(seed), gamma=gamma, curve=curve)
        assert result[0] == result[2]
        assert result[1] == result[3]


@pytest.mark.parametrize(("gamma", "curve"), [(0.2, 0.1), (1, 0), (0, 1)])
@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 1, 1), (0,)])
def test_the_shape_is_kept(gamma, curve, shape):
    assert random_contrast(torch.zeros(shape), generator(0), gamma=gamma, curve=curve).shape == shape


@pytest.mark.parametrize(("gamma", "curve"), [(0, 0), (1, 0), (0, 1)])
def test_air_stays_0(gamma, curve):
    assert not random_contrast(torch.zeros(5), generator(0), gamma=gamma, curve=curve).any()


@pytest.mark.parametrize(("gamma", "curve"), [(1, 0), (0, 1)])
def test_the_same_seed_draws_the_same_contrast(gamma, curve):
    draws = [random_contrast(patch(), generator(7), gamma=gamma, curve=curve) for _ in range(2)]

    assert torch.equal(*draws)


def test_the_patch_is_left_as_it_was():
    given_patch = patch()

    random_contrast(given_patch, generator(0), gamma=1, curve=0)

    assert torch.equal(given_patch, patch())


def test_curves_are_drawn_as_often_as_requested():
    plain = patch(0.1, 1.1)
    drawn = generator(0)
    results = [random_contrast(plain, drawn, gamma=0.2, curve=0.1) for _ in range(1000)]

    unchanged = sum(torch.allclose(r / plain, (r / plain)[0].expand_as(r), atol=1e-4) for r in results)

    assert unchanged / 1000 == pytest.approx(0.7, abs=0.04)


# --- bias field


@given(seed=SEEDS)
def test_a_bias_field_is_positive_and_as_smooth_as_a_square_polynomial_along_each_axis(seed):
    field = random_bias_field(torch.ones(9, 11, 13, dtype=torch.float64), generator(seed)).log()

    assert float(field.abs().max()) <= 3 * 2 * BIAS_TERM
    for axis in range(3):
        # The third difference of a quadratic polynomial is zero.
        assert float(field.diff(n=3, dim=axis).abs().max()) < 1e-6


def test_a_bias_field_differs_along_every_axis_and_from_draw_to_draw():
    fields = [random_bias_field(torch.ones(9, 11, 13), generator(seed)) for seed in (0, 1)]

    assert not torch.allclose(*fields, atol=1e-2)
    assert all(float(fields[0].diff(dim=axis).abs().mean()) > 1e-4 for axis in range(3))


def test_air_stays_0_in_a_bias_field():
    assert not random_bias_field(torch.zeros(4, 5, 6), generator(0)).any()
