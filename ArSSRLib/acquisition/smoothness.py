"""Whether a volume is smooth by nature: an average of many brains, a statistical map, or smoothed data.

A network that does not know the slice profile takes such a volume for one with thick slices, and adds edges that are
not there. Small networks recognize it by its spectra, its noise and its edges. Its voxels then count as point samples,
with which the result gains instead of losing; see docs/field.md.

The coefficients are in `smoothness.json`, written by `Testing/benchmarks/smoothness_fit.py`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ArSSRLib.acquisition.spectra import OWN_FEATURES, edge_features

FloatArray = npt.NDArray[np.float64]

COEFFICIENTS = Path(__file__).with_name("smoothness.json")
# Features are clipped at this number of standard deviations of the fit. Beyond the second number, a volume is unlike
# all those of the fit, such as one with repeated slices, and does not count as smooth.
CLIPPED, OUTSIDE = 4.0, 10.0
# Log odds above which a volume counts as smooth. A sharp volume that counts as smooth keeps the blur of its slices.
LEAST_ODDS = 1.5


@dataclass(frozen=True)
class Classifier:
    """Networks with one hidden layer that predict log odds; F features, H values in the hidden layer, M networks.

    Attributes:
        mean: Mean of each feature in the fit, shape (F,).
        deviation: Standard deviation of each feature, shape (F,).
        first: Weights and biases of the hidden layer, shape (M, F + 1, H).
        last: Weights and biases of the log odds, shape (M, H + 1, 1).
    """

    mean: FloatArray
    deviation: FloatArray
    first: FloatArray
    last: FloatArray

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> Classifier:
        """Return the classifier with the coefficients of a JSON table."""
        return cls(**{field.name: np.array(table[field.name], dtype=np.float64) for field in fields(cls)})

    def log_odds(self, features: FloatArray) -> float:
        """Return the log odds that a volume with these features, shape (F,), is smooth, averaged over the networks.

        They are minus infinity for a volume unlike those of the fit.
        """
        values = (features - self.mean) / self.deviation
        if np.abs(values).max() > OUTSIDE:
            return -math.inf
        values = np.clip(values, -CLIPPED, CLIPPED)
        hidden = np.tanh(values @ self.first[:, :-1] + self.first[:, -1])
        return float((np.einsum("mh,mho->mo", hidden, self.last[:, :-1]) + self.last[:, -1]).mean())


@cache
def fitted() -> Classifier:
    """Return the classifier that is included in ArSSR."""
    return Classifier.from_table(json.loads(COEFFICIENTS.read_text(encoding="utf-8")))


def is_smooth(array: npt.NDArray[Any], axes: Sequence[FloatArray]) -> bool:
    """Tell whether a volume is smooth by nature.

    Args:
        array: Finite intensities without padding, shape (k, j, i).
        axes: The features of the three axes from `spectra.axis_features`.
    """
    return fitted().log_odds(features_of(array, axes)) > LEAST_ODDS


def features_of(array: npt.NDArray[Any], axes: Sequence[FloatArray]) -> FloatArray:
    """Return the features of a volume, shape (F,), which do not depend on the order of its axes; arguments as above."""
    own, edges = np.array([values[:OWN_FEATURES] for values in axes]), edge_features(array)
    spectra, spacing, noise = own[:, :-2], own[:, -2], own[:, -1]
    along = np.sort(np.concatenate([spectra, edges], axis=1), axis=0)
    return np.concatenate([along.ravel(), [spacing.mean(), np.ptp(spacing), noise[0]]])
