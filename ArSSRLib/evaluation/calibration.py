"""Agreement between the uncertainty and the error of a result: correlation over voxels, and mean error per decile."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import stats

from ArSSRLib.evaluation.statistics import summary

DECILES = 10
DECILE = "decile {}"  # 1 is the most certain
PEARSON, SPEARMAN = "uncertainty_pearson", "uncertainty_spearman"
# Mean uncertainty and mean absolute error of a decile, in percent of the range of the truth.
UNCERTAINTY, ERROR = "decile_uncertainty", "decile_error"

# Name of a number, its decile or "", and its value.
Number = tuple[str, str, float]
FloatArray = npt.NDArray[np.floating]


def calibration(uncertainty: FloatArray, error: FloatArray, percent: float) -> list[Number]:
    """Return the measures of an uncertainty.

    Args:
        uncertainty: Standard deviation of each voxel.
        error: Absolute error of each voxel, in the same units and of the same shape.
        percent: Factor from these units to percent of the range of the truth.

    Returns:
        Both correlations, NaN if either side is constant; then, for each tenth of the voxels, from the most to the
        least certain, the mean uncertainty and the mean absolute error in percent.
    """
    uncertainty, error = uncertainty.ravel().astype(np.float64), error.ravel().astype(np.float64)
    constant = min(uncertainty.size, error.size) < DECILES or np.ptp(uncertainty) == 0 or np.ptp(error) == 0
    pearson = math.nan if constant else float(np.corrcoef(uncertainty, error)[0, 1])
    spearman = math.nan if constant else float(stats.spearmanr(uncertainty, error).statistic)
    numbers: list[Number] = [(PEARSON, "", pearson), (SPEARMAN, "", spearman)]
    parts = np.array_split(np.argsort(uncertainty, kind="stable"), DECILES)
    for count, part in enumerate(parts, start=1):
        for name, values in ((UNCERTAINTY, uncertainty), (ERROR, error)):
            mean = percent * float(values[part].mean()) if part.size else math.nan
            numbers.append((name, DECILE.format(count), mean))
    return numbers


def curve(values: Sequence[tuple[str, str, float]]) -> list[tuple[float, float]]:
    """Return the mean uncertainty and the mean absolute error per decile, averaged over subjects, in percent."""
    points = []
    for count in range(1, DECILES + 1):
        x, y = (
            summary([number for name, where, number in values if (name, where) == (wanted, DECILE.format(count))]).mean
            for wanted in (UNCERTAINTY, ERROR)
        )
        points.append((x, y))
    return points
