"""Encoding with OpenVINO agrees with PyTorch, and can be stopped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from ArSSRLib.backends import openvino_encoder
from ArSSRLib.backends.openvino_calibration import input_ranges
from ArSSRLib.backends.openvino_encoder import OpenVINOExecutor, openvino_bytes_per_coarse_voxel
from ArSSRLib.model.arssr import ArSSRConfig
from ArSSRLib.model.arssr3 import ArSSR3Config
from ArSSRLib.model.interface import Conditioning
from ArSSRLib.model.registry import build_model
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.upsampling import plan_upsampling, upsample
from ArSSRLib.volume import Volume

pytest.importorskip("openvino", reason="the optional package openvino is not installed")

FP32 = torch.float32


@pytest.fixture
def network(request, tiny_model):
    """arssr2, or a small network of another kind with weights from a fixed seed."""
    if request.param == "arssr2":
        return tiny_model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        if request.param == "arssr3":
            model = build_model(ArSSR3Config(channels=4, blocks=2, feature_channels=6))
            for parameter in model.parameters():
                torch.nn.init.normal_(parameter, std=0.2)
            return model.eval()
        config = ArSSRConfig(encoder=request.param, feature_channels=6, decoder_depth=2, decoder_width=8)
        return build_model(config).eval()


EVERY_KIND = pytest.mark.parametrize("network", ["arssr2", "arssr3", "ResCNN", "RDN", "SRResNet"], indirect=True)


def factors(*scale: float) -> Conditioning:
    return Conditioning(torch.tensor([scale]))


def crop_of(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def encode(model, crop: np.ndarray, scale: Conditioning, *, precision=FP32, advance=lambda _: None) -> torch.Tensor:
    with torch.inference_mode():
        encoder = OpenVINOExecutor(model, precision, crop, scale)
        return encoder.encode(torch.from_numpy(crop)[None, None], scale, advance)


# --- agreement with PyTorch


@EVERY_KIND
@pytest.mark.parametrize(("shape", "scale"), [((9, 7, 5), (2.0, 2.0, 2.0)), ((1, 6, 11), (4.0, 1.0, 1.37))])
def test_the_feature_map_agrees_with_pytorch(network, shape, scale):
    crop = crop_of(*shape)
    expected = network.encode(torch.from_numpy(crop)[None, None], factors(*scale)).detach()

    found = encode(network, crop, factors(*scale))

    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.max() - expected.min()))


@EVERY_KIND
def test_a_volume_agrees_with_pytorch(network, phantom):
    how = UpsamplingOptions(device="cpu", precision="fp32")
    expected = upsample(phantom, network, (2, 1.3, 1), how).array

    found = upsample(phantom, network, (2, 1.3, 1), replace(how, backend="openvino")).array

    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.ptp(expected))


def test_features_are_in_the_memory_layout_of_the_decoder(tiny_model):
    assert encode(tiny_model, crop_of(4, 5, 6), factors(2, 2, 2)).permute(0, 2, 3, 4, 1).is_contiguous()


def test_a_compiled_graph_receives_the_scale(tiny_model):
    crop = crop_of(6, 6, 6)
    thick, cubic = (encode(tiny_model, crop, factors(*scale)) for scale in ((4, 1, 1), (2, 2, 2)))

    assert (thick - cubic)[:, :-1].abs().max() > 1e-3


def test_bf16_differs_by_rounding_only(tiny_model, phantom, monkeypatch):
    monkeypatch.setattr(openvino_encoder, "_require_capability", lambda _: None)
    exact, rounded = (
        upsample(phantom, tiny_model, 2, UpsamplingOptions(device="cpu", backend="openvino", precision=name)).array
        for name in ("fp32", "bf16")
    )

    assert np.abs(rounded - exact).max() < 2**-7 * np.ptp(exact)


def test_8_bits_change_the_result_by_less_than_2_percent_of_its_range(tiny_model, phantom):
    cubic = Volume(phantom.array, phantom.geometry)
    exact, rounded = (
        upsample(cubic, tiny_model, 2, UpsamplingOptions(device="cpu", backend="openvino", precision=name)).array
        for name in ("fp32", "int8")
    )

    error = np.abs(rounded - exact).max()
    assert 0 < error < 0.02 * np.ptp(exact)


def test_a_region_in_8_bits_equals_the_crop_of_the_whole(tiny_model, phantom, monkeypatch):
    shapes = []

    def recorded(model, array, scale):
        shapes.append(array.shape)
        return input_ranges(model, array, scale)

    monkeypatch.setattr(openvino_encoder, "input_ranges", recorded)
    how = UpsamplingOptions(device="cpu", backend="openvino", precision="int8")
    whole = upsample(phantom, tiny_model, 2, how).array

    part = upsample(phantom, tiny_model, 2, how, region=((0, 3), (2, 5), (0, 4))).array

    assert shapes == [phantom.array.shape] * 2
    np.testing.assert_allclose(part, whole[0:4, 2:5, 0:3], rtol=0, atol=2e-3 * np.ptp(whole))


# --- compiled graphs


@pytest.fixture
def compilations(monkeypatch):
    """Return the list of the shapes of all graphs compiled from now on."""
    shapes, build = [], openvino_encoder.encoder_graph

    def recorded(model, shape, **options):
        shapes.append(tuple(shape))
        return build(model, shape, **options)

    openvino_encoder._compiled.clear()
    monkeypatch.setattr(openvino_encoder, "encoder_graph", recorded)
    return shapes


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_second_volume_of_the_same_shape_is_not_compiled_again(tiny_model, phantom, compilations, precision):
    for _ in range(2):
        upsample(phantom, tiny_model, 2, UpsamplingOptions(device="cpu", backend="openvino", precision=precision))

    assert compilations == [phantom.array.shape]


def test_a_network_with_changed_weights_is_compiled_again(tiny_model, compilations):
    crop, scale = crop_of(5, 5, 5), factors(2, 2, 2)
    before = encode(tiny_model, crop, scale)
    with torch.no_grad():
        tiny_model.tail.bias += 1
    try:
        after = encode(tiny_model, crop, scale)
    finally:
        with torch.no_grad():
            tiny_model.tail.bias -= 1

    assert len(compilations) == 2
    torch.testing.assert_close((after - before)[:, :-1], torch.ones_like(before[:, :-1]))


def test_the_number_of_kept_graphs_is_limited(tiny_model, compilations):
    for depth in range(openvino_encoder.KEPT_GRAPHS + 3):
        encode(tiny_model, crop_of(depth + 1, 2, 2), factors(2, 2, 2))

    assert len(openvino_encoder._compiled) == openvino_encoder.KEPT_GRAPHS
    encode(tiny_model, crop_of(openvino_encoder.KEPT_GRAPHS + 3, 2, 2), factors(2, 2, 2))
    assert len(compilations) == openvino_encoder.KEPT_GRAPHS + 3


@EVERY_KIND
def test_the_plan_includes_the_memory_of_the_backend(network, phantom, monkeypatch):
    monkeypatch.setattr("ArSSRLib.upsampling.used_memory", lambda _: 0)
    numbers = {"openvino": openvino_bytes_per_coarse_voxel(network), "torch": network.bytes_per_coarse_voxel}

    memory = {
        name: plan_upsampling(phantom, network, 2, UpsamplingOptions(device="cpu", backend=name)).memory
        for name in numbers
    }

    more = (numbers["openvino"] - numbers["torch"]) * phantom.array.size
    assert memory["openvino"] - memory["torch"] == more


def test_no_telemetry_is_sent(tiny_model, compilations, monkeypatch):
    telemetry = pytest.importorskip("openvino_telemetry", reason="openvino came without it")
    made = []
    monkeypatch.setattr(type(telemetry.Telemetry), "__call__", lambda *_, **__: made.append(1))

    encode(tiny_model, crop_of(3, 3, 3), factors(2, 2, 2))

    assert (len(compilations), made) == (1, [])


# --- progress and stopping


class Request:
    """An encoding that never ends on its own."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def wait_for(self, milliseconds: int) -> bool:
        assert milliseconds <= 500
        return False

    def wait(self) -> None:
        self.calls.append("wait")
        raise RuntimeError("Infer Request was canceled")

    def cancel(self) -> None:
        self.calls.append("cancel")

    def __getattr__(self, name: str):
        return lambda *_: None


