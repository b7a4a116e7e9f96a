"""Device-specific implementations of the steps of a network, each with the plain PyTorch version as its reference.

Nothing here is ever required, and nothing is used unless the backend "fused" is asked for: where a fast result differs
from the plain one, the network computes as it is written in `model`. `fused_executor` chooses.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch

from ArSSRLib.device import precision_name
from ArSSRLib.kernels.checking import CheckedExecutor
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

# Compiling a kernel takes some seconds, once on each machine. Below this many fine voxels (a result of 159 cubed) the
# unfused decoder takes a hundredth of a second, and the compiler is not waited for.
FUSED_FROM = 4_000_000


def fused_executor(
    model: SuperResolutionModel, device: torch.device, number_format: torch.dtype, *, voxels: int
) -> Executor:
    """Return the executor of the backend "fused": fast where that is possible and right, else the model itself.

    Args:
        model: On the device.
        device: Where it computes.
        number_format: What it computes in.
        voxels: Fine voxels of the whole job.
    """
    # A subclass may answer in another way, which no kernel knows.
    known = type(model) in EXECUTORS
    if device.type != "cuda" or number_format == torch.float32 or not known:
        logger.warning(
            "There are no kernels for %s in %s on %s; it is computed by PyTorch.",
            model.name or type(model).__name__,
            precision_name(number_format),
            device,
        )
        return model
    fused = voxels >= FUSED_FROM and kernels_run_on(device) and fits(model)
    return checked_executor(model, number_format, fused=fused, device=device)


def checked_executor(
    model: SuperResolutionModel, number_format: torch.dtype, *, fused: bool, device: torch.device
) -> CheckedExecutor:
    """Return the fast executor of a network, whose first tile is compared with plain float32."""
    executor: Callable[..., Executor] = EXECUTORS[type(model)]
    return CheckedExecutor(
        executor(model, number_format, fused=fused),
        InFullPrecision(model),
        halo=model.halo,
        tolerance=TOLERANCES[type(model)],
        key=(str(device), number_format, fused, model.config),
        name=f"{model.name or type(model).__name__} in {precision_name(number_format)} on {device}",
    )


def fits(model: SuperResolutionModel) -> bool:
    """Return whether a fused kernel is made for a decoder of this size; a larger one is left to PyTorch."""
    fits_into_kernel: Callable[..., bool] = EXECUTORS[type(model)].fits
    return fits_into_kernel(model)
