"""Agreement with the scan equals back-projection step by step, in tiles or as a whole."""

from __future__ import annotations

import pytest
import torch

from ArSSRLib.acquisition.consistency import Agreement, corrected
from ArSSRLib.acquisition.matrices import back_project
from ArSSRLib.acquisition.profile import AxisProfile, SliceProfile
from ArSSRLib.interpolation import apply_matrices, cubic_upsample

FINE, COARSE = (24, 30, 28), (12, 10, 28)
PROFILE = SliceProfile((None, AxisProfile("box", 1.1), AxisProfile("gaussian", 0.9)))
WHOLE = [slice(None)] * 3


@pytest.fixture
def agreement() -> Agreement:
    return Agreement.of(FINE, COARSE, PROFILE)


@pytest.fixture
def measured() -> torch.Tensor:
    return torch.rand(COARSE, generator=torch.Generator().manual_seed(0))


def corrected_result(agreement: Agreement, fine: torch.Tensor, measured: torch.Tensor, **how: float) -> torch.Tensor:
    difference = measured - agreement.simulated(fine, WHOLE)
    return fine + agreement.interpolated(agreement.correction(difference, **how), WHOLE)


def test_all_steps_at_once_equal_back_projection_step_by_step(agreement, measured):
    start = cubic_upsample(measured, FINE)
    expected = back_project(measured, start, [matrix.numpy() for matrix in agreement.down], iterations=4)

    result = corrected_result(agreement, start, measured, strength=1.0, steps=4)

    torch.testing.assert_close(result, expected, rtol=0, atol=1e-5)


def test_more_steps_agree_better(agreement, measured):
    fine = torch.rand(FINE, generator=torch.Generator().manual_seed(1))

    def difference(steps: int) -> float:
        result = corrected_result(agreement, fine, measured, strength=0.8, steps=steps)
        return float((measured - agreement.simulated(result, WHOLE)).square().mean())

    before = float((measured - agreement.simulated(fine, WHOLE)).square().mean())
    assert difference(3) < 0.5 * difference(1) < 0.5 * before


def test_a_consistent_result_is_not_changed(agreement):
    fine = torch.rand(FINE, generator=torch.Generator().manual_seed(2))

    result = corrected_result(agreement, fine, agreement.simulated(fine, WHOLE), strength=1.0)

    torch.testing.assert_close(result, fine, rtol=0, atol=1e-6)


def test_tiles_add_up_to_the_whole(agreement):
    fine = torch.rand(FINE, generator=torch.Generator().manual_seed(3))
    rows, columns = [slice(0, 7), slice(7, 24)], [slice(0, 30), slice(30, 30), slice(11, 28)]
    places = [(k, slice(None), i) for k in rows for i in (slice(0, 11), columns[2])]

    parts = sum(agreement.simulated(fine[place], place) for place in places)
    correction = torch.rand(COARSE, generator=torch.Generator().manual_seed(4))
    pieces = torch.empty(FINE)
    for place in places:
        pieces[place] = agreement.interpolated(correction, place)

    torch.testing.assert_close(parts, agreement.simulated(fine, WHOLE), rtol=0, atol=1e-5)
    torch.testing.assert_close(pieces, agreement.interpolated(correction, WHOLE), rtol=0, atol=1e-6)


def test_a_strength_of_0_changes_nothing(agreement, measured):
    fine = torch.rand(FINE, generator=torch.Generator().manual_seed(5))

    torch.testing.assert_close(corrected_result(agreement, fine, measured, strength=0.0), fine, rtol=0, atol=0)


def test_the_correction_is_differentiable_in_its_strength(agreement, measured):
    strength = torch.tensor(0.5, requires_grad=True)
    round_trip = [down @ up for down, up in zip(agreement.down, agreement.up, strict=True)]

    corrected(measured, round_trip, strength).square().sum().backward()

    assert float(strength.grad) > 0


def test_a_wrong_profile_makes_a_correct_result_worse(agreement):
    """With a wrong profile, the correction does harm; this is why it is off unless the profile is known."""
    truth = cubic_upsample(torch.rand((8, 10, 9), generator=torch.Generator().manual_seed(6)), FINE)
    measured = apply_matrices(truth, agreement.down)
    wrong = Agreement.of(FINE, COARSE, SliceProfile((AxisProfile("point"),) * 3))

    right_error = (corrected_result(agreement, truth, measured, strength=1.0) - truth).abs().max()
    wrong_error = (corrected_result(wrong, truth, measured, strength=1.0) - truth).abs().max()

    assert right_error < 1e-5
    assert wrong_error > 1e-2
