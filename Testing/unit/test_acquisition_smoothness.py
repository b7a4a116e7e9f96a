"""Volumes that are smooth by nature are recognized, and have a narrow profile; sharp ones are not."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from phantoms import texture
from scipy import ndimage

from ArSSRLib.acquisition.decision import decide
from ArSSRLib.acquisition.estimate import Prediction, predicted_axes, profile_of
from ArSSRLib.acquisition.matrices import coarse_shape, profile_matrices
from ArSSRLib.acquisition.profile import FWHM_TO_SIGMA, AxisProfile, SliceProfile
from ArSSRLib.acquisition.smoothness import CLIPPED, OUTSIDE, as_vector, fitted
from ArSSRLib.acquisition.spectra import features_of
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.interpolation import apply_matrices
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.resampling import resample_isotropic
from ArSSRLib.training.dataset import load_normalized
from ArSSRLib.volume import FileHeader, Volume

VALIDATION = Path(__file__).resolve().parents[3] / "shared" / "data" / "val"
ISOTROPIC = (1.2, 1.2, 1.2)
NARROW = AxisProfile("gaussian", 0.7, "estimated")


@pytest.fixture(scope="module")
def sharp() -> np.ndarray:
    return texture(steepness=1.5)


@pytest.fixture(scope="module")
def smooth(sharp) -> np.ndarray:
    """Return the texture with the blur of an average of brains, 5 mm."""
    return np.asarray(ndimage.gaussian_filter(sharp, 5 / 1.2 * FWHM_TO_SIGMA))


def counts_as_smooth(array, spacing=ISOTROPIC) -> list[bool]:
    """Return what counts along k, j and i."""
    return [found is not None and found.smooth for found in predicted_axes(array, spacing)]


def acquired(truth, kind, scale) -> np.ndarray:
    """Return a simulated acquisition whose slices are as thick as their distance."""
    profile = SliceProfile((AxisProfile(kind),) * 3)
    return apply_matrices(
        torch.from_numpy(np.ascontiguousarray(truth)),
        profile_matrices(truth.shape, coarse_shape(truth.shape, scale), profile),
    ).numpy()


def features(array, spacing=ISOTROPIC) -> np.ndarray:
    return as_vector(features_of(array, spacing))


def test_a_smooth_volume_is_recognized(smooth):
    assert counts_as_smooth(smooth) == [True] * 3


def test_a_sharp_volume_is_not(sharp):
    assert counts_as_smooth(sharp) == [False] * 3


@pytest.mark.parametrize("kind", ["gaussian", "box", "point"])
@pytest.mark.parametrize("scale", [(3, 3, 3), (4, 1, 1), (1, 1, 4)])
def test_slices_as_thick_as_their_distance_are_not(sharp, kind, scale):
    assert counts_as_smooth(acquired(sharp, kind, scale), [s * 1.2 for s in scale]) == [False] * 3


@pytest.mark.parametrize("kind", ["gaussian", "point"])
@pytest.mark.parametrize("scale", [(2, 2, 2), (3, 3, 3), (4, 4, 4), (4, 1, 1)])
def test_no_validation_volume_counts_as_smooth(kind, scale):
    files = sorted(VALIDATION.glob("*.nii.gz"))
    if not files:
        pytest.skip("the validation volumes of shared/data are not beside this project")
    truth = resample_isotropic(load_normalized(files[0]), 1.2).array

    assert counts_as_smooth(acquired(truth, kind, scale), [s * 1.2 for s in scale]) == [False] * 3


def test_noise_is_not():
    assert counts_as_smooth(np.random.default_rng(0).standard_normal((40, 40, 40))) == [False] * 3


@pytest.mark.parametrize("shape", [(1, 64, 64), (6, 64, 64), (3, 3, 3)])
def test_few_slices_are_not(shape):
    assert counts_as_smooth(np.random.default_rng(0).random(shape)) == [False] * 3


def test_offset_and_gain_change_nothing(smooth):
    exact = smooth.astype(np.float64)

    np.testing.assert_allclose(features(500 * exact - 300), features(exact), atol=1e-6)


@pytest.mark.parametrize("order", [(1, 2, 0), (2, 1, 0)])
def test_the_order_of_the_axes_changes_nothing(smooth, order):
    uneven = smooth[8:80, 4:90]
    spacing = (1.5, 1.2, 1.0)
    turned = np.ascontiguousarray(uneven.transpose(order))

    expected = features(uneven, spacing)

    # The sampled lines differ slightly.
    np.testing.assert_allclose(features(turned, [spacing[n] for n in order]), expected, atol=0.1)


def test_a_steeper_edge_has_larger_differences():
    lines = (np.sin(2 * np.pi * np.arange(40) / period) for period in (20, 5))

    volumes = (np.broadcast_to(line, (40, 40, 40)) for line in lines)
    gentle, steep = (features_of(volume, ISOTROPIC).edges[2] for volume in volumes)

    assert steep[3] > gentle[3] + 1


def test_values_outside_the_fit_change_no_more_than_those_at_its_limit_and_far_outside_nothing_is_smooth():
    classifier = fitted()
    at_limit, outside, far = (classifier.mean + n * classifier.deviation for n in (CLIPPED, OUTSIDE - 1, OUTSIDE + 1))

    assert classifier.log_odds(outside) == pytest.approx(classifier.log_odds(at_limit))
    assert classifier.log_odds(far) == -math.inf


def test_a_volume_of_few_voxels_is_not(smooth):
    assert counts_as_smooth(smooth[30:62, 30:62, 30:62]) == [True] * 3
    assert counts_as_smooth(smooth[30:58, 30:58, 30:58]) == [False] * 3


def test_repeated_slices_are_not(smooth):
    assert counts_as_smooth(np.repeat(smooth[48:49], 24, axis=0), (4.8, 1.2, 1.2)) == [False] * 3


def test_a_smooth_volume_has_a_narrow_profile_where_nothing_is_stated(caplog):
    stated = AxisProfile("gaussian", 1.0, "DICOM")
    guess = Prediction(0.41, 0.01, smooth=True)
    geometry = VolumeGeometry((8, 8, 8), ISOTROPIC)
    header = FileHeader(profile=SliceProfile((stated, None, None)))
    volume = Volume(np.zeros((8, 8, 8), np.float32), geometry, header)

    with caplog.at_level(logging.INFO):
        decision = decide(volume, UpsamplingOptions(), (2, 2, 1), estimate=lambda *_: (guess,) * 3)
        decision.log(geometry.spacing)

    assert decision.profile == SliceProfile((stated, NARROW, None))
    assert "The slice profile is estimated from the volume: j: Gaussian of" in caplog.text


def test_a_smooth_volume_has_a_narrow_profile_although_its_contrast_cannot_be_predicted():
    assert profile_of(Prediction(0.1, math.inf, smooth=True)) == NARROW
    assert profile_of(Prediction(0.1, math.inf)) is None
