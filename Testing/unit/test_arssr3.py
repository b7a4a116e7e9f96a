"""arssr3 receives the slice profile if it is known; otherwise, it equals the network that it was grown from."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from ArSSRLib.acquisition.profile import UNKNOWN, AxisProfile, SliceProfile, told_of
from ArSSRLib.coordinates import QueryGrid, whole_grid
from ArSSRLib.errors import InputError
from ArSSRLib.interpolation import spline_on_grid
from ArSSRLib.model.arssr2 import ArSSR2Config
from ArSSRLib.model.arssr3 import ArSSR3, ArSSR3Config
from ArSSRLib.model.interface import Conditioning
from ArSSRLib.model.registry import build_model, model_config_from_json

SHAPE, FINE = (7, 9, 8), (16, 9, 21)
WIDTHS = {"channels": 4, "blocks": 2, "feature_channels": 8}
GAUSSIAN = SliceProfile((AxisProfile("gaussian", 0.8),) * 3)
VOLUME = torch.rand((1, 1, *SHAPE), generator=torch.Generator().manual_seed(0))


def told(profile: SliceProfile) -> Conditioning:
    return Conditioning.between(SHAPE, FINE, told_of(profile))


def randomized(network: torch.nn.Module) -> torch.nn.Module:
    """Return a network in which no layer is 0, as after training."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return network.eval()


def answered(network, conditioning: Conditioning | None) -> torch.Tensor:
    with torch.no_grad():
        return network.query_grid(network.encode_lean(VOLUME, conditioning), whole_grid(SHAPE, FINE), conditioning)


@pytest.fixture
def network() -> ArSSR3:
    return randomized(build_model(ArSSR3Config(**WIDTHS, modulator_width=40)))


def test_the_profile_changes_the_prediction(network):
    unknown = answered(network, told(UNKNOWN))

    assert (answered(network, told(GAUSSIAN)) - unknown).abs().max() > 1e-4


def test_an_unknown_profile_equals_no_profile(network):
    torch.testing.assert_close(
        answered(network, told(UNKNOWN)), answered(network, Conditioning.between(SHAPE, FINE)), rtol=0, atol=0
    )


def test_the_profile_of_an_axis_that_keeps_its_resolution_changes_nothing(network):
    i, _, k = GAUSSIAN.axes
    kept = SliceProfile((i, AxisProfile("box", 1.3), k))

    torch.testing.assert_close(answered(network, told(kept)), answered(network, told(GAUSSIAN)), rtol=0, atol=0)


def test_the_network_receives_an_estimate_as_less_certain_than_a_fact(network):
    estimated = SliceProfile(tuple(dataclasses.replace(axis, source="estimated") for axis in GAUSSIAN.axes))

    assert not torch.equal(answered(network, told(estimated)), answered(network, told(GAUSSIAN)))


def test_scattered_points_and_the_block_of_training_equal_the_grid(network):
    grid: QueryGrid = whole_grid(SHAPE, FINE)
    points = torch.stack(torch.meshgrid(*grid.query, indexing="ij"), dim=-1).reshape(1, -1, 3)
    expected = answered(network, told(GAUSSIAN))

    with torch.no_grad():
        feature_map = network.encode(VOLUME, told(GAUSSIAN))
        scattered = network.query(feature_map, points.float(), told(GAUSSIAN)).view(FINE)
        positions = tuple(position.float() for position in grid.sampling)
        base = spline_on_grid(feature_map[0, -1], positions)
        block = base + network.residual_of_block(feature_map[0, :-1], positions, told(GAUSSIAN))

    torch.testing.assert_close(scattered, expected, rtol=0, atol=2e-5)
    torch.testing.assert_close(block, expected, rtol=0, atol=2e-5)


def test_each_volume_of_a_batch_has_its_own_profile(network):
    one, other = told(GAUSSIAN), told(UNKNOWN)
    both = Conditioning(torch.cat([one.scale, other.scale]), torch.cat([one.acquisition, other.acquisition]))
    points = torch.zeros((2, 4, 3))
    with torch.no_grad():
        together = network.query(network.encode(VOLUME.repeat(2, 1, 1, 1, 1), both), points, both)
        alone = network.query(network.encode(VOLUME, other), points[:1], other)

    torch.testing.assert_close(together[1:], alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("profile", [UNKNOWN, GAUSSIAN])
def test_weights_of_arssr2_predict_the_same_with_any_profile(profile):
    arssr2 = randomized(build_model(ArSSR2Config(**WIDTHS)))
    before = answered(arssr2, Conditioning.between(SHAPE, FINE))

    network = ArSSR3.adopting(arssr2, ArSSR3Config(**WIDTHS)).eval()

    torch.testing.assert_close(answered(network, told(profile)), before, rtol=0, atol=1e-6)


def test_weights_of_arssr2_can_be_adopted_by_a_deeper_network():
    arssr2 = randomized(build_model(ArSSR2Config(**WIDTHS)))
    before = answered(arssr2, Conditioning.between(SHAPE, FINE))

    network = ArSSR3.adopting(arssr2, ArSSR3Config(**WIDTHS | {"blocks": 3})).eval()

    torch.testing.assert_close(answered(network, told(GAUSSIAN)), before, rtol=0, atol=1e-6)


def test_weights_of_other_widths_are_refused():
    arssr2 = build_model(ArSSR2Config(**WIDTHS))

    with pytest.raises(InputError, match=r"only model.blocks can grow"):
        ArSSR3.adopting(arssr2, ArSSR3Config(**WIDTHS | {"channels": 6}))


def test_the_strength_of_the_correction_is_between_0_and_1(network):
    strength = network.correction_strength(told(GAUSSIAN)).detach()

    assert strength.shape == (1,)
    assert 0 < float(strength) < 1


def test_a_configuration_is_read_back_from_json(network):
    assert model_config_from_json(network.config.to_json()) == network.config
