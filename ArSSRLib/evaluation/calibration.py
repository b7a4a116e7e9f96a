"""How well an uncertainty foretells the error of a result: correlation over voxels, and mean error by its deciles."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import stats

from ArSSRLib.evaluation.statistics import summary

DECILES = 10
PEARSON, SPEARMAN = "uncertainty_pearson", "uncertainty_spearman"
# The mean uncertainty of a decile and the mean absolute error there, in percent of the truth's range.
UNCERTAINTY, ERROR = "decile_uncertainty", "decile_error"

# Name of a number, its decile or "", and the number.
Number = tuple[str, str, float]
FloatArray = npt.NDArray[np.floating]


def calibration(uncertainty: FloatArray, error: FloatArray, percent: float) -> list[Number]:
    """Return the numbers on an uncertainty.

    Args:
        uncertainty: Standard deviation of each voxel.
        error: Absolute error of each voxel, in the same units and of the same shape.
        percent: From these units to percent of the truth's range.

    Returns:
        Both correlations, NaN where either side is constant; then for each tenth of the voxels, from the most certain
        to the least, the mean uncertainty and the mean absolute error in percent.
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
            numbers.append((name, decile(count), mean))
    return numbers


def decile(count: int) -> str:
    """Return the name of a decile, 1 being the most certain."""
    return f"decile {count}"


def curve(values: Sequence[tuple[str, str, float]]) -> list[tuple[float, float]]:
    """Return for each decile the mean uncertainty and the mean absolute error, averaged over subjects, in percent."""
    points = []
    for count in range(1, DECILES + 1):
        x, y = (
            summary([number for name, where, number in values if (name, where) == (wanted, decile(count))]).mean
            for wanted in (UNCERTAINTY, ERROR)
        )
        points.append((x, y))
    return points
