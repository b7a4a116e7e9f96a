"""The networks and volumes by name, full size or tiny."""

from __future__ import annotations

import importlib.util
import sys
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import torch

from ArSSRLib.checkpoint import load_model
from ArSSRLib.model.arssr import ArSSR, ArSSRConfig
from ArSSRLib.model.arssr2 import ArSSR2, ArSSR2Config
from ArSSRLib.model.arssr3 import ArSSR3Config
from ArSSRLib.model.registry import build_model
from gpu.plan import DEEP, PUBLISHED

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
FORMATS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def script(name: str) -> ModuleType:
    """Return a file of the benchmarks as a module; their folder is not on the path, because its names are common."""
    known = f"arssr_benchmark_{name}"
    if known not in sys.modules:
        spec = importlib.util.spec_from_file_location(known, BENCHMARKS / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[known] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[known])
    return sys.modules[known]


@lru_cache(maxsize=8)
def network(name: str, *, tiny: bool) -> ArSSR | ArSSR2:
    """Return a network on the CPU: the published one with the seeded weights of the golden vectors, or a bundled one.

    Tiny networks have seeded weights and biases with a nonzero result.
    """
    if tiny:
        return _tiny(name)
    model = script("procedures").published_network() if name == PUBLISHED else load_model(name)
    assert isinstance(model, ArSSR | ArSSR2)
    return model


def _tiny(name: str) -> ArSSR | ArSSR2:
    ours = ArSSR2Config if name == DEEP else ArSSR3Config
    config = (
        ArSSRConfig(encoder="ResCNN", feature_channels=8, decoder_width=16, decoder_depth=2)
        if name == PUBLISHED
        else ours(channels=8, blocks=1, feature_channels=6, decoder_layers=2)
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(20260)
        model = build_model(config).eval()
        if isinstance(model, ArSSR):
            torch.nn.init.constant_(model.decoder.stage_two[-2].bias, 0.5)
        assert isinstance(model, ArSSR | ArSSR2)
        if isinstance(model, ArSSR2):
            torch.nn.init.normal_(model.output.weight, std=0.3)
    return model


def device_of(*, tiny: bool) -> torch.device:
    """Return the device of the work: the first GPU, or the CPU in a rehearsal."""
    return torch.device("cpu" if tiny else "cuda:0")
