"""Selects the implementation of a network: the network itself, kernels for a GPU, or OpenVINO."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy.typing as npt
import torch

from ArSSRLib.backends.openvino_encoder import OpenVINOExecutor
from ArSSRLib.kernels import gpu_executor
from ArSSRLib.model.interface import Conditioning, Executor, SuperResolutionModel


def choose_executor(
    model: SuperResolutionModel,
    backend: str,
    number_format: torch.dtype,
    *,
    device: torch.device,
    array: npt.NDArray[Any],
    told: Conditioning,
    voxels: int,
) -> Executor:
    """Return the implementation of a network: "torch", "openvino" or "fused".

    ``array`` is the whole volume, shape (k, j, i), in scanner units, with finite values; ``told`` is on the CPU;
    ``voxels`` are the fine voxels of the whole job.

    Raises:
        InputError: If the backend does not support the network.
        DeviceError: If the processor does not support the number format.
    """
    if backend == "openvino":
        return OpenVINOExecutor(model, number_format, array, told)
    return gpu_executor(model, device, number_format, kernels=backend == "fused", voxels=voxels)


def precision_context(backend: str, number_format: torch.dtype, device: torch.device) -> AbstractContextManager[object]:
    """Return the autocast context of an executor."""
    # The parts that OpenVINO leaves to PyTorch use single precision, which is faster there.
    full = backend == "openvino" or number_format == torch.float32
    return nullcontext() if full else torch.autocast(device.type, number_format)
