"""Properties of every kind of network; new kinds are tested here automatically."""

from __future__ import annotations

import pytest
import torch

from ArSSRLib.coordinates import whole_grid
from ArSSRLib.model.interface import Conditioning
from ArSSRLib.model.registry import build_model, kinds, model_config_from_dict, model_config_from_json

COARSE, FINE = (5, 4, 6), (10, 8, 12)
TOLD = Conditioning.between(COARSE, FINE)


@pytest.fixture(scope="module", params=sorted(kinds()))
def network(request):
    """A network of each kind, without weights that are zero."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model = build_model(model_config_from_dict({"kind": request.param})).eval()
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.02 if parameter.ndim == 1 else (1 / parameter[0].numel()) ** 0.5)
    return model


@pytest.fixture(scope="module")
def volume():
    return torch.rand(1, 1, *COARSE, generator=torch.Generator().manual_seed(6))


def test_its_configuration_is_saved_and_loaded_unchanged(network):
    assert model_config_from_json(network.config.to_json()) == network.config
    assert kinds()[network.config.kind][1] is type(network)


@torch.inference_mode()
def test_encode_lean_agrees_with_encode(network, volume):
    torch.testing.assert_close(
        network.encode_lean(volume, TOLD), network.encode(volume, TOLD), atol=1e-4, rtol=1e-4, check_stride=False
    )


@torch.inference_mode()
@pytest.mark.parametrize("first", [(0, 0, 0), (1, 0, 1)])
def test_a_box_of_a_feature_map_equals_the_whole_except_for_its_outermost_features(network, volume, first):
    k, j, i = (slice(a, n - a) for a, n in zip(first, COARSE, strict=True))
    inside = (..., *(slice(a > 0, n - 2 * a - (a > 0)) for a, n in zip(first, COARSE, strict=True)))

    box = network.encode_box(volume, (k, j, i), TOLD)
    whole = network.encode(volume, TOLD)[:, :, k, j, i]

    assert box.shape == whole.shape
    torch.testing.assert_close(box[inside], whole[inside], atol=1e-4, rtol=1e-4, check_stride=False)


@torch.inference_mode()
def test_query_grid_agrees_with_query(network, volume):
    grid = whole_grid(COARSE, FINE)
    points = torch.stack(torch.meshgrid(*(axis.float() for axis in grid.query), indexing="ij"), dim=-1)
    feature_map = network.encode(volume, TOLD)

    found = network.query(feature_map, points.view(1, -1, 3), TOLD).view(FINE)

    torch.testing.assert_close(found.float(), network.query_grid(feature_map, grid, TOLD), atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_a_tile_reports_fractions_of_its_encoding_with_a_sum_of_at_most_1(network, volume):
    parts: list[float] = []

    fine = network.encode_tile(volume, TOLD, parts.append)(whole_grid(COARSE, FINE))

    assert fine.shape == FINE
    assert torch.isfinite(fine).all()
    assert all(part >= 0 for part in parts)
    # Features that an encoder computes twice to save memory count twice.
    assert sum(parts) < 1.01


def test_a_training_step_reaches_every_weight_that_can_be_compiled(network, volume):
    coordinates = 2 * torch.rand(1, 30, 3, generator=torch.Generator().manual_seed(7)) - 1

    network(volume, TOLD, coordinates, placed=coordinates).square().sum().backward()

    layers = network.compilable_layers()
    assert layers
    for parameter in (parameter for layer in layers for parameter in layer.parameters()):
        assert parameter.grad is not None
    network.zero_grad(set_to_none=True)


@pytest.mark.parametrize("kind", sorted(kind for kind, (config, _) in kinds().items() if config.ADOPTS))
def test_it_can_start_from_the_weights_of_every_kind_that_it_adopts(kind):
    config, network = kinds()[kind]
    for other in config.ADOPTS:
        weights = build_model(model_config_from_dict({"kind": other}))

        assert network.adopting(weights, model_config_from_dict({"kind": kind})).config.kind == kind
