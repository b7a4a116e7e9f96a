"""The optimizer of a recipe: which weights Muon updates, by how much, and that it is PyTorch's own."""

import pytest
import torch
from torch import nn
from training.runs import TINY, TINY_PUBLISHED, tiny_config

from ArSSRLib.errors import InputError
from ArSSRLib.model.registry import build_model
from ArSSRLib.training.cpu import SinglePrecision
from ArSSRLib.training.optimizers import MuonWithAdam, as_matrix, is_hidden, make_optimizer

RATE = 1e-2


def with_gradients(parameters):
    generator = torch.Generator().manual_seed(3)
    for weight in parameters:
        weight.grad = torch.randn(weight.shape, generator=generator)
    return parameters


def stepped(layer):
    before = [weight.detach().clone() for weight in layer.parameters()]
    optimizer = MuonWithAdam(with_gradients(list(layer.parameters())), RATE, fused=False)
    optimizer.step()
    return [weight.detach() - old for weight, old in zip(layer.parameters(), before, strict=True)]


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last_3d])
def test_a_convolution_learns_in_all_directions_alike(memory_format):
    torch.manual_seed(0)
    layer = nn.Conv3d(12, 10, 3).to(memory_format=memory_format)

    change, _ = stepped(layer)

    # Orthogonal rows: all singular values are equal, within the accuracy of five Newton-Schulz iterations.
    singular = torch.linalg.svdvals(change.flatten(1)) / (0.2 * RATE * (12 * 27) ** 0.5)
    assert singular.min() > 0.6
    assert singular.max() < 1.3


def test_the_order_of_memory_does_not_change_what_is_learned():
    changes = []
    for memory_format in (torch.contiguous_format, torch.channels_last_3d):
        torch.manual_seed(0)
        changes.append(stepped(nn.Conv3d(12, 10, 3).to(memory_format=memory_format))[0])

    torch.testing.assert_close(changes[0], changes[1], rtol=1e-4, atol=1e-4 * RATE)


def test_a_square_layer_moves_as_pytorchs_own_muon_moves_it():
    torch.manual_seed(0)
    layer = nn.Linear(9, 9)
    alone = nn.Parameter(layer.weight.detach().clone())
    before = alone.detach().clone()
    muon = torch.optim.Muon(with_gradients([alone]), lr=RATE, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    with SinglePrecision():
        muon.step()

    torch.testing.assert_close(stepped(layer)[0], alone.detach() - before, rtol=0, atol=1e-9)


def test_a_bias_moves_as_adam_moves_it():
    change = stepped(nn.Conv3d(12, 10, 3))[1]

    # Adam's first step is the learning rate in the direction of the gradient.
    torch.testing.assert_close(change.abs(), torch.full_like(change, RATE), rtol=1e-5, atol=0)


@pytest.mark.parametrize("config", [TINY, TINY_PUBLISHED], ids=["ours", "published"])
def test_entry_exit_and_modulation_are_not_for_muon(config):
    hidden = {name for name, weight in build_model(config).named_parameters() if is_hidden(weight)}

    assert hidden
    assert not [name for name in hidden if name.startswith(("head", "output", "encoder.conv_start", "decoder.out"))]
    assert not [name for name in hidden if "modulation" in name or name.endswith("bias")]


def test_a_weight_seen_as_a_matrix_is_the_weight_itself():
    for memory_format in (torch.contiguous_format, torch.channels_last_3d):
        weight = nn.Conv3d(5, 4, 3).to(memory_format=memory_format).weight.detach()
        assert as_matrix(weight, like=weight).data_ptr() == weight.data_ptr()


def test_forgetting_gradients_forgets_those_of_both_optimizers():
    layer = nn.Conv3d(12, 10, 3)
    optimizer = MuonWithAdam(with_gradients(list(layer.parameters())), RATE, fused=False)
    optimizer.zero_grad()

    assert all(weight.grad is None for weight in layer.parameters())


def test_a_pytorch_without_muon_is_named_with_the_way_out(tmp_path, monkeypatch):
    monkeypatch.delattr(torch.optim, "Muon")

    with pytest.raises(InputError, match=r'needs PyTorch 2\.9 or later.*optimizer = "adam"'):
        make_optimizer(build_model(TINY), tiny_config(tmp_path, optimizer="muon"))


def test_a_scheduled_learning_rate_reaches_both_optimizers(tmp_path):
    optimizer = make_optimizer(build_model(TINY), tiny_config(tmp_path, optimizer="muon"))
    for group in optimizer.param_groups:
        group["lr"] = 0.125

    assert {group["lr"] for part in optimizer.state_dict().values() for group in part["param_groups"]} == {0.125}
