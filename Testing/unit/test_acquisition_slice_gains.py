"""Gains of slices are detected and removed; anatomy is not mistaken for gains, and nothing else is changed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from ArSSRLib.acquisition.profile import UNKNOWN, AxisProfile, SliceProfile
from ArSSRLib.acquisition.slice_gains import SliceGains, estimate_slice_gains, slice_axis
from ArSSRLib.normalization import IntensityRange

SLICES, PLANE = 26, (64, 56)
ALTERNATING = 1 + 0.03 * (-1.0) ** np.arange(SLICES)


def head(*, noise: float = 15.0, seed: int = 0, slices: int = SLICES) -> np.ndarray:
    """Return a head of three tissues and a bright ventricle in air, with 4 mm slices of 1 mm voxels, up to 1000."""
    rng = np.random.default_rng(seed)
    k, j, i = np.meshgrid(*[np.linspace(-1, 1, n) for n in (slices, *PLANE)], indexing="ij")
    folds = ndimage.gaussian_filter(rng.normal(size=k.shape), (1.0, 4.0, 4.0))
    tissue = np.where(folds > 0, 800.0, 550.0) * (
        1.1 - 0.15 * k**2 - 0.1 * i
    )  # the sensitivity of a coil decreases with the distance
    array = np.where(k**2 + j**2 + i**2 < 0.9, tissue, 0)
    array = np.where((k / 0.5) ** 2 + (j / 0.25) ** 2 + (i / 0.15) ** 2 < 1, 1000.0, array)
    return np.abs(ndimage.gaussian_filter(array, (0.4, 0.7, 0.7)) + noise * rng.normal(size=array.shape))


def along_k(factors: np.ndarray) -> np.ndarray:
    return factors[:, None, None]


def estimate(array: np.ndarray, axis: int = 0, **options) -> SliceGains | None:
    return estimate_slice_gains(array, axis, IntensityRange.of(array), **options)


def fast(logarithms: np.ndarray) -> np.ndarray:
    """Return a series of slices without changes over more than eight slices, and without the outer slices."""
    n = np.arange(len(logarithms))
    slow = np.cos(np.pi * np.arange(len(n) // 4 + 1) * (n[:, None] + 0.5) / len(n))
    return (logarithms - slow @ np.linalg.lstsq(slow, logarithms, rcond=None)[0])[4:-4]


def left(found: SliceGains | None, true: np.ndarray) -> float:
    """Return the root mean square of the remaining gains, in percent."""
    factors = np.ones(len(true)) if found is None else np.array(found.factors)
    return 100 * float(np.sqrt(np.mean(fast(np.log(true / factors)) ** 2)))


@pytest.mark.parametrize("amount", [0.01, 0.02, 0.05])
def test_interleaved_gains_are_found(amount):
    true = 1 + amount * (-1.0) ** np.arange(SLICES)

    found = estimate(head() * along_k(true))

    assert left(found, true) < 0.2 * 100 * amount


def test_random_gains_are_reduced_and_never_increased():
    before, after = [], []
    for seed in range(4):
        true = np.exp(0.03 * np.random.default_rng(10 + seed).normal(size=40))
        before.append(left(None, true))
        after.append(left(estimate(head(seed=seed, slices=40) * along_k(true)), true))

    assert np.mean(after) < 0.7 * np.mean(before)
    assert all(a <= 1.01 * b for a, b in zip(after, before, strict=True))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_may_lie_along_any_axis(axis):
    found = estimate(np.moveaxis(head() * along_k(ALTERNATING), 0, axis), axis)

    assert found is not None
    assert (found.axis, found.factors) == (axis, pytest.approx(estimate(head() * along_k(ALTERNATING)).factors))


def bright_slice(array: np.ndarray) -> np.ndarray:
    changed = array.copy()
    changed[12, 10:40, 12:40] *= 1.5  # a structure in only one slice
    return changed


ANATOMIES = {
    "head": lambda array: array,
    "no noise": lambda _: head(noise=0),
    "brightness that changes from the first slice to the last": lambda array: (
        array * along_k(np.linspace(0.5, 1.5, SLICES))
    ),
    "brightness that rises and falls": lambda array: array * along_k(1.3 + np.sin(np.arange(SLICES) / 3)),
    "a bright structure in one slice": bright_slice,
    "empty end slices": lambda array: array * along_k((abs(np.arange(SLICES) - 12) < 8).astype(float)),
    "inverted contrast": lambda array: np.where(array > 100, 1500 - array, array),
    "negative values": lambda array: array - 600,
    "noise alone": lambda array: np.abs(np.random.default_rng(1).normal(size=array.shape)),
    "labels": lambda array: np.digitize(array, [100, 400, 700, 950]).astype(np.int16),
    "one value": lambda array: np.full_like(array, 7),
}


@pytest.mark.parametrize("anatomy", ANATOMIES)
def test_anatomy_is_not_mistaken_for_gains(anatomy):
    assert estimate(ANATOMIES[anatomy](head())) is None


@pytest.mark.parametrize("anatomy", [name for name in ANATOMIES if name not in ("noise alone", "labels", "one value")])
def test_gains_are_found_in_any_anatomy(anatomy):
    array = ANATOMIES[anatomy](head())
    floor = IntensityRange.of(array).floor

    assert left(estimate(floor + (array - floor) * along_k(ALTERNATING)), ALTERNATING) < 1.0


def test_offset_and_gain_of_the_volume_change_nothing():
    array = head() * along_k(ALTERNATING)

    assert estimate(-3 * 1e4 + 0.2 * array).factors == pytest.approx(estimate(array).factors, abs=1e-6)


def test_the_mean_of_a_slab_is_preserved():
    found = estimate(head() * along_k(ALTERNATING) * along_k(np.linspace(0.8, 1.2, SLICES)))

    means = np.convolve(np.log(found.factors), np.ones(8) / 8, "valid")
    assert np.abs(means).max() < 0.003


def test_ignored_voxels_do_not_change_the_estimate():
    array = head() * along_k(ALTERNATING)
    spoiled, ignored = array.copy(), np.zeros(array.shape, dtype=bool)
    ignored[:, :40] = True
    spoiled[ignored] = 800.0  # without a trace of the gains
    intensities = IntensityRange.of(array)

    assert left(estimate_slice_gains(spoiled, 0, intensities), ALTERNATING) > 1.5
    assert left(estimate_slice_gains(spoiled, 0, intensities, ignored=ignored), ALTERNATING) < 0.6


@pytest.mark.parametrize("count", [1, 2, 3, 7, 9])
def test_too_few_slices_have_no_estimate(count):
    assert estimate(head()[:count] * along_k(ALTERNATING[:count])) is None


@pytest.mark.parametrize("shape", [(26, 1, 1), (26, 2, 40), (26, 3, 3)])
def test_narrow_slices_have_no_estimate(shape):
    assert estimate(np.random.default_rng(0).random(shape)) is None


def test_even_slices_times_the_gains_are_the_scan_above_the_background():
    array = np.random.default_rng(2).integers(-200, 900, (5, 6, 7)).astype(np.int16)
    gains = SliceGains(1, (0.9, 1.0, 1.1, 1.02, 0.97, 1.0))

    even = gains.removed_from(array, 50.0)

    factors = np.array(gains.factors)[:, None]
    again = np.where(even > 50, 50 + (even - 50) * factors, even)
    np.testing.assert_allclose(again, array, rtol=0, atol=1e-3)
    assert even.dtype == np.float32
    np.testing.assert_array_equal(even[array <= 50], array[array <= 50])


def test_the_contrast_on_a_high_offset_is_kept():
    array = 1e9 + head() * along_k(ALTERNATING)

    even = estimate(array).removed_from(array, IntensityRange.of(array).floor)

    np.testing.assert_allclose(even - 1e9, head(), rtol=0, atol=20)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float64])
def test_gains_are_found_in_every_voxel_type(dtype):
    array = head() * along_k(ALTERNATING) / (5 if dtype is np.uint8 else 1)

    assert left(estimate(array.astype(dtype)), ALTERNATING) < 0.6


GAUSSIAN, KSPACE = AxisProfile("gaussian", 1.0, "DICOM"), AxisProfile("kspace", 1.0, "DICOM")


@pytest.mark.parametrize(
    ("spacing", "profile", "axis"),
    [
        ((1, 1, 3), UNKNOWN, 0),
        ((3, 1, 1), UNKNOWN, 2),
        ((1, 4, 0.9), UNKNOWN, 1),
        ((1, 1, 1.2), UNKNOWN, None),
        ((1, 1, 1), UNKNOWN, None),
        ((1, 3, 3), UNKNOWN, None),
        ((1, 1, 3), SliceProfile((KSPACE, KSPACE, KSPACE)), None),  # a 3D acquisition of thick partitions
        ((2, 2, 2), SliceProfile((KSPACE, KSPACE, GAUSSIAN)), 0),  # a 2D acquisition of isotropic voxels
        ((2, 2, 2), SliceProfile((GAUSSIAN, KSPACE, KSPACE)), 2),
        ((1, 1, 1), SliceProfile((None, None, AxisProfile("gaussian", 1.0, "estimated"))), None),
        ((1, 1, 4), SliceProfile((None, None, AxisProfile("point", 1.0, "estimated"))), 0),
    ],
)
def test_only_acquisitions_slice_by_slice_have_a_slice_axis(spacing, profile, axis):
    assert slice_axis(spacing, profile) == axis


def test_a_summary_is_in_percent():
    summary = SliceGains(2, (0.95, 1.05, 1.0, 1.0)).summary()

    assert (summary.axis, summary.largest, summary.rms) == ("i", 5.0, pytest.approx(3.54))
