"""Convolutions slab by slab equal PyTorch's, for every shape, padding and implementation."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ArSSRLib.convolution import slabs
from ArSSRLib.convolution.slabs import Convolution

SHAPES = [(1, 4, 5), (2, 3, 3), (3, 3, 3), (4, 5, 6), (5, 9, 7), (6, 33, 4), (7, 1, 1), (13, 8, 2)]


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def convolution(channels, outputs, padding):
    weight = random(outputs, channels, 3, 3, 3) / (27 * channels) ** 0.5
    return Convolution(weight, random(outputs, seed=1), padding)


def expected(layer, features):
    """The same convolution in double precision, by PyTorch."""
    mode = "replicate" if layer.padding == "replicate" else "constant"
    volume = F.pad(features.double().permute(3, 0, 1, 2)[None], (1,) * 6, mode=mode)
    return F.conv3d(volume, layer.weight.double(), layer.bias.double())[0].permute(1, 2, 3, 0)


def collected(layer, features):
    result = torch.full((*features.shape[:3], len(layer.weight)), torch.nan)
    with torch.inference_mode():
        for planes, rows, part in layer.slabs(features):
            assert result[planes, rows].isnan().all(), "a voxel was yielded twice"
            result[planes, rows] = part
    return result


@pytest.mark.parametrize("padding", ["zeros", "replicate"])
@pytest.mark.parametrize("channels", [(16, 16), (32, 17), (2, 16)])
@pytest.mark.parametrize("shape", SHAPES)
def test_slabs_agree_with_the_plain_convolution(shape, channels, padding):
    layer, features = convolution(*channels, padding), random(*shape, channels[0], seed=2)

    torch.testing.assert_close(collected(layer, features).double(), expected(layer, features), atol=2e-5, rtol=0)


@pytest.mark.parametrize("padding", ["zeros", "replicate"])
def test_rows_are_split_without_a_seam(padding, monkeypatch):
    layer, features = convolution(16, 16, padding), random(9, 23, 6, 16)
    monkeypatch.setattr(slabs, "_step_values", lambda: 5 * 6 * 16)

    with torch.inference_mode():
        rows = {(part[1].start, part[1].stop) for part in layer.slabs(features)}

    assert rows == {(0, 5), (5, 10), (10, 15), (15, 20), (20, 23)}
    torch.testing.assert_close(collected(layer, features).double(), expected(layer, features), atol=2e-5, rtol=0)


@pytest.mark.parametrize("padding", ["zeros", "replicate"])
@pytest.mark.parametrize("channels", [(16, 16), (2, 16)])
@pytest.mark.parametrize(
    "box",
    [
        (slice(0, 7), slice(0, 9), slice(0, 6)),
        (slice(2, 3), slice(4, 5), slice(3, 4)),
        (slice(1, 6), slice(2, 8), slice(1, 5)),
        (slice(0, 4), slice(3, 9), slice(0, 2)),
        (slice(3, 7), slice(0, 5), slice(4, 6)),
    ],
)
def test_a_box_includes_the_features_around_it(box, channels, padding, monkeypatch):
    layer, features = convolution(*channels, padding), random(7, 9, 6, channels[0], seed=2)
    monkeypatch.setattr(slabs, "_step_values", lambda: 4)  # a few rows each

    result = torch.full_like(expected(layer, features)[box], torch.nan)
    told = []
    with torch.inference_mode():
        for planes, rows, part in layer.slabs(features, told.append, box=box):
            result[planes, rows] = part

    torch.testing.assert_close(result, expected(layer, features)[box], atol=2e-5, rtol=0)
    assert sum(told) == pytest.approx(layer.weight.numel())


@pytest.mark.parametrize("padding", ["zeros", "replicate"])
def test_rows_that_are_not_needed_are_skipped(padding):
    layer, features = convolution(16, 16, padding), random(11, 20, 6, 16, seed=2)
    box = (slice(1, 11), slice(2, 19), slice(0, 6))
    needed = torch.zeros(10, 17, dtype=torch.bool)
    for plane in range(1, 7):  # a step without rows at the end
        needed[plane, 2 * plane : 2 * plane + 3] = True

    result = torch.full_like(expected(layer, features)[box], torch.nan)
    with torch.inference_mode():
        for planes, rows, part in layer.slabs(features, box=box, needed=needed):
            result[planes, rows] = part

    torch.testing.assert_close(result[needed], expected(layer, features)[box][needed], atol=2e-5, rtol=0)
    computed = ~result.isnan().any(-1).any(-1)
    assert computed.sum() < 0.6 * computed.numel()
    assert not computed[8:].any()


def test_features_may_be_a_slice_of_the_channels():
    layer, features = convolution(16, 16, "zeros"), random(8, 6, 5, 40)

    torch.testing.assert_close(
        collected(layer, features[..., 3:19]).double(), expected(layer, features[..., 3:19]), atol=2e-5, rtol=0
    )


def test_winograd_loses_less_than_one_decimal_digit():
    layer, features = convolution(64, 64, "zeros"), random(8, 16, 16, 64)
    truth = expected(layer, features)

    plain = F.conv3d(features.permute(3, 0, 1, 2)[None], layer.weight, layer.bias, padding=1)[0].permute(1, 2, 3, 0)

    assert (collected(layer, features) - truth).square().mean() < 10**2 * (plain - truth).square().mean()


@pytest.mark.parametrize(
    ("what", "features", "autocast"),
    [
        ("float32", random(8, 4, 4, 16), False),
        ("bf16", random(8, 4, 4, 16).bfloat16(), False),
        ("autocast", random(8, 4, 4, 16), True),
        ("double", random(8, 4, 4, 16).double(), False),
    ],
)
def test_winograd_is_only_used_in_float32(what, features, autocast, monkeypatch):
    used = []
    monkeypatch.setattr(slabs, "_winograd_slabs", lambda *_: iter(used.append(True) or ()))
    layer = Convolution(random(16, 16, 3, 3, 3).to(features.dtype), random(16).to(features.dtype), "zeros")

    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        list(layer.slabs(features))

    assert bool(used) == (what == "float32")


def test_an_observer_receives_the_progress_of_a_convolution_and_may_stop_it():
    layer, features = convolution(16, 16, "zeros"), random(10, 6, 5, 16)
    told = []
    with torch.inference_mode():
        list(layer.slabs(features, told.append))

    assert len(told) == 3
    assert sum(told) == pytest.approx(layer.weight.numel())

    def stop(weights):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        list(layer.slabs(features, stop))
    with torch.inference_mode():
        assert len(list(layer.slabs(features))) == 3  # the memory of the next one is measured separately
