"""The yardsticks agree with the engine, using only its layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ArSSRLib.coordinates import whole_grid
from ArSSRLib.model.arssr import ArSSR
from ArSSRLib.model.arssr2 import ArSSR2, ArSSR2Config
from ArSSRLib.model.decoder import Decoder
from ArSSRLib.model.encoders import RDN, DenseBlock
from ArSSRLib.model.interface import Conditioning

# A different factor along each axis, none of them an integer.
SHAPE, FINE_SHAPE = (7, 6, 5), (15, 16, 9)


def ours() -> ArSSR2:
    """arssr2 with random values in every parameter, including those that start at zero."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(20260)
        model = ArSSR2(ArSSR2Config(channels=6, blocks=2, feature_channels=8, decoder_layers=3))
        for parameter in model.parameters():
            if not parameter.any():
                nn.init.normal_(parameter, std=0.3)
    return model.eval()


def published() -> ArSSR:
    from procedures import published_network

    return published_network()


def volume(shape: tuple[int, int, int] = SHAPE) -> torch.Tensor:
    return torch.rand((1, 1, *shape), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("network", [ours, published])
def test_encode_once_agrees_with_the_engine(network):
    from procedures import encode_once

    model, coarse = network(), volume()
    told = Conditioning.between(SHAPE, FINE_SHAPE)
    with torch.inference_mode():
        expected = model.query_grid(model.encode_lean(coarse, told), whole_grid(SHAPE, FINE_SHAPE), told)

    torch.testing.assert_close(encode_once(model, coarse, FINE_SHAPE), expected, atol=1e-5, rtol=0)


def test_the_published_procedure_agrees_with_encoding_once():
    from procedures import encode_every_slice, encode_once

    model, fine_shape = published(), (4, 7, 6)

    every_slice = encode_every_slice(model, volume((2, 4, 3)), fine_shape)
    torch.testing.assert_close(every_slice, encode_once(model, volume((2, 4, 3)), fine_shape), atol=1e-6, rtol=0)


@pytest.mark.parametrize("network", [ours, published])
@pytest.mark.parametrize("place", [0, 70, 154])
def test_a_box_agrees_with_the_whole_result(network, place):
    from procedures import encode, encode_once

    model, coarse, fine_shape = network(), volume((80, 3, 4)), (160, 6, 8)
    box = (slice(place, place + 6), slice(0, 4), slice(3, 8))

    crop = encode(model, coarse, fine_shape, box=box).crop[0]
    assert crop.stop - crop.start < 80  # otherwise, nothing was left out
    answer = encode_once(model, coarse, fine_shape, box=box)
    torch.testing.assert_close(answer, encode_once(model, coarse, fine_shape)[box], atol=1e-5, rtol=0)


@pytest.mark.parametrize("network", [ours, published])
def test_a_yardstick_runs_no_code_that_the_engine_may_make_faster(network, monkeypatch):
    from procedures import encode_once

    def refuse(*_: object, **__: object) -> None:
        msg = "the engine's own code was called"
        raise AssertionError(msg)

    model = network()
    for owner, name in [
        *((kind, name) for kind in (ArSSR, ArSSR2) for name in ("encode", "encode_lean", "query", "query_grid")),
        *((kind, "forward") for kind in (RDN, DenseBlock, Decoder, nn.Conv3d)),
        (ArSSR2, "_decode"),
        (ArSSR2, "position_modulation"),
        (ArSSR2, "block_modulation"),
    ]:
        monkeypatch.setattr(owner, name, refuse, raising=False)

    assert encode_once(model, volume(), FINE_SHAPE).shape == FINE_SHAPE
