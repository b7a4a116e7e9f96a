"""How a volume was acquired: slice profiles, simulated acquisitions, and agreement with the measurement.

One vocabulary for the engine, training and evaluation. Files and headers are read in `io`; this package turns what
they say into numbers.
"""

from ArSSRLib.acquisition.consistency import Agreement, corrected
from ArSSRLib.acquisition.matrices import (
    PROFILES,
    acquisition_matrices,
    back_project,
    coarse_shape,
    endpoint_matrices,
    mean_matrix,
    profile_matrices,
    simulate_low_resolution,
)
from ArSSRLib.acquisition.profile import KINDS, UNKNOWN, AxisProfile, SliceProfile, told_of

__all__ = [
    "KINDS",
    "PROFILES",
    "UNKNOWN",
    "Agreement",
    "AxisProfile",
    "SliceProfile",
    "acquisition_matrices",
    "back_project",
    "coarse_shape",
    "corrected",
    "endpoint_matrices",
    "mean_matrix",
    "profile_matrices",
    "simulate_low_resolution",
    "told_of",
]
