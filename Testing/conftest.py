"""Fixtures: phantoms, oblique and left-handed geometry, a tiny model from a fixed seed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

# One thread per test: the volumes are tiny, and threads that wait for each other cost more than they gain.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Kernels for GPUs run in Triton's interpreter, on the CPU; this is read at the first import of Triton.
os.environ["TRITON_INTERPRET"] = "1"
# Tests must not see the models of the user.
os.environ["ARSSR_MODELS_FOLDER"] = str(Path(__file__).parent / "no-such-folder")

# A shell lets background processes ignore Ctrl-C, and so would the processes that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# The same for a closed terminal, which `nohup` lets all processes ignore.
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

import phantoms
import pytest
from hypothesis import HealthCheck, settings

from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.volume import Volume

# Without a deadline and with a fixed seed, so that neither a slow machine nor chance decides whether a test passes.
settings.register_profile(
    "arssr",
    deadline=None,
    derandomize=True,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("arssr")


@pytest.fixture
def oblique_geometry() -> VolumeGeometry:
    """A grid with thick slices, rotated about all three axes."""
    return VolumeGeometry(
        size=(20, 18, 9), spacing=(0.9, 1.1, 2.5), origin=(-31.0, 12.5, 47.25), direction=phantoms.rotation(11, -17, 29)
    )


@pytest.fixture
def left_handed_geometry() -> VolumeGeometry:
    """A sagittal grid whose axes form a left-handed system, as scanners store them."""
    return VolumeGeometry(
        size=(14, 16, 12),
        spacing=(1.2, 0.8, 1.0),
        origin=(40.0, -25.0, 10.0),
        direction=(0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0),
    )


@pytest.fixture
def phantom(oblique_geometry: VolumeGeometry) -> Volume:
    """Smooth blobs on the oblique grid; `phantoms.blobs_in` defines them."""
    return phantoms.sample(phantoms.blobs_in(oblique_geometry), oblique_geometry)


@pytest.fixture(scope="session")
def tiny_model():
    """The smallest arssr2, with weights from a fixed seed and a residual that is not zero."""
    import torch  # noqa: PLC0415  what needs no PyTorch is tested without it

    from ArSSRLib.model.arssr2 import ArSSR2Config  # noqa: PLC0415
    from ArSSRLib.model.registry import build_model  # noqa: PLC0415

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(20260)
        model = build_model(ArSSR2Config(channels=4, blocks=1, feature_channels=8, decoder_layers=2))
        for parameter in model.parameters():
            if not parameter.any():  # a new network ends in zeros and would return cubic interpolation
                torch.nn.init.normal_(parameter, std=0.05)
    return model.eval()


@pytest.fixture(scope="session")
def tiny_weights(tiny_model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as a file."""
    from ArSSRLib.checkpoint import save_model  # noqa: PLC0415

    return save_model(tiny_model, tmp_path_factory.mktemp("weights") / "tiny.safetensors", metadata={"title": "Tiny"})
