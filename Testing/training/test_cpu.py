"""Faster training steps on the CPU have the same gradients, with another memory layout or precision."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ArSSRLib.training import cpu
from ArSSRLib.training.cpu import PlainWeightGradients, SinglePrecision

LAST, PLAIN = torch.channels_last_3d, torch.contiguous_format


def gradients_of(layer: nn.Conv3d, features: torch.Tensor) -> list[torch.Tensor]:
    features = features.clone(memory_format=torch.preserve_format).requires_grad_()
    result = F.leaky_relu(layer(features))
    layer.zero_grad()
    result.square().sum().backward()
    return [features.grad, *(parameter.grad for parameter in layer.parameters())]


@pytest.fixture
def calls(monkeypatch):
    """Collects the features of each convolution whose gradients our code computes."""
    seen, original = [], cpu._gradients
    monkeypatch.setattr(cpu, "_gradients", lambda *given: (seen.append(given[1:3]), original(*given))[1])
    return seen


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("order", [LAST, PLAIN])
@pytest.mark.parametrize("padding", ["replicate", "zeros"])
def test_gradients_are_those_of_pytorch(calls, bias, order, padding):
    torch.manual_seed(0)
    size = 1 if padding == "replicate" else 0
    layer = nn.Conv3d(4, 6, 3, padding=size, padding_mode=padding, bias=bias).to(memory_format=order)
    features = torch.randn(2, 4, 7, 6, 5).contiguous(memory_format=order)

    expected = gradients_of(layer, features)
    with PlainWeightGradients():
        found = gradients_of(layer, features)

    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
        assert one.stride() == other.stride()
    assert [weight.is_contiguous() for _, weight in calls] == [order is PLAIN, True]


@pytest.mark.parametrize("options", [{"stride": 2}, {"padding": 1}, {"dilation": 2}, {"groups": 2}])
def test_other_convolutions_are_left_to_pytorch(calls, options):
    layer = nn.Conv3d(4, 6, 3, **options)

    with PlainWeightGradients():
        gradients_of(layer, torch.randn(1, 4, 7, 7, 7))

    assert not calls


def test_without_gradients_convolutions_are_left_to_pytorch(monkeypatch):
    monkeypatch.setattr(cpu._Convolution, "apply", lambda *_: None)

    with torch.no_grad(), PlainWeightGradients():
        result = nn.Conv3d(1, 1, 3)(torch.zeros(1, 1, 4, 4, 4))

    assert result.shape == (1, 1, 2, 2, 2)


def test_single_precision_is_kept_in_a_copy():
    values = torch.tensor([1 + 2**-20])

    with SinglePrecision():
        kept = values.bfloat16()
    kept += 1

    assert kept.dtype == torch.float32
    assert kept.item() == 2 + 2**-20
    assert values.item() == 1 + 2**-20
