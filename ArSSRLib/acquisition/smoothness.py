"""Whether a volume is smooth by nature: an average of many brains, a statistical map, or smoothed data.

Without a known slice profile, a super-resolution network mistakes such a volume for one with thick slices, and adds
false edges. The small networks here recognize it by its spectra, noise and edges; a narrow profile is then assumed,
which improves the result; see docs/field.md.

The coefficients are in `smoothness.json`, written by `Testing/benchmarks/smoothness_fit.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from ArSSRLib.acquisition.networks import FittedNetworks, FloatArray, affine
from ArSSRLib.acquisition.spectra import OWN_FEATURES, Features

COEFFICIENTS = Path(__file__).with_name("smoothness.json")
# Features are clipped at the first number of standard deviations of the fit. Beyond the second, a volume is unlike all
# those of the fit, as with repeated slices, and does not count as smooth.
CLIPPED, OUTSIDE = 4.0, 10.0
# Log odds above which a volume counts as smooth. A sharp volume that counts as smooth keeps the blur of its slices.
LEAST_ODDS = 1.8
# Smallest number of voxels of a volume that can count as smooth. Without noise, sharp crops from the middle of brains,
# with Gaussian slices, looked smooth in 92 % of cases with 16 x 16 x 16 voxels, in 22 % with 28 x 28 x 28, and in 8 %
# with 32 x 32 x 32.
LEAST_VOXELS = 30**3


@dataclass(frozen=True)
class Classifier(FittedNetworks):
    """Networks with one hidden layer that predict log odds; F features, H values in the hidden layer, M networks.

    Attributes:
        first: Weights and biases of the hidden layer, shape (M, F + 1, H).
        last: Weights and biases of the log odds, shape (M, H + 1, 1).
    """

    first: FloatArray
    last: FloatArray

    def log_odds(self, features: FloatArray) -> float:
        """Return the mean log odds that a volume with these features, shape (F,), is smooth; -inf if unlike the fit."""
        values = self.standardized(features)
        if np.abs(values).max() > OUTSIDE:
            return -math.inf
        hidden = np.tanh(affine(np.clip(values, -CLIPPED, CLIPPED)[None, None], self.first))
        return float(affine(hidden, self.last).mean())


@cache
def fitted() -> Classifier:
    """Return the classifier that is included in ArSSR."""
    return Classifier.read(COEFFICIENTS)


def is_smooth(features: Features) -> bool:
    """Return whether a volume with these features is smooth by nature; few voxels cannot show it."""
    return features.voxels >= LEAST_VOXELS and fitted().log_odds(as_vector(features)) > LEAST_ODDS


def as_vector(features: Features) -> FloatArray:
    """Return the features of a volume as a vector, shape (F,), that does not depend on the order of its axes."""
    own = features.axes[:, :OWN_FEATURES]
    spectra, spacing, noise = own[:, :-2], own[:, -2], own[:, -1]
    along = np.sort(np.concatenate([spectra, features.edges], axis=1), axis=0)
    return np.concatenate([along.ravel(), [spacing.mean(), np.ptp(spacing), noise[0]]])
