"""The choice of an implementation, and that all of them give the same intensities."""

from __future__ import annotations

import pytest
import torch

from ArSSRLib.acquisition.profile import AxisProfile, SliceProfile, told_of
from ArSSRLib.convolution.slabs import unobserved
from ArSSRLib.coordinates import whole_grid
from ArSSRLib.kernels import FUSED_FROM, TOLERANCES, choosing, fits, gpu_executor, measured_executor
from ArSSRLib.kernels.choosing import FULL, MeasuredExecutor
from ArSSRLib.kernels.paths import kernels_run_on
from ArSSRLib.model.arssr import ArSSR, ArSSRConfig
from ArSSRLib.model.arssr2 import ArSSR2, ArSSR2Config
from ArSSRLib.model.arssr3 import ArSSR3Config
from ArSSRLib.model.fixed_scale import FixedScaleConfig
from ArSSRLib.model.interface import Conditioning
from ArSSRLib.model.registry import build_model

CPU, GPU = torch.device("cpu"), torch.device("cuda:0")
CONFIGS = {
    "published": ArSSRConfig(encoder="ResCNN", feature_channels=8, decoder_width=16, decoder_depth=2),
    "ours": ArSSR2Config(channels=8, blocks=1, feature_channels=6),
    "ours, with profile": ArSSR3Config(channels=8, blocks=1, feature_channels=6),
    "one scale": FixedScaleConfig(),
}


def network(name: str):
    torch.manual_seed(20260)
    return build_model(CONFIGS[name]).eval()


@pytest.mark.parametrize("name", CONFIGS)
def test_without_a_gpu_the_model_itself_is_used(name):
    model = network(name)

    assert gpu_executor(model, CPU, torch.bfloat16, kernels=True, voxels=FUSED_FROM) is model


@pytest.mark.parametrize("name", CONFIGS)
def test_full_precision_uses_the_model_itself_on_a_gpu_too(name):
    model = network(name)

    assert gpu_executor(model, GPU, torch.float32, kernels=True, voxels=FUSED_FROM) is model


def ways_of(executor) -> list[str]:
    """Names of the implementations that an executor measures."""
    assert isinstance(executor, MeasuredExecutor)
    return list(executor._ways)


@pytest.mark.parametrize("name", ["published", "ours", "ours, with profile"])
def test_a_gpu_with_16_bits_is_measured_and_kernels_are_used_on_request(monkeypatch, name):
    monkeypatch.setattr("ArSSRLib.kernels.kernels_run_on", lambda device: True)
    found = {
        kernels: ways_of(gpu_executor(network(name), GPU, torch.float16, kernels=kernels, voxels=FUSED_FROM))
        for kernels in (False, True)
    }

    assert found == {False: [FULL, "plain fp16"], True: [FULL, "plain fp16", "recorded fp16", "fused fp16"]}


def test_a_network_on_the_fine_grid_is_used_without_kernels():
    model = network("one scale")

    assert gpu_executor(model, GPU, torch.float16, kernels=False, voxels=FUSED_FROM) is model


def test_a_network_derived_from_arssr2_has_no_kernels_which_is_logged(monkeypatch, caplog):
    class Other(ArSSR2):
        """Returns a wrong result."""

    monkeypatch.setattr("ArSSRLib.kernels.kernels_run_on", lambda device: True)
    executor = gpu_executor(Other(CONFIGS["ours"]).eval(), GPU, torch.bfloat16, kernels=True, voxels=FUSED_FROM)

    assert ways_of(executor) == [FULL, "plain bf16"]
    assert "There are no fused kernels for Other in bf16 on cuda:0" in caplog.text


@pytest.mark.parametrize(("voxels", "expected"), [(FUSED_FROM, True), (FUSED_FROM - 1, False)])
def test_a_small_job_does_not_wait_for_a_compiler(monkeypatch, voxels, expected):
    monkeypatch.setattr("ArSSRLib.kernels.kernels_run_on", lambda device: True)

    executor = gpu_executor(network("ours"), GPU, torch.bfloat16, kernels=True, voxels=voxels)

    assert ("fused bf16" in ways_of(executor)) == expected


def test_the_kernels_require_triton_and_a_gpu_that_supports_bf16(monkeypatch):
    found = {}
    for triton, capability in [(object(), (9, 0)), (object(), (7, 5)), (None, (9, 0))]:
        monkeypatch.setattr("importlib.util.find_spec", lambda name, spec=triton: spec)
        monkeypatch.setattr("torch.cuda.get_device_capability", lambda device, value=capability: value)
        found[triton is not None, capability] = kernels_run_on(GPU)

    assert found == {(True, (9, 0)): True, (True, (7, 5)): False, (False, (9, 0)): False}
    assert not kernels_run_on(CPU)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setattr("torch.version.hip", "6.4")
    assert not kernels_run_on(GPU)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (ArSSRConfig(), True),
        (ArSSRConfig(feature_channels=129), False),
        (ArSSRConfig(decoder_width=257), False),
        (ArSSR2Config(), True),
        (ArSSR2Config(feature_channels=192), False),
    ],
)
def test_a_decoder_too_large_for_a_kernel_is_left_to_pytorch(config, expected):
    model = ArSSR(config) if isinstance(config, ArSSRConfig) else ArSSR2(config)

    assert fits(model) == expected


@torch.inference_mode()
@pytest.mark.parametrize("fused", [False, True], ids=["plain decoder", "fused decoder"])
@pytest.mark.parametrize("name", ["published", "ours", "ours, with profile"])
@pytest.mark.parametrize("number_format", [torch.float32, torch.bfloat16], ids=str)
def test_every_implementation_gives_the_same_intensities(name, number_format, fused, caplog):
    choosing.choices.clear()
    if fused:
        pytest.importorskip("triton", reason="there is no Triton here (pip install triton; Linux only)")
    model = network(name)
    if name == "published":
        torch.nn.init.constant_(model.decoder.stage_two[-2].bias, 0.5)
    else:
        for parameter in (model.output.weight, *model.scale_modulation[2].parameters()):
            torch.nn.init.normal_(parameter)
    # More than one slice, because PyTorch 2.13 reads uninitialized memory in bf16 convolutions of one channel on a CPU.
    volume, grid = torch.rand(1, 1, 2, 2, 4), whole_grid((2, 2, 4), (3, 3, 7))
    profile = SliceProfile((AxisProfile("gaussian", 1.2), AxisProfile("box"), AxisProfile("point")))
    told = Conditioning.between((2, 2, 4), (3, 3, 7), told_of(profile))
    executor = measured_executor(model, number_format, recorded=not fused, fused=fused, device=CPU)
    way = list(executor._ways.values())[-1]
    way._encoder._record = lambda function, _: function  # only recorded on a GPU

    found = way.encode_tile(volume, told, unobserved)(grid)
    # The executor itself also compares them.
    executor.encode_tile(volume, told, unobserved)

    assert caplog.records == []
    tolerance = 1e-5 if number_format == torch.float32 else TOLERANCES[type(model)]
    torch.testing.assert_close(found, model.encode_tile(volume, told, unobserved)(grid), atol=tolerance, rtol=0)
