"""Slice profiles: the values that a network receives, and impossible profiles."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ArSSRLib.acquisition.batch import batch_matrices, batch_transfer
from ArSSRLib.acquisition.matrices import profile_matrices
from ArSSRLib.acquisition.profile import FREQUENCIES, KINDS, UNKNOWN, AxisProfile, SliceProfile, told_of
from ArSSRLib.errors import InputError


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        (AxisProfile("point"), [1.0] * 4),
        (AxisProfile("box", 1.0), [np.sinc(f) for f in FREQUENCIES]),
        (AxisProfile("gaussian", 1.0), [math.exp(-((math.pi * f) ** 2) / (4 * math.log(2))) for f in FREQUENCIES]),
    ],
)
def test_the_transfer_function_is_the_transform_of_the_profile(profile, expected):
    np.testing.assert_allclose(profile.transfer(), expected, atol=1e-12)


@pytest.mark.parametrize("kind", ["gaussian", "box"])
def test_the_transfer_function_agrees_with_a_simulated_acquisition_of_a_wave(kind):
    fine, coarse, cycles = 480, 60, 15  # 0.25 cycles per coarse voxel
    profile = SliceProfile((None, None, AxisProfile(kind, 0.9)))
    down = profile_matrices((fine, 4, 4), (coarse, 4, 4), profile)[0]
    wave = np.cos(2 * np.pi * cycles * (np.arange(fine) + 0.5) / fine)
    expected = np.cos(2 * np.pi * cycles * (np.arange(coarse) + 0.5) / coarse)

    middle = slice(10, 50)
    kept = (down @ wave)[middle] @ expected[middle] / (expected[middle] @ expected[middle])

    assert kept == pytest.approx(AxisProfile(kind, 0.9).transfer()[0], abs=0.01)


@pytest.mark.parametrize("number", range(4))
def test_the_network_receives_the_same_profile_in_training_and_upsampling(number):
    width = torch.tensor([1.0, 0.7, 1.4])

    kept = batch_transfer(torch.full((3,), number), width)

    expected = [AxisProfile(KINDS[number], float(w)).transfer() for w in width]
    torch.testing.assert_close(kept, torch.tensor(expected), rtol=0, atol=1e-6)


@pytest.mark.parametrize("number", range(4))
def test_training_and_evaluation_simulate_the_same_acquisition(number):
    fine, coarse = 48, 16
    profile = SliceProfile((None, None, AxisProfile(KINDS[number], 1.2)))
    expected = profile_matrices((fine, 4, 4), (coarse, 4, 4), profile)[0]

    made = batch_matrices(
        fine,
        coarse,
        scale=torch.tensor([3.0]),
        profile=torch.tensor([number]),
        thickness=torch.tensor([1.2]),
        first_face=torch.zeros(1),
    )[0]

    np.testing.assert_allclose(made[6:10].numpy(), expected[6:10], atol=2e-3)


def test_the_network_receives_no_profile_of_an_unknown_axis():
    told = np.array(told_of(SliceProfile((AxisProfile("point"), None, None))))

    assert not told[:2].any()
    assert told[2].tolist() == [1, 1, 1, 1, 1]  # axis i comes last in (k, j, i)


def test_a_profile_covers_a_scale_if_all_upsampled_axes_are_known():
    thick = SliceProfile((None, None, AxisProfile("gaussian", 1.0)))

    assert thick.covers((1, 1, 4))
    assert not thick.covers((2, 1, 4))
    assert not UNKNOWN.covers((1, 1, 1.5))


@pytest.mark.parametrize("width", [0.0, -1.0, math.nan, math.inf, 17.0])
def test_an_impossible_thickness_is_refused(width):
    with pytest.raises(InputError, match="times the slice spacing is impossible; expected more than 0"):
        AxisProfile("gaussian", width)


def test_an_unknown_kind_is_refused():
    with pytest.raises(InputError, match='"lorentz" is unknown; choose one of point, gaussian, box, kspace'):
        AxisProfile("lorentz")


def test_matrices_of_an_unknown_axis_are_refused():
    with pytest.raises(ValueError, match="of 3 voxels, coarsened from 9, is unknown"):
        profile_matrices((9, 4, 4), (3, 4, 4), UNKNOWN)
