"""The encoders in 16 bits agree with those of the models; in float32, they are equal except for rounding."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import pad

from ArSSRLib.kernels.encoding import published_encoder, repeated_outwards, residual_encoder
from ArSSRLib.model.arssr import ArSSR, ArSSRConfig
from ArSSRLib.model.arssr2 import ArSSR2Config
from ArSSRLib.model.arssr3 import ArSSR3Config
from ArSSRLib.model.interface import Conditioning
from ArSSRLib.model.registry import build_model

SHAPES = [(6, 7, 8), (1, 5, 3)]


@pytest.fixture(scope="module", params=[ArSSR2Config, ArSSR3Config], ids=["arssr2", "arssr3"])
def ours(request):
    """A network with a nonzero modulation by the scale."""
    torch.manual_seed(20260)
    model = build_model(request.param(channels=8, blocks=2, feature_channels=6)).eval()
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.3)
    return model


@pytest.fixture(scope="module")
def published() -> ArSSR:
    torch.manual_seed(20260)
    return ArSSR(ArSSRConfig(encoder="ResCNN", feature_channels=8)).eval()


def worst(found: torch.Tensor, expected: torch.Tensor) -> float:
    assert found.shape == expected.shape
    return float((found - expected).abs().max() / expected.abs().max())


@torch.inference_mode()
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("number_format", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 5e-2)], ids=str)
def test_the_features_agree_with_the_model(ours, shape, number_format, tolerance):
    volume, scale, acquisition = torch.rand(1, 1, *shape), torch.tensor([[1.5, 2.0, 4.0]]), torch.rand(1, 3, 5)

    features = residual_encoder(ours, number_format)(volume, scale, acquisition)

    assert features.dtype == number_format
    assert worst(features, ours.encode(volume, Conditioning(scale, acquisition))[:, :-1]) < tolerance


@torch.inference_mode()
@pytest.mark.parametrize(("number_format", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 5e-2)], ids=str)
def test_features_of_the_published_network_agree_with_the_model(published, number_format, tolerance):
    volume = torch.rand(1, 1, 6, 7, 8)

    features = published_encoder(published, number_format)(volume)

    assert features.dtype == number_format
    assert worst(features, published.encode(volume)) < tolerance


@pytest.mark.parametrize("shape", [*SHAPES, (1, 1, 1)], ids=str)
def test_the_outermost_voxels_are_repeated_in_the_same_memory_layout(shape):
    features = torch.randn(1, 5, *shape).contiguous(memory_format=torch.channels_last_3d)

    wider = repeated_outwards(features)

    assert torch.equal(wider, pad(features, (1,) * 6, mode="replicate"))
    assert wider.is_contiguous(memory_format=torch.channels_last_3d)


@torch.inference_mode()
def test_the_model_itself_remains_in_float32(published, ours):
    published_encoder(published, torch.bfloat16)
    residual_encoder(ours, torch.bfloat16)(torch.rand(1, 1, 4, 4, 4), torch.full((1, 3), 2.0))

    assert {parameter.dtype for model in (published, ours) for parameter in model.parameters()} == {torch.float32}
