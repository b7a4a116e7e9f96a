"""Outliers among results are found by the robust z-score and explained; too few results have none."""

from __future__ import annotations

import numpy as np
import pytest

from ArSSRLib.cohort.report.outliers import outliers_of, robust_scores


def test_scores_are_those_of_iglewicz_and_hoaglin():
    values = [2.1, 2.6, 2.4, 2.5, 2.3, 2.1, 2.3, 2.6, 8.2, 8.3]  # the example in the source
    deviation = np.median(np.abs(np.array(values) - 2.45))

    assert robust_scores(values) == pytest.approx(0.6745 * (np.array(values) - 2.45) / deviation)


@pytest.mark.parametrize("values", [[1.0, 1.0, 1.0, 9.0], [5.0] * 20, [5.0] * 19 + [5.0 + 1e-12]])
def test_too_few_or_equal_values_have_no_outlier(values):
    assert robust_scores(values) == [0.0] * len(values)


def test_one_different_value_among_equals_is_an_outlier():
    assert robust_scores([1.0] * 19 + [2.0])[-1] > 3.5


def test_an_outlier_is_explained_and_a_missing_figure_is_not_an_outlier():
    results = [{"ripple": 0.2 + 0.01 * n} for n in range(9)] + [{"ripple": 0.9}, {}]

    found = outliers_of(results)

    assert [n for n, outliers in enumerate(found) if outliers] == [9]
    assert found[9]["ripple"].startswith("Ripple is unusually high: 0.9, while the median is 0.245 (robust z-score +")
