"""The estimate of the slice profile from a network's own result."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from phantoms import texture

from ArSSRLib.acquisition import decision
from ArSSRLib.acquisition.decision import decide
from ArSSRLib.acquisition.estimate import Prediction, profile_of
from ArSSRLib.acquisition.matrices import coarse_shape, profile_matrices
from ArSSRLib.acquisition.profile import UNKNOWN, AxisProfile, SliceProfile
from ArSSRLib.checkpoint import load_model
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.interpolation import apply_matrices
from ArSSRLib.normalization import IntensityRange
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.upsampling.blind import SHORTEST, VOXELS, WIDTHS, BlindEstimate, central_part, tried_scale
from ArSSRLib.volume import FileHeader, Volume

CPU = torch.device("cpu")
ALL, THICK = (2.0, 2.0, 2.0), (4.0, 1.0, 1.0)
EVERYWHERE = (True, True, True)
UNSURE = (Prediction(0.5, math.inf),) * 3


class Oracle:
    """A network that knows the truth of a scan, both of shape (k, j, i)."""

    uses_profile = True

    def __init__(self, truth, scan):
        self.truth = torch.from_numpy(IntensityRange.of(scan).normalize(truth))
        self.asked = 0

    def to(self, device):
        return self

    def eval(self):
        return self

    def encode_tile(self, volume, told, progress):
        self.asked += 1
        assert not told.acquisition.any(), "the network must not be given a profile"
        return lambda grid: self.truth


@pytest.fixture(scope="module")
def truth():
    """A texture from 0 to 1, shape (60, 60, 60)."""
    array = texture(128)[34:94, 34:94, 34:94]  # without the background
    return ((array - array.min()) / np.ptp(array)).astype(np.float32)


def acquired(truth, scale, width):
    """Return a simulated acquisition."""
    axis = AxisProfile("point") if width is None else AxisProfile("gaussian", width)
    coarse = coarse_shape(truth.shape, scale)
    return apply_matrices(
        torch.from_numpy(truth), profile_matrices(truth.shape, coarse, SliceProfile((axis,) * 3))
    ).numpy()


def volume_of(array, spacing=(2.0, 2.0, 2.0), header=None):
    return Volume(array, VolumeGeometry(array.shape[::-1], spacing), header or FileHeader())


@pytest.fixture
def unsure(monkeypatch):
    """Spectra that are not conclusive."""
    monkeypatch.setattr(decision, "predicted_axes", lambda *_: UNSURE)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("scale", "which"), [(ALL, 0), (THICK, 1)])
def test_the_acquired_result_of_a_network_indicates_the_width(truth, scale, which, width):
    scan = acquired(truth, scale, width)

    assert BlindEstimate(Oracle(truth, scan), CPU).width(scan, scale) == WIDTHS[width][which]


def test_each_uncertain_axis_has_the_width(truth, unsure):
    scan = acquired(truth, ALL, 0.5)
    estimate, volume = BlindEstimate(Oracle(truth, scan), CPU), volume_of(scan)

    found = decide(volume, UpsamplingOptions(), (2, 2, 2), estimate=estimate).profile

    assert found == SliceProfile((AxisProfile("gaussian", 0.6, "estimated"),) * 3)
    assert decide(volume, UpsamplingOptions(slice_thickness="unknown"), estimate=estimate).profile == UNKNOWN


def test_only_the_thick_axis_is_tried(truth, unsure):
    scan = acquired(truth, THICK, 0.5)

    found = BlindEstimate(Oracle(truth, scan), CPU)(volume_of(scan, (1.0, 1.0, 4.0)), EVERYWHERE)

    assert [(one.tried, one.width) for one in found] == [(False, None), (False, None), (True, 0.6)]


def test_nothing_is_tried_where_the_profile_is_stated_or_the_axis_keeps_its_resolution(truth, unsure):
    stated = SliceProfile((AxisProfile("gaussian", 0.5, "DICOM"),) * 3)
    scan = acquired(truth, ALL, 0.5)
    network = Oracle(truth, scan)
    estimate = BlindEstimate(network, CPU)

    decide(volume_of(scan, header=FileHeader(profile=stated)), UpsamplingOptions(), estimate=estimate)
    decide(volume_of(scan), UpsamplingOptions(), (1, 1, 1), estimate=estimate)

    assert network.asked == 0


def test_nothing_is_tried_for_smooth_volumes_and_with_networks_that_do_not_use_the_profile(
    truth, unsure, tiny_model, monkeypatch
):
    scan = acquired(truth, ALL, 0.5)
    network, volume = Oracle(truth, scan), volume_of(scan)

    assert BlindEstimate(tiny_model, CPU)(volume, EVERYWHERE) == UNSURE
    smooth = tuple(one._replace(smooth=True) for one in UNSURE)
    monkeypatch.setattr(decision, "predicted_axes", lambda *_: smooth)
    assert BlindEstimate(network, CPU)(volume, EVERYWHERE) == smooth
    assert network.asked == 0


def test_a_few_slices_are_not_tried(truth):
    network = Oracle(truth, truth)

    assert BlindEstimate(network, CPU).width(truth[: SHORTEST - 1], THICK) is None
    assert network.asked == 0


@pytest.mark.parametrize(
    ("spectral", "width", "expected"),
    [
        (Prediction(0.5, math.inf), 0.6, 0.6),
        (Prediction(0.5, math.inf), None, None),
        (Prediction(0.25, 0.01), 0.6, 1.34),  # the spectra are certain of a larger width
        (Prediction(0.9, 0.01), 0.6, 0.6),
        (Prediction(0.25, 0.01), None, None),
    ],
)
def test_the_network_decides_unless_the_spectra_are_certain_of_a_larger_width(spectral, width, expected):
    axis = profile_of(spectral._replace(tried=True, width=width))

    assert axis == (expected and AxisProfile("gaussian", expected, "estimated"))


def test_a_thickness_is_refuted_as_without_a_network(truth, monkeypatch):
    certain = (Prediction(0.95, 0.01),) * 3
    monkeypatch.setattr(decision, "predicted_axes", lambda *_: certain)
    stated = SliceProfile((None, None, AxisProfile("gaussian", 1.0, "DICOM")))
    scan = acquired(truth, ALL, 0.5)
    volume = volume_of(scan, header=FileHeader(profile=stated))

    found = decide(volume, UpsamplingOptions(), estimate=BlindEstimate(Oracle(truth, scan), CPU))

    assert found.refuted == stated
    assert found.profile.axes[2] is not None


@pytest.mark.parametrize(
    ("spacing", "expected"),
    [
        ((1.0, 1.0, 1.0), (2.0, 2.0, 2.0)),
        ((1.0, 1.4, 1.4), (2.0, 2.0, 2.0)),
        ((0.7, 0.7, 4.2), (1.0, 1.0, 4.0)),
        ((1.0, 3.0, 1.0), (1.0, 3.0, 1.0)),
    ],
)
def test_volumes_are_tried_at_the_scale_that_users_choose(spacing, expected):
    assert tried_scale(spacing) == pytest.approx(expected)


@pytest.mark.parametrize("scale", [ALL, THICK])
def test_the_part_is_at_the_center_and_limited(scale):
    array = np.zeros((101, 300, 301), np.float32)
    array[50, 150, 150] = 1

    part = central_part(array, scale)

    assert part.size < 1.2 * VOXELS
    place = np.unravel_index(part.argmax(), part.shape)
    assert np.abs(np.subtract(place, [(n - 1) / 2 for n in part.shape])).max() <= 1
    edges = np.multiply(part.shape, scale)
    assert edges.max() < 1.1 * edges.min()


def test_the_default_model_recognizes_narrow_slices_and_points():
    estimate, head = BlindEstimate(load_model("arssr3"), CPU), texture(64)

    assert estimate.width(acquired(head, ALL, None), ALL) is None
    assert 0.5 <= estimate.width(acquired(head, ALL, 0.7), ALL) <= 0.9


def test_anatomy_away_from_the_center_is_found():
    scan = np.pad(acquired(texture(64), ALL, 0.7), ((60, 0), (0, 60), (60, 0)))

    assert BlindEstimate(load_model("arssr3"), CPU).width(scan, ALL) is not None


def test_frames_share_the_estimate_of_the_first_one(truth, unsure):
    scan = acquired(truth, ALL, 0.5)
    network, volume = Oracle(truth, scan), volume_of(scan)
    estimate = decision.EstimatedOnce(BlindEstimate(network, CPU))

    frames = [volume, replace(volume, array=volume.array + 1)]

    assert len({decide(frame, UpsamplingOptions(), estimate=estimate).profile for frame in frames}) == 1
    assert network.asked == 1
