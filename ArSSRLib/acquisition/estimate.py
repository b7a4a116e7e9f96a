"""The slice profile of a volume, estimated from the spectra along its axes.

Small networks predict the contrast that an axis keeps at Nyquist, and the error of that prediction; the profile is the
Gaussian that keeps as much. Where the error is likely to be large, the volume unlike those that the networks were
fitted to, or the slices about as sharp as points, the axis stays unknown: a wrong profile does more harm than none.

The coefficients are in the file beside this one, which `Testing/benchmarks/profile_fit.py` writes.
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

from ArSSRLib.acquisition.profile import FWHM_TO_SIGMA, AxisProfile
from ArSSRLib.acquisition.spectra import axis_features

FloatArray = npt.NDArray[np.float64]

COEFFICIENTS = Path(__file__).with_name("estimate.json")
# Features are clipped at this many standard deviations of the fit, and may lie this many outside its range.
CLIPPED, OUTSIDE = 3.0, 0.5
# Expected error of the kept contrast above which an axis is unknown; see Resources/Evaluation/slice_profile.md.
LARGEST_ERROR = 0.07
# Taken off the prediction: a profile that is taken too wide costs less than one that is taken too narrow.
CAUTION = 0.05
# One that keeps less is wider than slices are: a smoothed volume, or one that the scanner interpolated. One that keeps
# more is taken for points, from which narrow slices cannot be told: on points it gains nothing, on others it costs
# up to 0.11 dB at 3x.
LEAST_KEPT, MOST_KEPT = 0.2, 0.95


@dataclass(frozen=True)
class Regression:
    """Networks of two hidden layers that predict the kept contrast and its error; H values in each layer, M networks.

    Attributes:
        mean: Of each of the F features in the fit, shape (F,).
        deviation: Standard deviation of each feature, shape (F,).
        least: Least standardized value of each feature in the fit, shape (F,).
        most: Largest one, shape (F,).
        first: Weights and biases of the first layer, shape (M, F + 1, H).
        second: Those of the second layer, shape (M, H + 1, H).
        last: Those of the kept contrast and of the logarithm of its expected absolute error, shape (M, H + 1, 2).
    """

    mean: FloatArray
    deviation: FloatArray
    least: FloatArray
    most: FloatArray
    first: FloatArray
    second: FloatArray
    last: FloatArray

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> Regression:
        """Return the coefficients of a JSON table."""
        return cls(**{field.name: np.array(table[field.name], dtype=np.float64) for field in fields(cls)})

    def standardized(self, features: FloatArray) -> FloatArray:
        """Return features relative to those of the fit, same shape (..., F)."""
        return np.asarray((features - self.mean) / self.deviation)

    def predicted(self, features: FloatArray) -> tuple[float, float]:
        """Return the kept contrast at Nyquist and its expected absolute error, the means over the networks.

        Args:
            features: Of one axis, shape (F,).

        Returns:
            Both unitless; the error is infinite for features unlike those of the fit.
        """
        values = self.standardized(features)
        alike = np.all((values >= self.least - OUTSIDE) & (values <= self.most + OUTSIDE))
        hidden = np.tanh(_affine(np.clip(values, -CLIPPED, CLIPPED)[None, None], self.first))
        kept, log_error = _affine(np.tanh(_affine(hidden, self.second)), self.last).mean(axis=(0, 1))
        return float(kept), math.exp(log_error) if alike else math.inf


def _affine(values: FloatArray, layer: FloatArray) -> FloatArray:
    """Return values, shape (1 or M, N, F), after layers of weights and biases, shape (M, F + 1, H)."""
    return np.asarray(values @ layer[:, :-1] + layer[:, -1:])


@cache
def fitted() -> Regression:
    """Return the regression that ships with ArSSR."""
    return Regression.from_table(json.loads(COEFFICIENTS.read_text(encoding="utf-8")))


def estimated_axes(array: npt.NDArray[Any], spacing: Sequence[float]) -> tuple[AxisProfile | None, ...]:
    """Return the estimated profile along each of k, j, i; None where no confident estimate is possible.

    Args:
        array: Finite intensities without padding, shape (k, j, i).
        spacing: Along k, j, i, in mm.
    """
    return tuple(
        None if features is None else profile_of(*fitted().predicted(features))
        for features in axis_features(array, spacing)
    )


def profile_of(kept: float, error: float) -> AxisProfile | None:
    """Return the profile with a kept contrast at Nyquist, or None if the prediction is not to be trusted.

    Args:
        kept: Predicted contrast, unitless.
        error: Its expected error.
    """
    if not (error <= LARGEST_ERROR and LEAST_KEPT <= kept <= MOST_KEPT):
        return None
    # Two digits, which is more than is known, so that a volume has the same profile on every machine.
    return AxisProfile("gaussian", round(gaussian_width(kept - CAUTION), 2), "estimated")


def gaussian_width(kept: float) -> float:
    """Return the full width at half maximum, in voxels, of the Gaussian that keeps so much contrast at Nyquist."""
    return math.sqrt(-2 * math.log(kept)) / (math.pi * FWHM_TO_SIGMA)
