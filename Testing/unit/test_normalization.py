"""Conversion of scanner units to about [0, 1] and back, for any units."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ArSSRLib.errors import InputError
from ArSSRLib.normalization import SAMPLED_VOXELS, IntensityRange, replace_non_finite, result_type


def scan(seed: int = 0) -> np.ndarray:
    """Return a head in air: half of the voxels 0, the others between 200 and 1000."""
    generator = np.random.default_rng(seed)
    values = generator.uniform(200, 1000, (12, 12, 12))
    return np.where(generator.random(values.shape) < 0.5, 0, values)


@given(gain=st.floats(1e-6, 1e30))
def test_the_unit_of_the_intensities_does_not_matter(gain):
    plain = IntensityRange.of(scan()).normalize(scan())

    scaled = IntensityRange.of(gain * scan()).normalize(gain * scan())

    np.testing.assert_allclose(scaled, plain, rtol=0, atol=1e-6)


@given(offset=st.floats(-1e9, 1e9))
def test_an_offset_does_not_change_the_normalized_volume(offset):
    base = scan()
    array = scan() + offset
    plain = IntensityRange.of(base).normalize(base)

    moved = IntensityRange.of(array).normalize(array)

    np.testing.assert_allclose(moved, plain, rtol=0, atol=1e-5)


def test_air_is_0_in_a_volume_without_negative_voxels():
    array = scan()

    assert (IntensityRange.of(array).normalize(array)[array == 0] == 0).all()


def test_ringing_in_the_background_moves_the_range_at_most_by_its_amplitude():
    # As after a band-limited filter, half of the air is slightly negative, the other half slightly positive.
    head = scan()
    ringing = np.random.default_rng(1).uniform(-40, 40, head.shape)
    filtered = IntensityRange.of(np.where(head == 0, ringing, head))

    assert -40 <= filtered.floor <= 0
    assert filtered.floor + filtered.width == pytest.approx(IntensityRange.of(head).width, rel=1e-3)


def test_noise_in_the_air_does_not_change_the_range():
    head = scan()
    in_air = np.random.default_rng(1).uniform(0, 40, (60, 12, 12))
    in_air[:12] = np.where(head == 0, in_air[:12], head)

    assert IntensityRange.of(in_air).width == pytest.approx(IntensityRange.of(head).width, rel=1e-3)


def test_the_amount_of_background_does_not_change_the_range():
    head = scan()
    in_air = np.zeros((40, 12, 12))
    in_air[:12] = head

    assert IntensityRange.of(in_air).width == pytest.approx(IntensityRange.of(head).width)


def test_one_bright_voxel_does_not_change_the_range():
    array = np.random.default_rng(0).uniform(0, 1000, (30, 30, 30))
    outlier = array.copy()
    outlier[3, 4, 5] = 1e9

    assert IntensityRange.of(outlier).width == pytest.approx(IntensityRange.of(array).width, rel=1e-3)


def test_the_ceiling_is_a_high_percentile_of_the_foreground():
    array = np.concatenate([np.zeros(5000), np.arange(101.0, 1101.0)])

    assert IntensityRange.of(array).width == pytest.approx(np.percentile(np.arange(101.0, 1101.0), 99.9))


@given(values=st.lists(st.floats(-1e6, 1e6, allow_subnormal=False, width=32), min_size=1, max_size=30))
def test_restore_inverts_normalize(values):
    array = np.array(values)
    intensities = IntensityRange.of(array)

    restored = intensities.restore(intensities.normalize(array))

    np.testing.assert_allclose(restored, array, rtol=0, atol=1e-5 * (abs(array).max() + intensities.width))


@pytest.mark.parametrize(
    "array",
    [
        pytest.param(np.zeros(8), id="all zero"),
        pytest.param(np.full(8, 7.0), id="constant"),
        pytest.param(np.full(8, -7.0), id="negative constant"),
        pytest.param(np.full(8, 1e30), id="huge constant"),
        pytest.param(np.array([-3.0, -2.0, -1.0]), id="negative only"),
        pytest.param(np.array([5.0]), id="one voxel"),
        pytest.param(np.array([1e30, 2e30]), id="huge"),
        pytest.param(np.array([1e-30, 2e-30]), id="tiny"),
        pytest.param(np.array([1.0, 1.0 + 1e-15]), id="rounding"),
        pytest.param(np.array([np.nan, np.inf]), id="nothing finite"),
        pytest.param(np.array([np.nan, 1.0, 2.0, -np.inf]), id="some finite"),
        pytest.param(np.array([-32768, 32767], dtype=np.int16), id="all of int16"),
        pytest.param(np.array([False, True]), id="mask"),
    ],
)
def test_the_width_is_positive_and_finite(array):
    intensities = IntensityRange.of(array)

    assert 0 < intensities.width < np.inf
    assert np.isfinite(intensities.floor)


def test_nonfinite_voxels_do_not_change_the_range():
    array = scan()
    broken = np.concatenate([array.ravel(), [np.nan, np.inf, -np.inf]])

    assert IntensityRange.of(broken) == IntensityRange.of(array)


def test_the_range_of_a_large_volume_is_estimated_from_a_sample():
    array = np.random.default_rng(0).gamma(2.0, 100.0, 3 * SAMPLED_VOXELS + 17)

    assert IntensityRange.of(array).width == pytest.approx(np.percentile(array, 99.9), rel=0.02)


def test_16_bit_integers_are_restored_exactly():
    array = np.arange(-32768, 32768, dtype=np.int32).astype(np.int16)
    intensities = IntensityRange.of(array)

    np.testing.assert_array_equal(np.rint(intensities.restore(intensities.normalize(array))), array)


def test_values_beyond_single_precision_are_clipped():
    restored = IntensityRange(0.0, 3e38).restore(np.float32([-2.0, 0.5, 2.0]))

    np.testing.assert_allclose(restored, np.float32([-np.finfo(np.float32).max, 1.5e38, np.finfo(np.float32).max]))


def test_normalized_intensities_are_single_precision():
    assert IntensityRange(0.0, 1e30).normalize(np.array([1e30])).dtype == np.float32


# --- non-finite voxels


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_nan_becomes_background_and_infinity_the_brightest_voxel(dtype):
    array = np.array([1, np.nan, 5, np.inf, -np.inf, 3], dtype=dtype)

    replaced, count = replace_non_finite(array)

    assert count == 3
    assert replaced.tolist() == [1, 1, 5, 5, 1, 3]


def test_a_finite_array_is_the_same_object():
    array = np.arange(5.0)

    assert replace_non_finite(array)[0] is array
    assert replace_non_finite(array)[1] == 0


def test_integers_need_no_replacement():
    array = np.arange(5)

    assert replace_non_finite(array) == (array, 0)


def test_replacing_does_not_change_the_input():
    array = np.array([1.0, np.nan])

    replace_non_finite(array)

    assert np.isnan(array[1])


def test_an_array_without_finite_values_is_refused():
    with pytest.raises(InputError, match="no finite values"):
        replace_non_finite(np.full((2, 2, 2), np.nan))


# --- the type of a result


@pytest.mark.parametrize(("stored", "expected"), [("i2", "i2"), ("u8", "u8"), ("?", "u1"), ("f8", "f4"), ("f2", "f4")])
def test_integers_keep_their_type_and_other_types_become_single_precision(stored, expected):
    assert result_type(np.array([0, 1], dtype=stored)) == np.dtype(expected)


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_a_contrast_that_single_precision_would_lose_remains_double(odd):
    assert result_type(np.array([1e8, 1e8 + 100, odd])) == np.float64


def test_the_range_of_the_largest_numbers_is_finite():
    intensities = IntensityRange.of(np.array([-1.7e308, 0.0, 1.7e308]))

    assert np.isfinite(intensities.width)
