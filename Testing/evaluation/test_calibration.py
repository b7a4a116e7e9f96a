"""Uncertainty and error: correlations agree with SciPy, and deciles distinguish calibrated from useless uncertainty."""

import math

import numpy as np
import pytest
from evaluation.tables import protocol_of
from evaluation.test_scoring import scored
from scipy import stats

from ArSSRLib.evaluation.calibration import ERROR, PEARSON, SPEARMAN, UNCERTAINTY, calibration, curve
from ArSSRLib.evaluation.figures import draw_calibration
from ArSSRLib.evaluation.markdown import simulated_tables
from ArSSRLib.evaluation.results import Row
from ArSSRLib.evaluation.scoring import METRICS


@pytest.fixture
def honest():
    """Return standard deviations, and absolute errors drawn from Gaussians with them."""
    rng = np.random.default_rng(0)
    spread = rng.uniform(1, 10, 20_000)
    return spread, np.abs(rng.normal(0, spread))


def test_the_correlations_are_those_of_scipy(honest):
    numbers = {name: number for name, where, number in calibration(*honest, 1.0) if not where}

    assert numbers[PEARSON] == pytest.approx(stats.pearsonr(*honest).statistic)
    assert numbers[SPEARMAN] == pytest.approx(stats.spearmanr(*honest).statistic)


def test_the_deciles_of_an_honest_uncertainty_lie_on_the_line_of_a_gaussian(honest):
    points = curve(calibration(*honest, 100.0))

    assert len(points) == 10
    for uncertainty, error in points:
        assert error == pytest.approx(uncertainty * math.sqrt(2 / math.pi), rel=0.06)
    assert points[0][0] == pytest.approx(145, rel=0.02)


def test_the_deciles_of_a_useless_uncertainty_have_one_error(honest):
    spread, _ = honest
    errors = [
        error for _, error in curve(calibration(spread, np.random.default_rng(1).exponential(1, spread.shape), 1))
    ]

    assert max(errors) - min(errors) < 0.15


def test_a_constant_uncertainty_correlates_with_nothing():
    numbers = calibration(np.ones(100), np.arange(100.0), 1.0)

    assert math.isnan(numbers[0][2])
    assert math.isnan(numbers[1][2])


def test_the_metric_judges_voxels_in_the_mask_in_percent_of_the_range():
    given = scored()
    error = np.abs(given.result - given.truth)

    values = METRICS["uncertainty"].measure(scored(uncertainty=error))

    numbers = {(value.metric, value.region): value.number for value in values}
    assert numbers[PEARSON, "mask"] == pytest.approx(1)
    assert numbers[SPEARMAN, "mask"] == pytest.approx(1)
    largest = np.sort(error[given.mask])[-(given.mask.sum() // 10) :].mean()
    assert numbers[ERROR, "decile 10"] == pytest.approx(100 * largest / np.ptp(given.truth), rel=1e-3)
    assert numbers[UNCERTAINTY, "decile 10"] == numbers[ERROR, "decile 10"]


def test_a_method_without_an_uncertainty_is_not_judged_by_it():
    assert METRICS["uncertainty"].measure(scored()) == []


def rows(honest):
    return [Row("a", "2", "point", "ours", *number) for number in calibration(*honest, 1.0)]


def test_the_deciles_are_one_table_a_row_for_each_side(honest, tmp_path):
    text = "\n\n".join(simulated_tables(rows(honest), protocol_of(tmp_path)))

    assert "| ours, 2x point | uncertainty | 1.45 |" in text
    assert "| ours, 2x point | absolute error | 1.1" in text
    assert "decile 1" not in text


def test_the_picture_is_written(honest, tmp_path):
    path = draw_calibration(rows(honest), tmp_path / "calibration.png")

    assert path.read_bytes().startswith(b"\x89PNG")
