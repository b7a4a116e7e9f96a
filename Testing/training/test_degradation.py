"""The simulated acquisition: closed forms of each slice profile, and agreement with the engine's own matrices."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ArSSRLib.acquisition.batch import (
    BOX,
    GAUSSIAN,
    KSPACE,
    POINT,
    add_rician_noise,
    batch_matrices,
    degrade,
)
from ArSSRLib.acquisition.matrices import acquisition_matrices

PROFILES = {"point": POINT, "gaussian": GAUSSIAN, "box": BOX, "kspace": KSPACE}
# Fine voxels before the first coarse one, more than the reach of any kernel.
MARGIN = 40
COARSE = 12


def matrix(profile: int, scale: float, *, thickness: float = 1.0, coarse: int = COARSE, margin: int = MARGIN):
    """Return the matrix of one item, shape (coarse, fine), with a margin of fine voxels on both sides."""
    count = math.ceil(coarse * scale) + 2 * margin
    return batch_matrices(
        count,
        coarse,
        scale=torch.tensor([scale]),
        profile=torch.tensor([profile]),
        thickness=torch.tensor([thickness]),
        first_face=torch.tensor([float(margin)]),
    )[0]


def centers(scale: float, coarse: int = COARSE, margin: int = MARGIN) -> torch.Tensor:
    """Return the positions of the coarse voxel centers on the fine grid, as continuous indices."""
    return margin + (torch.arange(coarse) + 0.5) * scale - 0.5


def fine_index(scale: float, coarse: int = COARSE, margin: int = MARGIN) -> torch.Tensor:
    return torch.arange(math.ceil(coarse * scale) + 2 * margin, dtype=torch.float32)


# --- agreement with the degradation that upsampling inverts


@pytest.mark.parametrize("profile", ["point", "gaussian"])
@pytest.mark.parametrize("scale", [1.5, 2.0, 3.0, 4.0])
def test_training_and_evaluation_simulate_the_same_acquisition(profile, scale):
    count, coarse = 96, round(96 / scale)
    expected = acquisition_matrices([count], [coarse], profile=profile)[0]

    trained = batch_matrices(
        count,
        coarse,
        scale=torch.tensor([scale]),
        profile=torch.tensor([PROFILES[profile]]),
        thickness=torch.ones(1),
        first_face=torch.zeros(1),
    )[0]

    inside = slice(coarse // 4, -(coarse // 4))
    np.testing.assert_allclose(trained.numpy()[inside], expected[inside], rtol=0, atol=2e-5)


@pytest.mark.parametrize("profile", PROFILES)
@given(scale=st.floats(1, 8), thickness=st.floats(0.6, 1.3))
def test_an_acquisition_keeps_a_constant(profile, scale, thickness):
    sums = matrix(PROFILES[profile], scale, thickness=thickness).sum(dim=1)

    # The sinc of truncated k-space has the longest tails; 40 voxels contain all but a few thousandths of it.
    torch.testing.assert_close(sums, torch.ones(COARSE), rtol=0, atol=5e-3 if profile == "kspace" else 1e-5)


@pytest.mark.parametrize("profile", PROFILES)
@given(scale=st.floats(1, 6), thickness=st.floats(0.6, 1.3))
def test_an_acquisition_does_not_move_the_anatomy(profile, scale, thickness):
    ramp = fine_index(scale, coarse=4) - MARGIN

    result = matrix(PROFILES[profile], scale, thickness=thickness, coarse=4) @ ramp

    torch.testing.assert_close(result, centers(scale, 4) - MARGIN, rtol=0, atol=0.05 if profile == "kspace" else 1e-3)


@pytest.mark.parametrize("profile", ["point", "box", "kspace"])
@pytest.mark.parametrize("count", [1, 2, 9])
def test_an_axis_of_scale_1_stays_as_it_is_up_to_its_ends(profile, count):
    result = matrix(PROFILES[profile], 1.0, coarse=count, margin=0)

    torch.testing.assert_close(result, torch.eye(count), rtol=0, atol=1e-6)


def test_every_item_of_a_batch_has_its_own_acquisition():
    scale, thickness = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 0.7, 1.2])
    profile, first_face = torch.tensor([POINT, GAUSSIAN, BOX]), torch.tensor([0.0, 10.0, 15.0])

    together = batch_matrices(70, 10, scale=scale, profile=profile, thickness=thickness, first_face=first_face)

    for item in range(3):
        one = slice(item, item + 1)
        alone = batch_matrices(
            70,
            10,
            scale=scale[one],
            profile=profile[one],
            thickness=thickness[one],
            first_face=first_face[one],
        )
        torch.testing.assert_close(together[one], alone)


# --- profiles


@pytest.mark.parametrize("scale", [2.0, 3.0, 5.0])
@pytest.mark.parametrize("thickness", [0.6, 1.0, 1.3])
def test_a_box_turns_a_step_into_a_ramp_of_its_width(scale, thickness):
    width = scale * thickness
    # Sampled on the fine grid itself, one coarse voxel per fine voxel, so that only the box has an effect.
    fine = torch.arange(161, dtype=torch.float32)
    response = profile_response(BOX, width)

    blurred = torch.nn.functional.conv1d((fine >= 80).float()[None, None], response[None, None], padding=40)[0, 0]

    # The step is at the face at 79.5; a voxel has the fraction of its window that is beyond it.
    expected = torch.stack([area_beyond(float(x), width, 79.5) for x in fine])
    torch.testing.assert_close(blurred[41:-41], expected[41:-41], rtol=0, atol=1e-5)


def profile_response(profile: int, width: float) -> torch.Tensor:
    """Return the weights of 81 fine voxels around a coarse center that coincides with the middle one."""
    scale = 3.0
    row = matrix(profile, scale, thickness=width / scale, coarse=1)[0]
    middle = MARGIN + 1
    return row[middle - 40 : middle + 41]


def area_beyond(center: float, width: float, face: float) -> torch.Tensor:
    """Return the fraction of a box beyond ``face``, computed voxel by voxel."""
    index = np.arange(-60, 220)
    overlap = np.clip(
        np.minimum(index + 0.5, center + width / 2) - np.maximum(index - 0.5, center - width / 2), 0, None
    )
    return torch.tensor(overlap[index > face].sum() / width, dtype=torch.float32)


@pytest.mark.parametrize("width", [1.5, 2.0, 3.0, 3.7])
def test_a_box_has_the_area_of_each_voxel_under_it(width):
    offset = torch.arange(-40, 41)
    expected = ((width / 2 - (offset.abs() - 0.5)).clamp(0, 1)) / width
    expected[40] = min(1.0, width) / width

    torch.testing.assert_close(profile_response(BOX, width), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("width", [2.0, 3.0, 5.0])
def test_a_gaussian_has_half_its_height_at_half_its_width(width):
    response = profile_response(GAUSSIAN, width).double().numpy()

    # From the logarithm, which is a parabola with the curvature 1 / sigma^2.
    curvature = -np.diff(np.log(response[38:43]), 2)
    np.testing.assert_allclose(np.sqrt(8 * np.log(2) / curvature), width, rtol=1e-3)


@pytest.mark.parametrize("scale", [2.0, 3.0, 4.0])
def test_truncation_of_k_space_keeps_a_low_frequency(scale):
    wave = torch.cos(2 * math.pi * 0.15 / scale * fine_index(scale))

    result = matrix(KSPACE, scale) @ wave

    expected = torch.cos(2 * math.pi * 0.15 / scale * centers(scale))
    torch.testing.assert_close(result, expected, rtol=0, atol=0.03)


@pytest.mark.parametrize("scale", [2.0, 3.0, 4.0])
def test_truncation_of_k_space_removes_frequencies_beyond_its_cut_off(scale):
    wave = torch.cos(2 * math.pi * 0.85 / scale * fine_index(scale))

    assert (matrix(KSPACE, scale) @ wave).abs().max() < 0.05


@pytest.mark.parametrize("profile", ["gaussian", "box"])
def test_thicker_slices_blur_more(profile):
    wave = torch.cos(2 * math.pi * 0.1 * fine_index(3.0))

    heights = [float((matrix(PROFILES[profile], 3.0, thickness=t) @ wave).abs().max()) for t in (0.6, 1.0, 1.3)]

    assert heights == sorted(heights, reverse=True)
    assert heights[0] > 1.05 * heights[2]


# --- patches


def test_a_patch_is_degraded_axis_by_axis_and_item_by_item():
    generator = torch.Generator().manual_seed(0)
    fine = torch.randn((2, 5, 6, 7), generator=generator)
    matrices = tuple(torch.randn((2, 4, n), generator=generator) for n in (5, 6, 7))

    coarse = degrade(fine, matrices)

    torch.testing.assert_close(coarse, torch.einsum("nak,nbj,nci,nkji->nabc", *matrices, fine), rtol=0, atol=1e-4)


# --- noise


def test_noise_on_air_has_the_mean_of_a_rayleigh_distribution():
    sigma = torch.tensor([0.02, 0.1])

    noisy = add_rician_noise(torch.zeros(2, 40, 40, 40), sigma, torch.Generator().manual_seed(0))

    means = noisy.flatten(1).mean(dim=1)
    torch.testing.assert_close(means, sigma * math.sqrt(math.pi / 2), rtol=0.01, atol=0)


def test_noise_on_tissue_has_its_standard_deviation():
    sigma = torch.tensor([0.02])

    noisy = add_rician_noise(torch.ones(1, 40, 40, 40), sigma, torch.Generator().manual_seed(0))

    assert float(noisy.std()) == pytest.approx(0.02, rel=0.02)
    # Rice: the mean is sqrt(signal^2 + sigma^2) to first order.
    assert float(noisy.mean()) == pytest.approx(math.sqrt(1 + 0.02**2), abs=1e-3)


def test_an_item_without_noise_keeps_its_negative_intensities():
    coarse = torch.randn((2, 4, 4, 4), generator=torch.Generator().manual_seed(0))

    noisy = add_rician_noise(coarse, torch.tensor([0.0, 0.1]), torch.Generator().manual_seed(1))

    torch.testing.assert_close(noisy[0], coarse[0], rtol=0, atol=0)
    assert (noisy[1] > 0).all()


def test_the_same_seed_draws_the_same_noise():
    draws = [
        add_rician_noise(torch.ones(1, 4, 4, 4), torch.tensor([0.1]), torch.Generator().manual_seed(3))
        for _ in range(2)
    ]

    assert torch.equal(*draws)
