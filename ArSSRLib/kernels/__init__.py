"""Device-specific implementations of the steps of a network, each with the plain PyTorch version as its reference.

Nothing here is ever required. On a GPU every way in 16 bits is measured on the first tile of the work, see `choosing`;
the ways other than the network itself are offered only where the backend "fused" is asked for, until they have been
measured on real GPUs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch

from ArSSRLib.device import precision_name
from ArSSRLib.kernels.choosing import MeasuredExecutor
from ArSSRLib.kernels.paths import InFullPrecision, PublishedOnGPU, ResidualOnGPU, kernels_run_on
from ArSSRLib.model.arssr import ArSSR
from ArSSRLib.model.arssr2 import ArSSR2
from ArSSRLib.model.interface import Executor, SuperResolutionModel

logger = logging.getLogger(__name__)

EXECUTORS: dict[type[SuperResolutionModel], type[PublishedOnGPU] | type[ResidualOnGPU]] = {
    ArSSR: PublishedOnGPU,
    ArSSR2: ResidualOnGPU,
}
# Largest difference from plain float32 that is rounding, in parts of the intensity range. bf16 makes up to 0.014 with
# the published network, whose whole image passes through it, and up to 0.0005 with arssr2, where
# it touches the residual only. What is wrong differs by the residual itself, a few hundredths, or by much more.
TOLERANCES: dict[type[SuperResolutionModel], float] = {ArSSR: 0.05, ArSSR2: 0.005}
# The same for a network that is not listed.
TOLERANCE = 0.01

# Compiling a kernel takes some seconds, once on each machine. Below this many fine voxels (a result of 159 cubed) the
# unfused decoder takes a hundredth of a second, and the compiler is not waited for.
FUSED_FROM = 4_000_000


def gpu_executor(
    model: SuperResolutionModel, device: torch.device, number_format: torch.dtype, *, kernels: bool, voxels: int
) -> Executor:
    """Return what computes a network on a GPU: the fastest way that is right, as measured; elsewhere the network.

    Args:
        model: On the device.
        device: Where it computes.
        number_format: What it computes in.
        kernels: Whether ways other than the network itself are offered.
        voxels: Fine voxels of the whole job.
    """
    on_gpu = device.type == "cuda" and number_format != torch.float32
    # A subclass may answer in another way, which no kernel knows.
    if kernels and not (on_gpu and type(model) in EXECUTORS):
        logger.warning(
            "There are no kernels for %s in %s on %s; it is computed by PyTorch.",
            model.name or type(model).__name__,
            precision_name(number_format),
            device,
        )
        kernels = False
    # A network that convolves fine voxels sees the margins of the blocks that would be compared.
    if not (on_gpu and model.slabs_independent):
        return model
    fused = kernels and voxels >= FUSED_FROM and kernels_run_on(device) and fits(model)
    return measured_executor(model, number_format, recorded=kernels, fused=fused, device=device)


def measured_executor(
    model: SuperResolutionModel, number_format: torch.dtype, *, recorded: bool, fused: bool, device: torch.device
) -> MeasuredExecutor:
    """Return the executor that measures: the network itself, its encoder recorded, its decoder fused as well."""
    name = precision_name(number_format)
    ways: dict[str, Executor] = {f"plain {name}": model}
    if recorded or fused:
        executor: Callable[..., Executor] = EXECUTORS[type(model)]
        if recorded:
            ways[f"recorded {name}"] = executor(model, number_format, fused=False)
        if fused:
            ways[f"fused {name}"] = executor(model, number_format, fused=True)
    return MeasuredExecutor(
        ways,
        InFullPrecision(model),
        halo=model.halo,
        tolerance=TOLERANCES.get(type(model), TOLERANCE),
        key=(str(device), number_format, model.config),
        name=f"{model.name or type(model).__name__} on {device}",
    )


def fits(model: SuperResolutionModel) -> bool:
    """Return whether a fused kernel is made for a decoder of this size; a larger one is left to PyTorch."""
    fits_into_kernel: Callable[..., bool] = EXECUTORS[type(model)].fits
    return fits_into_kernel(model)