class Cancelled(Exception):  # noqa: N818
    """An exception in the user's callback."""


def test_a_canceled_encoding_ends_before_its_memory_is_released(tiny_model, monkeypatch):
    request, parts = Request(), []
    compiled = type("Compiled", (), {"create_infer_request": lambda _: request, "release_memory": lambda _: None})()
    compiled.output = lambda _: type("Port", (), {"shape": [1, 4, 4, 4, 8]})()
    monkeypatch.setattr(OpenVINOExecutor, "_compiled", lambda *_: compiled)

    def stop(part):
        parts.append(part)
        if len(parts) == 5:
            raise Cancelled

    with pytest.raises(Cancelled):
        encode(tiny_model, crop_of(4, 4, 4), factors(2, 2, 2), advance=stop)

    assert request.calls == ["cancel", "wait"]
    assert min(parts) >= 0
    assert sum(parts) <= openvino_encoder.MOST_ESTIMATED


def test_the_reported_fractions_of_an_encoding_add_up_to_1(tiny_model, monkeypatch):
    monkeypatch.setattr(openvino_encoder, "POLL_SECONDS", 0.001)
    parts = []

    encode(tiny_model, crop_of(40, 40, 40), factors(2, 2, 2), advance=parts.append)

    assert sum(parts) == pytest.approx(1)


def test_the_next_volume_is_correct_after_a_cancellation(tiny_model, phantom, monkeypatch):
    monkeypatch.setattr(openvino_encoder, "POLL_SECONDS", 0.001)
    how = UpsamplingOptions(device="cpu", backend="openvino", precision="fp32")
    expected = upsample(phantom, tiny_model, 2, how).array

    def stop(fraction):
        if fraction > 0:
            raise Cancelled

    with pytest.raises(Cancelled):
        upsample(phantom, tiny_model, 2, how, progress=stop)

    np.testing.assert_array_equal(upsample(phantom, tiny_model, 2, how).array, expected)
