"""The slice profile of a volume, estimated from the spectra along its axes.

Small networks predict the contrast that an axis preserves at Nyquist, and the error of that prediction; the profile is
the Gaussian that preserves the same contrast. The profile remains unknown if the error is likely to be large, if the
volume differs from those used for the fit, or if the slices are nearly points: a wrong profile is worse than none.

The coefficients are in `estimate.json`, written by `Testing/benchmarks/profile_fit.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ArSSRLib.acquisition.networks import FittedNetworks, FloatArray, affine
from ArSSRLib.acquisition.profile import FREQUENCIES, FWHM_TO_SIGMA, NARROW, AxisProfile
from ArSSRLib.acquisition.smoothness import is_smooth
from ArSSRLib.acquisition.spectra import Features, features_of

COEFFICIENTS = Path(__file__).with_name("estimate.json")
# Features are clipped at this number of standard deviations of the fit, and may exceed its range by this number.
CLIPPED, OUTSIDE = 3.0, 0.5
# Largest expected error of the contrast for a known axis; see Resources/Evaluation/slice_profile.md.
LARGEST_ERROR = 0.07
# Subtracted from the prediction, because too wide a profile costs less than one that is too narrow.
CAUTION = 0.05
# Less contrast means a smoothed volume, or one that the scanner interpolated. More contrast means points, which cannot
# be distinguished from narrow slices: with points, an estimate gains nothing; with other slices, it costs up to 0.11 dB
# at 3x.
LEAST_KEPT, MOST_KEPT = 0.2, 0.95
# Width assumed for volumes that are smooth by nature, in voxels; see docs/field.md. A larger one would add false edges.
WIDTH_OF_SMOOTH = 0.7
# Fall of the spectrum, in dB, along every axis as fine as the finest, that indicates a cut-off of k-space. Measured:
# 9.8 or more with the filters or the interpolation of scanners; 9.2 or less with Gaussians and boxes up to 1.5 voxels
# wide. Wider ones without noise also fall as steeply. Axes that are coarser by the second number are not encoded.
LEAST_FALL, SLICES = 9.5, 1.5
# Difference in contrast, beyond the expected error, by which a volume contradicts a stated thickness; see
# Resources/Evaluation/stated_profile.md. A wrong profile costs up to several dB, a missing one 0.1 to 0.4 dB.
EXCESS = 0.1


class Prediction(NamedTuple):
    """Prediction for one axis.

    Attributes:
        kept: Contrast that the axis preserves at Nyquist, unitless.
        error: Expected absolute error of the contrast; infinite if the volume differs from those used for the fit.
        smooth: Whether the volume is smooth by nature, so that its profile cannot be predicted.
        tried: Whether the result of a super-resolution network was examined, too; see `ArSSRLib.upsampling.blind`.
        width: Full width at half maximum in voxels that this result indicates; None if it indicates none.
        cut_off: Whether the spectrum ends below or at Nyquist, because the scanner filtered or interpolated it.
    """

    kept: float
    error: float
    smooth: bool = False
    tried: bool = False
    width: float | None = None
    cut_off: bool = False

    def excess(self, stated: AxisProfile) -> float:
        """Return the difference to the contrast that a stated profile preserves, minus the expected error."""
        return abs(self.kept - stated.transfer()[FREQUENCIES.index(0.5)]) - self.error

    def contradicts(self, stated: AxisProfile) -> bool:
        """Return whether a stated thickness must be wrong; the truncated k-space of a 3D acquisition is accepted."""
        return stated.kind != "kspace" and self.excess(stated) > EXCESS


@dataclass(frozen=True)
class Regression(FittedNetworks):
    """Networks with two hidden layers that predict contrast and error; F features, H values per layer, M networks.

    Attributes:
        least: Least standardized value of each feature in the fit, shape (F,).
        most: Largest standardized value of each feature in the fit, shape (F,).
        first: Weights and biases of the first layer, shape (M, F + 1, H).
        second: Weights and biases of the second layer, shape (M, H + 1, H).
        last: Weights and biases for the contrast and for the logarithm of its expected absolute error, shape (M, H + 1,
            2).
    """

    least: FloatArray
    most: FloatArray
    first: FloatArray
    second: FloatArray
    last: FloatArray

    def predicted(self, features: FloatArray) -> Prediction:
        """Return the contrast at Nyquist and its expected absolute error, averaged over the networks, both unitless.

        The error is infinite for features, shape (F,), outside the range of the fit.
        """
        values = self.standardized(features)
        alike = np.all((values >= self.least - OUTSIDE) & (values <= self.most + OUTSIDE))
        hidden = np.tanh(affine(np.clip(values, -CLIPPED, CLIPPED)[None, None], self.first))
        kept, log_error = affine(np.tanh(affine(hidden, self.second)), self.last).mean(axis=(0, 1))
        return Prediction(float(kept), math.exp(log_error) if alike else math.inf)


@cache
def fitted() -> Regression:
    """Return the regression that is included in ArSSR."""
    return Regression.read(COEFFICIENTS)


def predicted_axes(array: npt.NDArray[Any], spacing: Sequence[float]) -> tuple[Prediction | None, ...]:
    """Return the predictions along k, j, i; all None if an axis is too short or the volume has no contrast.

    ``array`` holds finite intensities without padding, shape (k, j, i); ``spacing`` is along k, j, i, in mm.
    """
    features = features_of(array, spacing)
    if features is None:
        return (None,) * 3
    smooth, cut_off = is_smooth(features), _cut_off(features, spacing)
    predictions = (fitted().predicted(axis)._replace(smooth=smooth) for axis in features.axes)
    return tuple(one._replace(cut_off=cut) for one, cut in zip(predictions, cut_off, strict=True))


def _cut_off(features: Features, spacing: Sequence[float]) -> list[bool]:
    """Tell for each of k, j, i whether its spectrum ends at a cut-off, like those of all axes that are as fine."""
    encoded = [s < SLICES * min(spacing) for s in spacing]
    # Along a single axis, the detail of the anatomy itself may end.
    found = sum(encoded) > 1 and features.falls[encoded].min() > LEAST_FALL
    return [bool(found and one) for one in encoded]


def profile_of(prediction: Prediction) -> AxisProfile | None:
    """Return the predicted profile, or None if its expected error is too large."""
    if prediction.smooth:
        return AxisProfile("gaussian", WIDTH_OF_SMOOTH, "estimated")
    if prediction.cut_off:
        return NARROW
    width = None
    if prediction.error <= LARGEST_ERROR and LEAST_KEPT <= prediction.kept <= MOST_KEPT:
        # Two digits, which is more than the accuracy, so that all machines compute the same profile.
        width = round(gaussian_width(prediction.kept - CAUTION), 2)
    if prediction.tried:
        # That result does not reveal profiles that are much wider than usual.
        width = prediction.width and max(prediction.width, width or 0.0)
    return None if width is None else AxisProfile("gaussian", width, "estimated")


def gaussian_width(kept: float) -> float:
    """Return the full width at half maximum, in voxels, of the Gaussian that preserves this contrast at Nyquist."""
    return math.sqrt(-2 * math.log(kept)) / (math.pi * FWHM_TO_SIGMA)
