"""Statistics over subjects: mean, standard deviation, and paired differences with a bootstrap confidence interval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.95
RESAMPLES = 9999
SEED = 0
# With fewer subjects, the percentile interval is known to be too narrow, which the report mentions.
FEW_SUBJECTS = 10


@dataclass(frozen=True)
class Summary:
    """Mean and sample standard deviation of ``count`` numbers; the deviation of a single number is NaN."""

    mean: float
    deviation: float
    count: int


@dataclass(frozen=True)
class Difference:
    """Mean paired difference and its confidence interval, which is NaN for a single subject."""

    mean: float
    low: float
    high: float
    count: int


def summary(numbers: Sequence[float]) -> Summary:
    """Return mean and standard deviation; NaN is ignored, infinite numbers count."""
    known = [number for number in numbers if not math.isnan(number)]
    if not known:
        return Summary(math.nan, math.nan, 0)
    spread = len(known) > 1 and all(map(math.isfinite, known))
    return Summary(float(np.mean(known)), float(np.std(known, ddof=1)) if spread else math.nan, len(known))


def paired_difference(numbers: Mapping[str, float], reference: Mapping[str, float]) -> Difference:
    """Return the paired differences between the numbers of a method and of a reference over subjects.

    The interval is the percentile bootstrap of the mean over subjects, with a fixed seed. Unlike its bias-corrected
    variants, it exists for two subjects and for equal differences.

    Args:
        numbers: Numbers by subject.
        reference: Numbers by subject; only subjects that are finite in both count.

    Source:
        Efron and Tibshirani 1993, An introduction to the bootstrap, chapter 13.
    """
    pairs = [(numbers[name], reference[name]) for name in sorted(numbers.keys() & reference.keys())]
    differences = np.array([one - two for one, two in pairs if math.isfinite(one) and math.isfinite(two)])
    if len(differences) == 0:
        return Difference(math.nan, math.nan, math.nan, 0)
    mean = float(differences.mean())
    if len(differences) == 1:
        return Difference(mean, math.nan, math.nan, 1)
    interval = stats.bootstrap(
        (differences,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=LEVEL,
        method="percentile",
        random_state=np.random.default_rng(SEED),
    ).confidence_interval
    return Difference(mean, float(interval.low), float(interval.high), len(differences))
