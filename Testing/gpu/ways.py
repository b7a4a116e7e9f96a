"""All implementations of a network for a tile on a device; only this file creates them."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Sequence
from functools import lru_cache

import torch

from ArSSRLib.kernels.graphs import Function, cuda_graph
from ArSSRLib.kernels.paths import InFullPrecision, PublishedOnGPU, ResidualOnGPU
from ArSSRLib.model.arssr import ArSSR
from ArSSRLib.model.arssr2 import ArSSR2
from ArSSRLib.model.interface import Executor
from gpu.networks import FORMATS, device_of, network

WAYS = ("plain", "unfused", "fused")


@lru_cache(maxsize=4)
def network_on_device(name: str, *, tiny: bool) -> ArSSR | ArSSR2:
    """Return a network on the device of the work."""
    return copy.deepcopy(network(name, tiny=tiny)).to(device_of(tiny=tiny))


def path_of(model: ArSSR | ArSSR2, way: str, number_format: str, *, device: torch.device) -> Executor:
    """Return one implementation.

    Args:
        model: The network, on the device.
        way: "plain": the model itself; "unfused": with a separate encoder, recorded; "fused": also with the kernel.
        number_format: "fp32", "fp16" or "bf16".
        device: Device of the computation.
    """
    if way == "plain":
        return model
    options = {"fused": way == "fused", "record": cuda_graph if device.type == "cuda" else _not_recorded}
    if isinstance(model, ArSSR):
        return PublishedOnGPU(model, FORMATS[number_format], **options)
    return ResidualOnGPU(model, FORMATS[number_format], **options)


def reference_path(model: ArSSR | ArSSR2) -> Executor:
    """Return the implementation for comparison: plain, in fp32."""
    return InFullPrecision(model)


@contextlib.contextmanager
def computing(number_format: str, device: torch.device) -> Iterator[None]:
    """Compute like `upsample` in a number format: without gradients, with autocast below fp32, without TF32."""
    full = number_format == "fp32"
    kind = torch.bfloat16 if device.type == "cpu" and not full else FORMATS[number_format]
    with (
        torch.inference_mode(),
        torch.backends.cudnn.flags(allow_tf32=False),
        contextlib.nullcontext() if full else torch.autocast(device.type, kind),
    ):
        yield


def _not_recorded(function: Function, _: Sequence[torch.Tensor]) -> Function:
    """Replace the recording of a graph, which needs a GPU."""
    return function
