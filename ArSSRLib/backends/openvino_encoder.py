"""Encoding by OpenVINO on the CPU, an optional alternative to PyTorch.

`OpenVINOExecutor` encodes with a compiled graph; the network itself computes the spline coefficients and the decoder. A
graph is compiled for every shape of a crop; the most recent graphs stay in memory, so that a second volume of the same
shape needs no compiling.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import time
from collections import OrderedDict
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

# Names of the number formats in OpenVINO, as a compiling hint and as a capability of the processor.
_HINTS = {torch.float32: "f32", torch.bfloat16: "bf16", torch.int8: "f32"}
_CAPABILITIES = {torch.float32: "FP32", torch.bfloat16: "BF16", torch.int8: "INT8"}
# Number of compiled graphs in memory: the usual number of tile shapes of one volume (first, inner and last along each
# of two axes), for the network used last.
KEPT_GRAPHS = 9
# Seconds between two calls of the progress function, which may stop the encoding.
POLL_SECONDS = 0.2
# Expected voxels per second of the first encoding; later ones use the measured rate.
FIRST_RATE = 30_000.0
# Largest fraction of an encoding that is reported before its end, because the time is only an estimate.
MOST_ESTIMATED = 0.95

_compiled: OrderedDict[tuple[Any, ...], ov.CompiledModel] = OrderedDict()


# The networks whose encoders OpenVINO computes, and whether the spline coefficients are the last channel of their
# feature map. Only for those with the spline, to which they add a residual, the loss by 8 bits is known, and small.
_WITH_SPLINE: dict[type[SuperResolutionModel], bool] = {ArSSR: False, ArSSR2: True, ArSSR3: True}


class OpenVINOExecutor:
    """A network whose encoder runs in OpenVINO; an `Executor`.

    Args:
        model: The network, on the CPU.
        precision: Number format of the products of its convolutions: float32, bfloat16 or int8. Everything else is
            float32.
        array: The whole volume, of which crops will be encoded, shape (k, j, i), in scanner units, with finite values.
        told: Conditioning of the network.

    Raises:
        InputError: If the network does not encode on the coarse grid, or if its loss by 8 bits is unknown.
        DeviceError: If the processor does not support that precision.
    """

    def __init__(
        self, model: SuperResolutionModel, precision: torch.dtype, array: npt.NDArray[Any], told: Conditioning
    ) -> None:
        self._model: Any = model
        self._with_spline, self._precision = _has_spline(model), precision
        _require_capability(precision)
        self._ranges: dict[str, Range] = {}
        if precision == torch.int8:
            if not self._with_spline:
                msg = (
                    f"Precision int8 was requested, but its loss of accuracy for {model.name or model.config.kind} has "
                    "not been measured; choose bf16 or fp32, or a model of kind arssr2 or arssr3."
                )
                raise InputError(msg)
            self._ranges = input_ranges(model, array, told)
        self._rate = FIRST_RATE
        self._key = (_digest(model), precision, torch.get_num_threads(), *self._ranges.values())

    def encode_tile(self, volume: Tensor, told: Conditioning, progress: Progress) -> Answer:
        """Encode a tile."""
        feature_map = self.encode(volume, told, progress)
        return lambda grid: self._model.query_grid(feature_map, grid, told)

    def encode(self, volume: Tensor, told: Conditioning, progress: Progress) -> Tensor:
        """Compute the feature map that `encode` of the network returns, except for rounding.

        Args:
            volume: Normalized intensities, shape (1, 1, D, H, W).
            told: Conditioning of the network.
            progress: Called a few times per second with the fraction of the encoding finished since the last call; the
                fractions add up to 1. An exception stops the encoding within a convolution.

        Returns:
            Feature map, shape (1, C, D, H, W), float32, channels last in memory.
        """
        tensors = [volume]
        if self._with_spline:
            modulation = self._model.block_modulation(told.scale, told.acquisition)
            tensors = [with_detail(volume), *(torch.cat(table).flatten(1) for table in modulation)]
        inputs = [np.ascontiguousarray(tensor.detach().float().numpy()) for tensor in tensors]
        features = self._infer(inputs, progress)
        if self._with_spline:
            coefficients = spline_coefficients(volume.float()).permute(0, 2, 3, 4, 1)
            features = torch.cat([features, coefficients], dim=-1)
        return features.permute(0, 4, 1, 2, 3)

    def _infer(self, inputs: list[npt.NDArray[np.float32]], progress: Progress) -> Tensor:
        """Run the graph for a crop; return features of shape (1, D, H, W, C)."""
        shape = inputs[0].shape[2:]
        compiled = self._compiled(shape)
        request = compiled.create_infer_request()
        # Memory of PyTorch, which outlives the request.
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
            with contextlib.suppress(RuntimeError):  # "was canceled"; until then, it still writes
                request.wait()
            raise
        finally:
            compiled.release_memory()
        request.wait()  # raises an error of the graph
        self._rate = features[0, ..., 0].numel() / max(time.monotonic() - started, 1e-3)
        progress(1.0 - told)
        return features

    def _compiled(self, shape: tuple[int, ...]) -> ov.CompiledModel:
        """Return the compiled graph for crops of a shape (k, j, i), from memory if possible."""
        key = (*self._key, shape)
        for other in [other for other in _compiled if other[:-1] != self._key]:
            del _compiled[other]  # of another network, whose weights would stay in memory
        if key not in _compiled:
            graph = encoder_graph(self._model, shape, ranges=self._ranges)
            options = {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": _HINTS[self._precision],
                # As many threads as PyTorch uses, on any core.
                "INFERENCE_NUM_THREADS": torch.get_num_threads(),
                "ENABLE_CPU_PINNING": False,
            }
            _compiled[key] = _core().compile_model(graph, "CPU", options)
        _compiled.move_to_end(key)
        while len(_compiled) > KEPT_GRAPHS:
            _compiled.popitem(last=False)
        return _compiled[key]


def openvino_bytes_per_coarse_voxel(model: SuperResolutionModel) -> int:
    """Return the peak memory of encoding by OpenVINO in bytes per coarse voxel, in fp32.

    Raises:
        InputError: If the network does not encode on the coarse grid.
    """
    config: Any = model.config
    if _has_spline(model):
        return 4 * int(4 * config.channels + config.feature_channels + 8)
    # In addition to twice the feature map: peak resident memory of crops of 56^3 (ResCNN, 414 in all), 40^3 (SRResNet,
    # 406) and 58^3 (RDN, 967), including compiling.
    return 4 * int((712 if config.encoder == "RDN" else 160) + 2 * config.feature_channels)


def _has_spline(model: SuperResolutionModel) -> bool:
    """Return whether the spline is part of the feature map, and refuse networks that encode on the fine grid."""
    if type(model) in _WITH_SPLINE:
        return _WITH_SPLINE[type(model)]
    msg = (
        f"{model.name or model.config.kind} runs its network on the fine grid, which the openvino backend does not "
        "support; choose the torch backend, or a model for any scale, such as arssr2."
    )
    raise InputError(msg)


def _require_capability(precision: torch.dtype) -> None:
    """Refuse a precision that OpenVINO would silently replace on this processor."""
    if _CAPABILITIES[precision] not in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        msg = (
            f"Precision {precision_name(precision)} was requested, but OpenVINO does not support it on this "
            "processor; choose fp32 or auto."
        )
        raise DeviceError(msg)


def _digest(model: SuperResolutionModel) -> bytes:
    """Return a checksum of the weights: graphs contain copies of them, and training may continue."""
    digest = hashlib.blake2b(repr(model.config).encode())
    for parameter in model.parameters():
        digest.update(parameter.detach().cpu().contiguous().numpy().data)
    return digest.digest()


def _shared(values: npt.NDArray[np.float32]) -> ov.Tensor:
    """Return an array as a tensor of OpenVINO, sharing its memory."""
    import openvino as ov  # noqa: PLC0415 - an optional package

    return ov.Tensor(values, shared_memory=True)


@functools.cache
def _core() -> ov.Core:
    import openvino as ov  # noqa: PLC0415 - an optional package

    return ov.Core()
