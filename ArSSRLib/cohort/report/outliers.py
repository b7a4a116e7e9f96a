"""Unusual figures of a result compared with those of its cohort, as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

# Iglewicz and Hoaglin 1993, "How to Detect and Handle Outliers": larger modified z-scores deserve attention.
THRESHOLD = 3.5
# With fewer results, a score depends mostly on their number.
FEWEST = 5
# Median and mean absolute deviation of a normal distribution, as fractions of its standard deviation.
_MEDIAN_DEVIATION, _MEAN_DEVIATION = 0.6745, 0.7979


@dataclass(frozen=True)
class Figure:
    """A number for comparing results: its name in the program and for readers, its unit if any, and its meaning."""

    key: str
    label: str
    unit: str
    meaning: str

    def text(self, value: float) -> str:
        """Return a value with its unit."""
        return f"{value:.3g}{' ' if self.unit else ''}{self.unit}"


FIGURES = (
    Figure(
        "disagreement",
        "Disagreement",
        "%",
        "Difference of a simulated acquisition of the result from the scan, in percent of the intensity range.",
    ),
    Figure(
        "ripple",
        "Ripple",
        "",
        "How visible the original slices still are along the axis with the largest scale: 0 means not at all.",
    ),
    Figure("shift", "Shift", "mm", "The largest distance between the corners of the two fields of view."),
    Figure(
        "difference",
        "Difference",
        "%",
        "Mean difference from cubic interpolation in the slices shown, in percent of the gray window.",
    ),
    Figure("overshoot", "Overshoot", "%", "How far intensities leave the range of the scan, in percent of that range."),
    Figure("gain", "Slice gain", "%", "The largest difference in brightness of a slice from its surroundings."),
)


def robust_scores(values: Sequence[float]) -> list[float]:
    """Return the modified z-scores of values: distances from the median in robust standard deviations.

    If more than half of the values are equal, the mean deviation replaces the median deviation. Scores are 0 if all
    values are equal, or too few.

    Source:
        Iglewicz and Hoaglin 1993, "How to Detect and Handle Outliers", section 3.3.
    """
    array = np.asarray(values, dtype=np.float64)
    if len(array) < FEWEST:
        return [0.0] * len(array)
    distance = array - np.median(array)
    spread = float(np.median(np.abs(distance))) / _MEDIAN_DEVIATION
    spread = spread or float(np.abs(distance).mean()) / _MEAN_DEVIATION
    # Equal except for rounding: half a millionth of a millimeter is not a finding.
    if spread <= 1e-9 * max(1.0, float(np.abs(array).max())):
        return [0.0] * len(array)
    return [float(score) for score in distance / spread]


def outliers_of(results: Sequence[Mapping[str, float]]) -> list[dict[str, str]]:
    """Return the unusual figures of each result among all of these, each explained by a sentence."""
    found: list[dict[str, str]] = [{} for _ in results]
    for figure in FIGURES:
        having = [n for n, figures in enumerate(results) if figure.key in figures]
        values = [results[n][figure.key] for n in having]
        for n, value, score in zip(having, values, robust_scores(values), strict=True):
            if abs(score) > THRESHOLD:
                found[n][figure.key] = (
                    f"{figure.label} is unusually {'high' if score > 0 else 'low'}: {figure.text(value)}, while the "
                    f"median is {figure.text(float(np.median(values)))} (robust z-score {score:+.1f})."
                )
    return found
