"""Ranges of the inputs of convolutions, for computing them in 8 bits.

They are measured on the volume to be upsampled, not on separate calibration volumes: a trained network needs no file
besides its weights, and a scan that differs from the training data is not clipped to the range of that data. A few
small crops are enough if they have the sharpest edges, where features are largest.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ArSSRLib.backends.openvino_graph import Range
from ArSSRLib.coordinates import grown
from ArSSRLib.model.interface import Conditioning, SuperResolutionModel
from ArSSRLib.normalization import IntensityRange
from ArSSRLib.tiling import Slices, split

# Coarse voxels along an axis of a block, and of the margin around it in its crop.
BLOCK, MARGIN = 16, 2
# Number of blocks selected by their sharpest edge, and number selected by their mean edge.
SHARPEST = 2
# Allowance for other crops: larger steps cost less than a clipped feature.
ALLOWANCE = 1.1
# The first convolution processes the intensities and has few channels: 8 bits would not make it faster.
KEPT = ("head",)


def input_ranges(model: SuperResolutionModel, array: npt.NDArray[Any], told: Conditioning) -> dict[str, Range]:
    """Return the smallest and the largest input of each convolution that may be computed in 8 bits.

    Args:
        model: The network, on the CPU.
        array: The whole volume, shape (k, j, i), in scanner units, with finite values.
        told: Conditioning of the network.

    Returns:
        Ranges by name of the convolution in the network, including an allowance.
    """
    intensities = IntensityRange.of(array)
    with _recorded_ranges(model) as ranges:
        for crop in sharpest_crops(array, intensities):
            model.encode(torch.from_numpy(intensities.normalize(array[crop]))[None, None], told)
    return {name: (ALLOWANCE * low, ALLOWANCE * high) for name, (low, high) in ranges.items() if name not in KEPT}


def sharpest_crops(array: npt.NDArray[Any], intensities: IntensityRange) -> list[Slices]:
    """Return the crops around the blocks of a volume, shape (k, j, i), whose neighboring voxels differ most."""
    blocks = [split(length, max(1, length // BLOCK)) for length in array.shape]
    largest, mean = (np.empty([len(axis) for axis in blocks]) for _ in range(2))
    for place in np.ndindex(largest.shape):
        block = tuple(slice(*axis[index]) for axis, index in zip(blocks, place, strict=True))
        part = intensities.normalize(array[block])
        edges = [np.abs(np.diff(part, axis=axis)) for axis in range(3) if part.shape[axis] > 1]
        largest[place] = max((edge.max() for edge in edges), default=0)
        mean[place] = sum(edge.mean() for edge in edges)
    chosen = {index for table in (largest, mean) for index in np.argsort(-table, axis=None, kind="stable")[:SHARPEST]}
    crops = []
    for index in sorted(chosen):
        place = np.unravel_index(index, largest.shape)
        k, j, i = (slice(*axis[number]) for axis, number in zip(blocks, place, strict=True))
        crops.append(grown((k, j, i), MARGIN, array.shape))
    return crops


@contextlib.contextmanager
def _recorded_ranges(model: nn.Module) -> Iterator[dict[str, Range]]:
    """Record the smallest and the largest input of every 3-D convolution of a network."""
    ranges: dict[str, Range] = {}
    hooks = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv3d):

            def record(_: nn.Module, inputs: tuple[Tensor, ...], name: str = name) -> None:
                """Record the range of the input of a layer."""
                low, high = (float(end) for end in inputs[0].detach().aminmax())
                before = ranges.get(name, (low, high))
                ranges[name] = (min(low, before[0]), max(high, before[1]))

            hooks.append(module.register_forward_pre_hook(record))
    try:
        yield ranges
    finally:
        for hook in hooks:
            hook.remove()
