"""Which way a network is computed: by itself, by kernels for a GPU, or by OpenVINO. The only place that chooses."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy.typing as npt
import torch

from ArSSRLib.backends.openvino_encoder import OpenVINOExecutor, openvino_bytes_per_coarse_voxel
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
    """Return what computes a network.

    Args:
        model: On the device.
        backend: "torch", "openvino" or "fused".
        number_format: What it computes in.
        device: Where it computes.
        array: The whole volume, shape (k, j, i), in scanner units, finite.
        told: What the network is told about it, on the CPU.
        voxels: Fine voxels of the whole job.

    Raises:
        InputError: If the backend cannot compute the network.
        DeviceError: If the processor cannot compute in that number format.
    """
    if backend == "openvino":
        return OpenVINOExecutor(model, number_format, array, told)
    return gpu_executor(model, device, number_format, kernels=backend == "fused", voxels=voxels)


def precision_context(backend: str, number_format: torch.dtype, device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which an executor works."""
    # What OpenVINO leaves to PyTorch stays in single precision, which is faster there.
    full = backend == "openvino" or number_format == torch.float32
    return nullcontext() if full else torch.autocast(device.type, number_format)


def bytes_per_coarse_voxel(model: SuperResolutionModel, backend: str) -> int:
    """Return the bytes that encoding holds per coarse voxel at its peak.

    Raises:
        InputError: If the backend cannot compute the network.
    """
    return openvino_bytes_per_coarse_voxel(model) if backend == "openvino" else model.bytes_per_coarse_voxel
