"""A grown network predicts the same as the original one, and its new blocks can learn."""

import dataclasses

import pytest
import torch
from training.runs import TINY, TINY_PUBLISHED

from ArSSRLib.errors import InputError
from ArSSRLib.model.interface import Conditioning
from ArSSRLib.model.registry import build_model


@pytest.fixture
def trained():
    torch.manual_seed(0)
    model = build_model(dataclasses.replace(TINY, blocks=2))
    for parameter in model.parameters():  # nothing is zero anymore
        torch.nn.init.normal_(parameter, std=0.2)
    return model


def test_a_deeper_network_predicts_the_same_at_first(trained):
    deeper = trained.grown(dataclasses.replace(trained.config, blocks=5))
    volume = torch.rand(2, 1, 7, 6, 5)
    scale = Conditioning(torch.tensor([[2.0, 3.0, 1.0], [1.5, 1.5, 4.0]]))

    torch.testing.assert_close(deeper.encode(volume, scale), trained.encode(volume, scale), rtol=1e-5, atol=1e-5)


def test_a_new_block_learns_from_the_first_step(trained):
    deeper = trained.grown(dataclasses.replace(trained.config, blocks=3))
    deeper.encode(torch.rand(1, 1, 6, 6, 6)).square().mean().backward()

    assert deeper.blocks[2].second.weight.grad.abs().max() > 0
    # Its first convolution is random, so that the units of the second differ.
    assert deeper.blocks[2].first.weight.std() > 0


def test_a_network_of_the_same_depth_is_taken_as_it_is(trained):
    assert trained.grown(trained.config) is trained


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"blocks": 1}, "have 2 residual blocks, but model.blocks = 1"), ({"channels": 16}, "only model.blocks can grow")],
)
def test_a_change_that_would_lose_weights_is_refused(trained, changes, reason):
    with pytest.raises(InputError, match=reason):
        trained.grown(dataclasses.replace(trained.config, **changes))


def test_the_published_network_does_not_grow():
    with pytest.raises(InputError, match=r"only model\.blocks can grow"):
        build_model(TINY_PUBLISHED).grown(TINY)
