"""Refusals of the backend OpenVINO, and the calibration for 8 bits; most of these tests run without OpenVINO."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from messages import one_line

from ArSSRLib import device, packages
from ArSSRLib.backends import openvino_encoder
from ArSSRLib.backends.openvino_calibration import KEPT, MARGIN, input_ranges, sharpest_crops
from ArSSRLib.backends.openvino_graph import _with_step_at_zero
from ArSSRLib.errors import DependencyError, DeviceError, InputError
from ArSSRLib.model.arssr import ArSSRConfig
from ArSSRLib.model.fixed_scale import FixedScaleConfig
from ArSSRLib.model.interface import Conditioning
from ArSSRLib.model.registry import build_model
from ArSSRLib.normalization import IntensityRange
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.upsampling import upsample


@pytest.fixture
def installed(monkeypatch):
    """Simulate a machine with OpenVINO, on a processor that only supports fp32 and 8 bits."""
    monkeypatch.setattr(device, "find_spec", lambda _: object())
    monkeypatch.setattr(packages, "version", lambda _: "2026.0")
    core = SimpleNamespace(get_property=lambda *_: ["FP32", "INT8"])
    monkeypatch.setattr(openvino_encoder, "_core", lambda: core)


OPENVINO = {"device": "cpu", "backend": "openvino", "precision": "fp32"}


def refused(error, volume, model, **how) -> str:
    with pytest.raises(error) as caught:
        upsample(volume, model, 2, UpsamplingOptions(**(OPENVINO | how)))
    return one_line(caught)


def test_a_version_that_is_too_old_is_refused_before_computing(installed, phantom, tiny_model, monkeypatch):
    monkeypatch.setattr(packages, "version", lambda _: "2024.6.0")

    message = refused(DependencyError, phantom, tiny_model)

    assert "The openvino backend needs openvino 2025.0 or later, but 2024.6.0 is installed" in message


def test_a_missing_backend_is_refused_with_the_package_to_install(phantom, tiny_model, monkeypatch):
    monkeypatch.setattr(device, "find_spec", lambda _: None)

    assert "pip install openvino" in refused(DependencyError, phantom, tiny_model)


def test_an_unknown_backend_is_refused_with_the_known_ones(phantom, tiny_model):
    assert "expected torch, openvino or fused" in refused(InputError, phantom, tiny_model, backend="onnx")


def test_openvino_is_only_for_the_cpu(installed, phantom, tiny_model, monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)

    assert "--device cpu" in refused(DeviceError, phantom, tiny_model, device="mps")


def test_8_bits_are_only_for_openvino(phantom, tiny_model):
    said = refused(DeviceError, phantom, tiny_model, backend="torch", precision="int8")

    assert "--backend openvino" in said


def test_8_bits_are_only_for_networks_that_were_measured_with_them(installed, phantom):
    model = build_model(ArSSRConfig(encoder="ResCNN", feature_channels=2, decoder_depth=2, decoder_width=2))

    assert "choose bf16 or fp32" in refused(InputError, phantom, model, precision="int8")


def test_a_precision_that_the_processor_does_not_support_is_refused_not_replaced(installed, phantom, tiny_model):
    assert "choose fp32 or auto" in refused(DeviceError, phantom, tiny_model, precision="bf16")


def test_a_network_on_the_fine_grid_is_refused(installed, phantom):
    model = build_model(FixedScaleConfig(kind="srcnn3d", scale=2.0))

    assert "torch backend" in refused(InputError, phantom, model)


@pytest.mark.parametrize(
    ("flags", "backend", "expected"),
    [
        ("avx512_bf16", "openvino", torch.bfloat16),
        ("avx512_bf16", "torch", torch.float32),
        ("amx_bf16", "torch", torch.bfloat16),
        ("avx2", "openvino", torch.float32),
    ],
)
def test_auto_is_the_fastest_precision_of_the_backend(tmp_path, monkeypatch, flags, backend, expected):
    (tmp_path / "cpuinfo").write_text(f"flags : fpu {flags} sse\n")
    monkeypatch.setattr(device, "PROCESSOR", tmp_path / "cpuinfo")

    assert device.resolve_precision("auto", torch.device("cpu"), backend=backend) == expected


# --- 8 bits


@pytest.mark.parametrize("limits", [(0.0, 7.0), (-3.0, 90.0), (-5.0, 5.0), (-2.0, -1.0), (1.0, 2.0), (0.0, 0.0)])
def test_256_steps_cover_the_range_and_include_zero(limits):
    low, high = _with_step_at_zero(limits)

    step = (float(high) - float(low)) / 255
    assert low <= min(0, limits[0]) + step / 2
    assert high >= max(0, limits[1]) - step / 2
    assert -low / step == pytest.approx(round(-low / step), abs=1e-4)
    assert step <= max(max(limits) - min(limits), abs(limits[0]), abs(limits[1]), 255) / 255 + 1e-6


@pytest.mark.parametrize("place", [(0, 0, 0), (37, 20, 30), (49, 40, 35)])
def test_the_measured_crops_include_the_sharpest_edge(place):
    array = np.ones((50, 41, 36), np.int16)
    array[place] = 900

    crops = sharpest_crops(array, IntensityRange.of(array))

    assert any(all(s.start <= p < s.stop for s, p in zip(crop, place, strict=True)) for crop in crops)
    assert all(s.stop - s.start <= 32 + 2 * MARGIN for crop in crops for s in crop)


def test_ranges_are_those_of_the_input_of_each_convolution(tiny_model):
    array = np.random.default_rng(1).random((9, 8, 7)).astype(np.float32)  # one block: the volume itself
    entered = {}
    hooks = [
        module.register_forward_pre_hook(lambda _, inputs, name=name: entered.setdefault(name, inputs[0].detach()))
        for name, module in tiny_model.named_modules()
        if isinstance(module, torch.nn.Conv3d)
    ]
    scale = Conditioning(torch.tensor([[2.0, 1.0, 3.0]]))
    tiny_model.encode(torch.from_numpy(IntensityRange.of(array).normalize(array))[None, None], scale)
    for hook in hooks:
        hook.remove()

    ranges = input_ranges(tiny_model, array, scale)

    assert set(ranges) == set(entered) - set(KEPT)
    for name, (low, high) in ranges.items():
        assert low <= entered[name].min() < 0 < entered[name].max() <= high
        assert high - low == pytest.approx(1.1 * float(entered[name].max() - entered[name].min()), rel=1e-5)
