"""The implementation of each row of a table: a prepared function for timing, and the conversion of its result.

Only public functions of the engine are used: `load_model`, `upsample`, `model.encode`, `model.query_grid`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from jobs import (
    BF16,
    BOXES,
    ENCODE,
    EVERY_SLICE,
    ONCE,
    OPENVINO,
    OPENVINO_INT8,
    PLAIN_ENCODE,
    PLAIN_QUERY,
    PUBLISHED,
    QUERY,
    UPSAMPLE,
    Job,
    Row,
)
from phantom import noisy_phantom
from procedures import (
    Network,
    default_network,
    encode,
    encode_every_slice,
    encode_once,
    published_network,
    query_slices,
)
from torch import Tensor

from ArSSRLib.checkpoint import DEFAULT_MODEL, load_model
from ArSSRLib.coordinates import whole_grid
from ArSSRLib.model.interface import Conditioning
from ArSSRLib.normalization import IntensityRange
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.upsampling import upsample
from ArSSRLib.volume import Volume

# Options of the engine besides the job.
OPTIONS: dict[str, dict[str, str]] = {
    UPSAMPLE: {"precision": "fp32"},
    BF16: {"precision": "bf16"},
    OPENVINO: {"precision": "fp32", "backend": "openvino"},
    OPENVINO_INT8: {"precision": "int8", "backend": "openvino"},
}


@dataclass(frozen=True)
class Prepared:
    """A prepared row.

    Attributes:
        run: The timed function.
        answer: Converts the result of `run` to normalized intensities in the boxes of the job, as one flat array; not
            timed.
    """

    run: Callable[[], Any]
    answer: Callable[[Any], np.ndarray]


def network_named(name: str) -> Network:
    """Return a network by its name in a row."""
    if name == PUBLISHED:
        return published_network()
    return default_network()[0] if name == DEFAULT_MODEL else load_model(name)


def prepare(row: Row, job: Job) -> Prepared:
    """Prepare a row of a job."""
    model, volume = network_named(row.network), noisy_phantom(job.size)
    intensities = IntensityRange.of(volume.array)
    # `upsample` clips the result to the darkest voxel of its input.
    lowest = intensities.normalize(volume.array.min(keepdims=True)).item()

    def in_boxes(array: np.ndarray) -> np.ndarray:
        return np.concatenate([np.maximum(array[box], lowest).ravel() for box in job.boxes()])

    if row.way in OPTIONS:
        options = UpsamplingOptions(device="cpu", memory_limit=job.memory_limit, **OPTIONS[row.way])
        run = partial(upsample, volume, model, job.scale, options)
        return Prepared(run, lambda result: in_boxes(_Normalized(result, intensities)))
    coarse = torch.from_numpy(intensities.normalize(volume.array))[None, None]
    if row.way == BOXES:
        boxed = partial(encode_once, model, coarse, job.fine_shape)
        return Prepared(
            lambda: [boxed(box=box).ravel() for box in job.boxes()],
            lambda results: np.maximum(torch.cat(results).numpy(), lowest),
        )
    if row.way in (EVERY_SLICE, ONCE):
        procedure = encode_every_slice if row.way == EVERY_SLICE else encode_once
        return Prepared(partial(procedure, model, coarse, job.fine_shape), lambda result: in_boxes(result.numpy()))
    run, read = _part(row.way, model, coarse, job.fine_shape)
    return Prepared(run, lambda result: in_boxes(read(result).numpy()))


class _Normalized:
    """A volume that is normalized where it is accessed only, because a copy of a large volume would not fit."""

    def __init__(self, volume: Volume, intensities: IntensityRange) -> None:
        self._array, self._intensities = volume.array, intensities

    def __getitem__(self, box: object) -> np.ndarray:
        return self._intensities.normalize(self._array[box])


def _part(
    way: str, model: Network, coarse: Tensor, fine_shape: tuple[int, int, int]
) -> tuple[Callable[[], Any], Callable[[Any], Tensor]]:
    """Return one half of a job, and the conversion of its result to intensities; a feature map is decoded."""
    if way == PLAIN_ENCODE:
        return partial(encode, model, coarse, fine_shape), partial(query_slices, model)
    if way == PLAIN_QUERY:
        return partial(query_slices, model, encode(model, coarse, fine_shape)), lambda result: result
    k, j, i = coarse.shape[2:]
    grid = whole_grid((k, j, i), fine_shape)
    told = Conditioning.between((k, j, i), fine_shape)

    @torch.inference_mode()
    def encoded() -> Tensor:
        return model.encode_lean(coarse, told)

    @torch.inference_mode()
    def answered(feature_map: Tensor) -> Tensor:
        return model.query_grid(feature_map, grid, told)

    if way == ENCODE:
        return encoded, answered
    if way == QUERY:
        return partial(answered, encoded()), lambda result: result
    msg = f"There is no way {way!r} to answer."
    raise ValueError(msg)
