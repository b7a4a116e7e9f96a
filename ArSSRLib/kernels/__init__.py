"""Device-specific implementations of the steps of a network, each with the plain PyTorch version as its reference.

Nothing here is ever required: where a GPU, its number formats or Triton are missing, or where a fast result differs
from the plain one, the model computes as it is written in `model`. `network_path` chooses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ArSSRLib.device import precision_name
from ArSSRLib.kernels.checking import CheckedPath
from ArSSRLib.kernels.paths import TilePath, full_path, kernels_run_on, plain_path, published_path, residual_path
from ArSSRLib.kernels.tables import LARGEST_CHANNELS, LARGEST_WIDTH, padded
from ArSSRLib.model.arssr import ArSSR
from ArSSRLib.model.arssr2 import ArSSR2

if TYPE_CHECKING:
    from ArSSRLib.model.config import SuperResolutionModel

# Largest difference from plain float32 that is rounding, in parts of the intensity range. bf16 makes up to 0.014 with
# the published network, whose whole image passes through it, and up to 0.0005 with ours, where
# it touches the residual only. What is wrong differs by the residual itself, a few hundredths, or by much more.
TOLERANCES = {ArSSR: 0.05, ArSSR2: 0.005}

# Compiling a kernel takes some seconds, once on each machine. Below this many fine voxels (a result of 159 cubed) the
# unfused decoder takes a hundredth of a second, and nobody is made to wait for the compiler.
FUSED_FROM = 4_000_000


def network_path(
    model: SuperResolutionModel, device: torch.device, number_format: torch.dtype, *, voxels: int
) -> TilePath:
    """Return how a network answers for tiles: fast where that is possible and right, else as the model says.

    Args:
        model: On the device.
        device: Where it computes.
        number_format: What it computes in.
        voxels: Fine voxels of the whole job.
    """
    if device.type != "cuda" or number_format == torch.float32:
        return plain_path(model)
    # A subclass may answer in another way, which no kernel knows.
    if not isinstance(model, ArSSR | ArSSR2) or type(model) not in TOLERANCES:
        return plain_path(model)
    fused = voxels >= FUSED_FROM and kernels_run_on(device) and fits(model)
    return fast_path(model, number_format, fused=fused, device=device)


def fast_path(model: ArSSR | ArSSR2, number_format: torch.dtype, *, fused: bool, device: torch.device) -> CheckedPath:
    """Return the fast path of a network, whose first tile is compared with plain float32."""
    fast = (
        published_path(model, number_format, fused=fused)
        if isinstance(model, ArSSR)
        else residual_path(model, number_format, fused=fused)
    )
    return CheckedPath(
        fast,
        full_path(model),
        halo=model.halo,
        tolerance=TOLERANCES[type(model)],
        key=(str(device), number_format, fused, model.config),
        name=f"{model.name or type(model).__name__} in {precision_name(number_format)} on {device}",
    )


def fits(model: ArSSR | ArSSR2) -> bool:
    """Tell whether a fused kernel is made for a decoder of this size; a larger one is left to PyTorch."""
    channels = padded(model.config.feature_channels)
    if isinstance(model, ArSSR):
        return channels <= LARGEST_CHANNELS and padded(model.config.decoder_width) <= LARGEST_WIDTH
    return channels <= LARGEST_CHANNELS
