"""Device-specific implementations of parts of networks, each with plain PyTorch as its reference.

All of them are optional. On a GPU, every 16-bit implementation is checked and timed on the first tile, see `choosing`.
Implementations other than the network itself are only used with the backend "fused", until they have been measured on
real GPUs.
"""

from __future__ import annotations

import logging
from typing import Any

import torch

from ArSSRLib.device import precision_name
from ArSSRLib.kernels.choosing import MeasuredExecutor
from ArSSRLib.kernels.paths import InFullPrecision, PublishedOnGPU, ResidualOnGPU, kernels_run_on
from ArSSRLib.kernels.tables import LARGEST_CHANNELS, LARGEST_WIDTH, padded
from ArSSRLib.model.arssr import ArSSR
from ArSSRLib.model.arssr2 import ArSSR2
from ArSSRLib.model.arssr3 import ArSSR3
from ArSSRLib.model.interface import Executor, SuperResolutionModel

logger = logging.getLogger(__name__)

# Their arguments are of the type of the network, which a table cannot express.
EXECUTORS: dict[type[SuperResolutionModel], Any] = {
    ArSSR: PublishedOnGPU,
    ArSSR2: ResidualOnGPU,
    ArSSR3: ResidualOnGPU,
}
# Largest difference from plain float32 that counts as rounding, as a fraction of the intensity range. bf16 causes up to
# 0.014 with the published network, where it affects the whole image, and up to 0.0005 with arssr2, where it affects
# only the residual, as in arssr3. Errors differ by the residual itself, a few hundredths, or by much more.
TOLERANCES: dict[type[SuperResolutionModel], float] = {ArSSR: 0.05, ArSSR2: 0.005, ArSSR3: 0.005}
# The same for other networks.
TOLERANCE = 0.01

# Compiling a kernel takes a few seconds, once per machine. Below this number of fine voxels (159 cubed), the unfused
# decoder takes a hundredth of a second, and compiling does not pay off.
FUSED_FROM = 4_000_000


def gpu_executor(
    model: SuperResolutionModel, device: torch.device, number_format: torch.dtype, *, kernels: bool, voxels: int
) -> Executor:
    """Return the fastest correct implementation of a network on a GPU, as measured; elsewhere, the network itself.

    Args:
        model: The network, on the device.
        device: Device of the computation.
        number_format: Number format of the computation.
        kernels: Whether to try implementations other than the network itself.
        voxels: Fine voxels of the whole job.
    """
    on_gpu = device.type == "cuda" and number_format != torch.float32
    # The kernels do not support subclasses, which may compute something else.
    if kernels and not (on_gpu and type(model) in EXECUTORS):
        logger.warning(
            "There are no fused kernels for %s in %s on %s; PyTorch is used instead.",
            model.name or type(model).__name__,
            precision_name(number_format),
            device,
        )
        kernels = False
    # In a network that convolves fine voxels, the margins would affect the blocks that are compared.
    if not (on_gpu and model.slabs_independent):
        return model
    fused = kernels and voxels >= FUSED_FROM and kernels_run_on(device) and fits(model)
    return measured_executor(model, number_format, recorded=kernels, fused=fused, device=device)


def measured_executor(
    model: SuperResolutionModel, number_format: torch.dtype, *, recorded: bool, fused: bool, device: torch.device
) -> MeasuredExecutor:
    """Return an executor that compares the network itself, a recorded encoder, and a fused decoder."""
    name = precision_name(number_format)
    ways: dict[str, Executor] = {f"plain {name}": model}
    if recorded:
        ways[f"recorded {name}"] = EXECUTORS[type(model)](model, number_format, fused=False)
    if fused:
        ways[f"fused {name}"] = EXECUTORS[type(model)](model, number_format, fused=True)
    return MeasuredExecutor(
        ways,
        InFullPrecision(model),
        halo=model.halo,
        tolerance=TOLERANCES.get(type(model), TOLERANCE),
        key=(str(device), number_format, model.config),
        name=f"{model.name or type(model).__name__} on {device}",
    )


def fits(model: SuperResolutionModel) -> bool:
    """Return whether the fused kernel supports the size of a decoder; PyTorch computes larger ones."""
    config: Any = model.config
    widest = padded(getattr(config, "decoder_width", 0))
    return padded(config.feature_channels) <= LARGEST_CHANNELS and widest <= LARGEST_WIDTH
