"""Encoding on the CPU by OpenVINO, an optional package, instead of PyTorch.

`OpenVINOExecutor` encodes by a compiled graph and leaves the rest, the coefficients of the spline and the decoder, to
the network itself. A graph is compiled for each shape of a
crop; the last few stay in memory, so that a second volume of the same shape pays for none.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ArSSRLib.backends.openvino_calibration import input_ranges
from ArSSRLib.backends.openvino_graph import Range, encoder_graph
from ArSSRLib.device import precision_name
from ArSSRLib.errors import DeviceError, InputError
from ArSSRLib.interpolation import spline_coefficients
from ArSSRLib.model.arssr import ArSSR
from ArSSRLib.model.arssr2 import ArSSR2
from ArSSRLib.model.arssr3 import ArSSR3
from ArSSRLib.model.blocks import with_detail
from ArSSRLib.model.interface import Answer, Conditioning, Progress, SuperResolutionModel

if TYPE_CHECKING:
    import openvino as ov

# What OpenVINO calls the number formats, as hint for compiling and among what a processor can do.
_HINTS = {torch.float32: "f32", torch.bfloat16: "bf16", torch.int8: "f32"}
_CAPABILITIES = {torch.float32: "FP32", torch.bfloat16: "BF16", torch.int8: "INT8"}
# Compiled graphs that are kept: as many shapes as the tiles of one volume commonly have (first, inner and last along
# each of two axes), of the network used last.
KEPT_GRAPHS = 9
# Seconds between two calls of whoever follows an encoding, and may stop it.
POLL_SECONDS = 0.2
# Voxels a second that the first encoding is expected to take; afterwards it is known.
FIRST_RATE = 30_000.0
# Part of an encoding that is told as done before it is: time is only an estimate.
MOST_ESTIMATED = 0.95

_compiled: OrderedDict[tuple[Any, ...], ov.CompiledModel] = OrderedDict()


@dataclass(frozen=True)
class _Encodable:
    """What differs between the networks whose encoders OpenVINO computes.

    Attributes:
        values: Values that a coarse voxel holds at the peak.
        inputs: What the graph takes, for a volume (1, 1, D, H, W) and what the network is told about it.
        with_spline: Whether the coefficients of the cubic spline are the last channel of the feature map.
        in_8_bits: Whether what 8 bits lose is known, and small.
    """

    values: Callable[[Any], int]
    inputs: Callable[[Any, Tensor, Conditioning], list[Tensor]]
    with_spline: bool
    in_8_bits: bool


def _modulated(model: ArSSR2, volume: Tensor, told: Conditioning) -> list[Tensor]:
    """Return what the graph of arssr2 and arssr3 takes."""
    modulation = model.block_modulation(told.scale, told.acquisition)
    return [with_detail(volume), *(torch.cat(table).flatten(1) for table in modulation)]


_RESIDUAL = _Encodable(
    values=lambda model: 4 * model.config.channels + model.config.feature_channels + 8,
    inputs=_modulated,
    with_spline=True,
    in_8_bits=True,
)
_ENCODABLE: dict[type[SuperResolutionModel], _Encodable] = {
    ArSSR: _Encodable(
        # Besides twice the feature map: the peak resident memory of crops of 56^3 (ResCNN, 414 in all), 40^3 (SRResNet,
        # 406) and 58^3 (RDN, 967), compiling included.
        values=lambda model: (712 if model.config.encoder == "RDN" else 160) + 2 * model.config.feature_channels,
        inputs=lambda _, volume, __: [volume],
        with_spline=False,
        in_8_bits=False,
    ),
    ArSSR2: _RESIDUAL,
    ArSSR3: _RESIDUAL,
}


class OpenVINOExecutor:
    """A network whose encoder runs in OpenVINO; an `Executor`.

    Args:
        model: The network, on the CPU.
        precision: In which its convolutions multiply: float32, bfloat16 or int8. All else is float32.
        array: The whole volume that it will encode crops of, shape (k, j, i), in scanner units, finite.
        told: What the network is told about it.

    Raises:
        InputError: If the network is none that encodes on the coarse grid, or not known to be as good in 8 bits.
        DeviceError: If the processor cannot compute in that precision.
    """

    def __init__(
        self, model: SuperResolutionModel, precision: torch.dtype, array: npt.NDArray[Any], told: Conditioning
    ) -> None:
        self._model, self._parts = model, _encodable(model)
        self._precision = precision
        _require_capability(precision)
        self._ranges: dict[str, Range] = {}
        if precision == torch.int8:
            _require_known_loss(model, self._parts)
            self._ranges = input_ranges(model, array, told)
        self._rate = FIRST_RATE
        self._key = (_digest(model), precision, torch.get_num_threads(), *self._ranges.values())

    def encode_tile(self, volume: Tensor, told: Conditioning, progress: Progress) -> Answer:
        """Encode a tile."""
        feature_map = self.encode(volume, told, progress)
        return lambda grid: self._model.query_grid(feature_map, grid, told)

    def encode(self, volume: Tensor, told: Conditioning, progress: Progress) -> Tensor:
        """Turn a volume into the feature map that the network's own `encode` returns, but for rounding.

        Args:
            volume: Normalized intensities, shape (1, 1, D, H, W).
            told: What the network is told about it.
            progress: Called a few times a second with the part of the encoding that was finished since; the parts add
                up to 1. What it raises stops the encoding within a convolution.

        Returns:
            Feature map, shape (1, C, D, H, W), float32, channels last in memory.
        """
        tensors = self._parts.inputs(self._model, volume, told)
        inputs = [np.ascontiguousarray(tensor.detach().float().numpy()) for tensor in tensors]
        features = self._infer(inputs, progress)
        if self._parts.with_spline:
            coefficients = spline_coefficients(volume.float()).permute(0, 2, 3, 4, 1)
            features = torch.cat([features, coefficients], dim=-1)
        return features.permute(0, 4, 1, 2, 3)

    def _infer(self, inputs: list[npt.NDArray[np.float32]], progress: Progress) -> Tensor:
        """Run the graph of a crop; returns features of shape (1, D, H, W, C)."""
        shape = inputs[0].shape[2:]
        compiled = self._compiled(shape)
        request = compiled.create_infer_request()
        # Memory of PyTorch: it outlives the request.
        features = torch.empty(tuple(compiled.output(0).shape))
        request.set_output_tensor(_shared(features.numpy()))
        for index, values in enumerate(inputs):
            request.set_input_tensor(index, _shared(values))
        started, told = time.monotonic(), 0.0
        expected = features[0, ..., 0].numel() / self._rate
        request.start_async()
        try:
            while not request.wait_for(int(1000 * POLL_SECONDS)):
                part = min((time.monotonic() - started) / expected, MOST_ESTIMATED)
                progress(max(0.0, part - told))
                told = max(told, part)
        except BaseException:
            request.cancel()
            with contextlib.suppress(RuntimeError):  # "was canceled"; until then it still writes
                request.wait()
            raise
        finally:
            compiled.release_memory()
        request.wait()  # raises what failed
        self._rate = features[0, ..., 0].numel() / max(time.monotonic() - started, 1e-3)
        progress(1.0 - told)
        return features

    def _compiled(self, shape: tuple[int, ...]) -> ov.CompiledModel:
        """Return the compiled graph for crops of a shape (k, j, i), from memory if it is there."""
        key = (*self._key, shape)
        for other in [other for other in _compiled if other[:-1] != self._key]:
            del _compiled[other]  # of another network, whose weights would stay in memory
        if key not in _compiled:
            graph = encoder_graph(self._model, shape, ranges=self._ranges)
            _compiled[key] = _core().compile_model(graph, "CPU", self._options())
        _compiled.move_to_end(key)
        while len(_compiled) > KEPT_GRAPHS:
            _compiled.popitem(last=False)
        return _compiled[key]

    def _options(self) -> dict[str, Any]:
        return {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": _HINTS[self._precision],
            # As many as PyTorch was told to use, wherever the system lets them run.
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "ENABLE_CPU_PINNING": False,
        }


def openvino_bytes_per_coarse_voxel(model: SuperResolutionModel) -> int:
    """Return the bytes that encoding by OpenVINO holds per coarse voxel at its peak, in fp32.

    Raises:
        InputError: If the network is none that encodes on the coarse grid.
    """
    return 4 * _encodable(model).values(model)


def _encodable(model: SuperResolutionModel) -> _Encodable:
    """Return what is known about a network that encodes on the coarse grid, and refuse another."""
    if type(model) in _ENCODABLE:
        return _ENCODABLE[type(model)]
    msg = (
        f"{model.name or model.config.kind} computes on the fine grid, where the backend openvino has nothing to "
        "encode; choose the backend torch, or a model for any scale such as arssr2."
    )
    raise InputError(msg)


def _require_capability(precision: torch.dtype) -> None:
    """Refuse a precision that OpenVINO would silently replace by another on this processor."""
    if _CAPABILITIES[precision] not in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        msg = (
            f"Precision {precision_name(precision)} was asked for, but OpenVINO computes none on this processor; "
            "choose fp32 or auto."
        )
        raise DeviceError(msg)


def _require_known_loss(model: SuperResolutionModel, parts: _Encodable) -> None:
    """Refuse 8 bits where what they lose is not known."""
    if not parts.in_8_bits:
        msg = (
            f"Precision int8 was asked for, but what {model.name or model.config.kind} loses by it is not known; "
            "choose bf16 or fp32, or a model of the kind arssr2."
        )
        raise InputError(msg)


def _digest(model: SuperResolutionModel) -> bytes:
    """Return a checksum of the weights: graphs hold copies, and a network may be trained on."""
    digest = hashlib.blake2b(repr(model.config).encode())
    for parameter in model.parameters():
        digest.update(parameter.detach().cpu().contiguous().numpy().data)
    return digest.digest()


def _shared(values: npt.NDArray[np.float32]) -> ov.Tensor:
    """Return an array as OpenVINO's tensor, in the same memory."""
    import openvino as ov  # noqa: PLC0415 - an optional package

    return ov.Tensor(values, shared_memory=True)


@functools.cache
def _core() -> ov.Core:
    """Return OpenVINO's plugins."""
    import openvino as ov  # noqa: PLC0415 - an optional package

    return ov.Core()
