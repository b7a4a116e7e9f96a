"""Which path is chosen where, and that every path tells the same intensities."""

from __future__ import annotations

import pytest
import torch

from ArSSRLib.convolution.slabs import unobserved
from ArSSRLib.coordinates import whole_grid
from ArSSRLib.kernels import FUSED_FROM, TOLERANCES, checked_executor, fits, fused_executor
from ArSSRLib.kernels.checking import CheckedExecutor
from ArSSRLib.kernels.paths import kernels_run_on
from ArSSRLib.model.arssr import ArSSR, ArSSRConfig
from ArSSRLib.model.arssr2 import ArSSR2, ArSSR2Config
from ArSSRLib.model.fixed_scale import FixedScaleConfig
from ArSSRLib.model.interface import Conditioning
from ArSSRLib.model.registry import build_model

CPU, GPU = torch.device("cpu"), torch.device("cuda:0")
CONFIGS = {
    "published": ArSSRConfig(encoder="ResCNN", feature_channels=8, decoder_width=16, decoder_depth=2),
    "ours": ArSSR2Config(channels=8, blocks=1, feature_channels=6),
    "one scale": FixedScaleConfig(),
}


def network(name: str):
    torch.manual_seed(20260)
    return build_model(CONFIGS[name]).eval()


@pytest.mark.parametrize("name", CONFIGS)
def test_without_a_gpu_the_model_answers_for_itself(name):
    path = fused_executor(network(name), CPU, torch.bfloat16, voxels=FUSED_FROM)

    assert not isinstance(path, CheckedExecutor)


@pytest.mark.parametrize("name", CONFIGS)
def test_full_precision_is_left_to_the_model_on_a_gpu_too(name):
    assert not isinstance(fused_executor(network(name), GPU, torch.float32, voxels=FUSED_FROM), CheckedExecutor)


def test_a_gpu_in_sixteen_bits_takes_the_fast_path_where_there_is_one(monkeypatch):
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: (7, 5))
    chosen = {name: fused_executor(network(name), GPU, torch.float16, voxels=FUSED_FROM) for name in CONFIGS}

    assert {name: isinstance(path, CheckedExecutor) for name, path in chosen.items()} == {
        "published": True,
        "ours": True,
        "one scale": False,
    }


def test_a_network_that_changes_ours_answers_for_itself():
    class Other(ArSSR2):
        """Computes something else."""

    path = fused_executor(Other(CONFIGS["ours"]).eval(), GPU, torch.bfloat16, voxels=FUSED_FROM)

    assert not isinstance(path, CheckedExecutor)


@pytest.mark.parametrize(("voxels", "expected"), [(FUSED_FROM, True), (FUSED_FROM - 1, False)])
def test_a_small_job_waits_for_no_compiler(monkeypatch, voxels, expected):
    monkeypatch.setattr("ArSSRLib.kernels.kernels_run_on", lambda device: True)
    fused = []
    monkeypatch.setattr("ArSSRLib.kernels.checked_executor", lambda *_, **options: fused.append(options["fused"]))

    fused_executor(network("ours"), GPU, torch.bfloat16, voxels=voxels)

    assert fused == [expected]


def test_the_kernels_want_triton_and_a_gpu_that_multiplies_bf16(monkeypatch):
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
@pytest.mark.parametrize("name", ["published", "ours"])
@pytest.mark.parametrize("number_format", [torch.float32, torch.bfloat16], ids=str)
def test_the_fast_path_tells_the_same_intensities(name, number_format, fused, caplog):
    if fused:
        pytest.importorskip("triton", reason="there is no Triton here (pip install triton; Linux only)")
    model = network(name)
    if name == "published":
        torch.nn.init.constant_(model.decoder.stage_two[-2].bias, 0.5)
    else:
        torch.nn.init.normal_(model.output.weight)
    # Not one slice alone: PyTorch 2.13 reads memory that nobody wrote in bf16 convolutions of one channel on a CPU.
    volume, grid = torch.rand(1, 1, 2, 2, 4), whole_grid((2, 2, 4), (3, 3, 7))
    told = Conditioning(torch.tensor([[1.5, 1.5, 1.75]]))
    path = checked_executor(model, number_format, fused=fused, device=CPU)

    # The first answer is checked by the path itself as well.
    found = path.encode_tile(volume, told, unobserved)(grid)

    assert caplog.records == []
    tolerance = 1e-5 if number_format == torch.float32 else TOLERANCES[type(model)]
    torch.testing.assert_close(found, model.encode_tile(volume, told, unobserved)(grid), atol=tolerance, rtol=0)
