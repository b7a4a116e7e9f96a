"""Paired differences: the bootstrap agrees with the complete distribution, and works for few subjects."""

import itertools
import math

import numpy as np
import pytest

from ArSSRLib.evaluation.statistics import paired_difference, summary


def by_subject(numbers):
    return {f"sub-{n}": number for n, number in enumerate(numbers)}


def test_the_interval_is_that_of_all_resamples():
    one, two = np.array([3.0, 5.0, 4.0, 9.0]), np.array([1.0, 4.5, 1.0, 2.0])

    found = paired_difference(by_subject(one), by_subject(two))

    # All 256 resamples of four subjects can be enumerated.
    means = [np.mean(resample) for resample in itertools.product(one - two, repeat=4)]
    assert found.mean == pytest.approx(np.mean(one - two))
    low, high = np.percentile(means, [2.5, 97.5])
    assert (found.low, found.high) == (pytest.approx(low, abs=0.15), pytest.approx(high, abs=0.15))


def test_the_interval_of_many_subjects_is_that_of_the_normal_distribution():
    differences = np.random.default_rng(3).normal(0.5, 2.0, 400)

    found = paired_difference(by_subject(differences), by_subject(np.zeros(400)))

    half = 1.96 * np.std(differences) / 20
    assert (found.low, found.high) == pytest.approx((found.mean - half, found.mean + half), abs=0.03)


def test_subjects_are_paired_by_name_and_not_by_order():
    found = paired_difference({"a": 2.0, "b": 12.0, "only here": 99.0}, {"b": 11.0, "a": 1.0, "only there": -99.0})

    assert (found.mean, found.low, found.high, found.count) == (1.0, 1.0, 1.0, 2)


def test_one_subject_has_no_interval():
    found = paired_difference({"a": 2.0}, {"a": 1.5})

    assert (found.mean, found.count) == (0.5, 1)
    assert math.isnan(found.low)


def test_a_perfect_result_does_not_spoil_the_others():
    found = paired_difference({"a": math.inf, "b": 2.0}, {"a": 3.0, "b": 1.0})

    assert (found.mean, found.count) == (1.0, 1)


def test_without_common_subjects_there_is_no_difference():
    assert paired_difference({"a": 1.0}, {"b": 1.0}).count == 0


def test_the_same_numbers_give_the_same_interval():
    one, two = by_subject([1.0, 4.0, 2.0]), by_subject([0.0, 1.0, 1.5])

    assert paired_difference(one, two) == paired_difference(one, two)


def test_mean_and_deviation_are_those_of_a_sample():
    found = summary([2.0, 4.0, 4.0, 6.0, math.nan])

    assert (found.mean, found.deviation, found.count) == (4.0, pytest.approx(math.sqrt(8 / 3)), 4)


@pytest.mark.parametrize("numbers", [[], [1.0], [1.0, math.inf]])
def test_what_has_no_deviation_says_so(numbers):
    assert math.isnan(summary(numbers).deviation)
