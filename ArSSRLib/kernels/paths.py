"""Executors of networks on a GPU: 16-bit encoders, recorded as graphs, and decoders as fused kernels."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from ArSSRLib.coordinates import QueryGrid
from ArSSRLib.interpolation import in_full_precision, spline_coefficients, spline_on_grid
from ArSSRLib.kernels.encoding import published_encoder, residual_encoder
from ArSSRLib.kernels.graphs import Function, Repeated, cuda_graph
from ArSSRLib.kernels.tables import PackedLayers, axis_tables, pack_published, pack_residual
from ArSSRLib.kernels.transfer import to_device
from ArSSRLib.model.arssr import ArSSR
from ArSSRLib.model.arssr2 import RESIDUAL_GAIN, ArSSR2
from ArSSRLib.model.blocks import SLOPE
from ArSSRLib.model.interface import Answer, Conditioning, Progress, SuperResolutionModel

Record = Callable[[Function, Sequence[Tensor]], Function]

# The first compute capability with bf16 matrix products.
LEAST_CAPABILITY = (8, 0)


@dataclass(frozen=True)
class InFullPrecision:
    """A network in float32, regardless of autocast: the reference for the other implementations."""

    model: SuperResolutionModel

    def encode_tile(self, volume: Tensor, told: Conditioning, progress: Progress) -> Answer:
        """Encode a tile."""
        with in_full_precision(volume.device):
            answer = self.model.encode_tile(volume, told, progress)

        def query(grid: QueryGrid) -> Tensor:
            """Predict a block."""
            with in_full_precision(volume.device):
                return answer(grid)

        return query


def kernels_run_on(device: torch.device) -> bool:
    """Return whether the fused kernels can be compiled for a device: with Triton and a sufficiently recent GPU."""
    # PyTorch includes Triton on Linux with CUDA only. AMD GPUs, which PyTorch also calls "cuda", have other matrix
    # instructions, for which the compiled kernels have not been examined.
    if device.type != "cuda" or torch.version.hip is not None or importlib.util.find_spec("triton") is None:
        return False
    return torch.cuda.get_device_capability(device) >= LEAST_CAPABILITY


class PublishedOnGPU:
    """The published network on a GPU; an `Executor`.

    Args:
        model: The network, on the device.
        number_format: bf16 or fp16; float32 in tests.
        fused: Whether to fuse interpolation and decoder into one kernel; otherwise, those of the model are used.
        record: Function that records the work of the encoder.
    """

    def __init__(self, model: ArSSR, number_format: torch.dtype, *, fused: bool, record: Record = cuda_graph) -> None:
        self._model = model
        self._encoder = Repeated(published_encoder(model, number_format), record)
        channels = model.config.feature_channels
        self._layers = pack_published(model.decoder, channels, number_format) if fused else None

    def encode_tile(self, volume: Tensor, told: Conditioning, progress: Progress) -> Answer:
        """Encode a tile; the host does not wait for it, so no progress is reported."""
        with in_full_precision(volume.device):
            feature_map = self._encoder(volume)
        if self._layers is None:
            return lambda grid: self._model.query_grid(feature_map, grid, told)
        features, layers = feature_map[0].permute(1, 2, 3, 0).contiguous(), self._layers
        return lambda grid: _decoded(features, grid, layers)


class ResidualOnGPU:
    """ArSSR2 on a GPU; arguments as for `PublishedOnGPU`."""

    def __init__(self, model: ArSSR2, number_format: torch.dtype, *, fused: bool, record: Record = cuda_graph) -> None:
        self._model = model
        self._encoder = Repeated(residual_encoder(model, number_format), record)
        self._layers = pack_residual(list(model.hidden), model.output, number_format) if fused else None

    def encode_tile(self, volume: Tensor, told: Conditioning, progress: Progress) -> Answer:
        """Encode a tile; the host does not wait for it, so no progress is reported."""
        with in_full_precision(volume.device):
            inputs = (told.scale,) if told.acquisition is None else (told.scale, told.acquisition)
            features = self._encoder(volume, *inputs)[0].permute(1, 2, 3, 0)
            coefficients = spline_coefficients(volume.float())[0, 0]
        if self._layers is None:
            feature_map = torch.cat([features.float(), coefficients[..., None]], dim=-1).permute(3, 0, 1, 2)[None]
            return lambda grid: self._model.query_grid(feature_map, grid, told)
        return ResidualTile(self._model, self._layers, features.contiguous(), coefficients, told).answer


@dataclass(frozen=True)
class ResidualTile:
    """A tile that arssr2 or arssr3 has encoded for the fused kernel.

    Attributes:
        model: The network, which computes the modulation.
        layers: Packed decoder of the network.
        features: Shape (d, h, w, C), in the number format of ``layers``.
        coefficients: Coefficients of the cubic spline, shape (d, h, w), float32.
        told: Scale and slice profiles, of one volume, on the device.
    """

    model: ArSSR2
    layers: PackedLayers
    features: Tensor
    coefficients: Tensor
    told: Conditioning

    def answer(self, grid: QueryGrid) -> Tensor:
        """Predict a block of fine voxels, float32."""
        from ArSSRLib.kernels.residual_decoder import add_residual_grid  # noqa: PLC0415 - only where Triton is

        device = self.features.device
        with in_full_precision(device), _current(device):
            # Copied once, so that neither the spline nor the modulation waits for the GPU.
            positions = [to_device(position, device) for position in grid.sampling]
            modulation = [self._modulation(axis, position) for axis, position in enumerate(positions)]
            gains, shifts = (torch.cat(parts).contiguous() for parts in zip(*modulation, strict=True))
            return add_residual_grid(
                spline_on_grid(self.coefficients, positions).contiguous(),
                self.features,
                axis_tables(grid, self.features.shape[:3], device, padding="border"),
                self.layers,
                modulation=(gains, shifts),
                slope=SLOPE,
                residual_gain=RESIDUAL_GAIN,
            )

    def _modulation(self, axis: int, position: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gains and shifts of the model, (M, C), for M positions along one axis."""
        cell = (1 / self.told.scale[0, axis]).expand(len(position))
        return self.model.position_modulation(axis, position.float(), cell, self.told)


def _decoded(features: Tensor, grid: QueryGrid, layers: PackedLayers) -> Tensor:
    from ArSSRLib.kernels.published_decoder import decode_grid  # noqa: PLC0415 - only where Triton is

    with _current(features.device):
        tables = axis_tables(grid, features.shape[:3], features.device, padding="zeros")
        return decode_grid(features, tables, layers)


def _current(device: torch.device) -> AbstractContextManager[object]:
    """Make a GPU the current device, on which Triton launches."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
