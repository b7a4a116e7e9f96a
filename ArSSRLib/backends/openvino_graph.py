"""The encoders as graphs of OpenVINO, built from the layers of the PyTorch modules.

The graphs are built here rather than traced: the converter of OpenVINO reports usage over the network unless disabled,
and it needs PyTorch's deprecated tracer. The published encoders describe themselves; a test compares the separate
description of arssr2 with the network.

The input is (1, C, D, H, W), and the output is channels last, (1, D, H, W, C): the convolutions write and the decoders
read this order, so that nothing is reordered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from ArSSRLib.model.arssr import ArSSR
from ArSSRLib.model.arssr2 import ArSSR2
from ArSSRLib.model.arssr3 import ArSSR3
from ArSSRLib.model.blocks import BRANCH_GAIN, SLOPE
from ArSSRLib.model.convolutions import Layers
from ArSSRLib.model.interface import SuperResolutionModel

if TYPE_CHECKING:
    import openvino as ov

Range = tuple[float, float]
# A node of a graph; OpenVINO types its operations loosely.
Node = Any

# Number of 8-bit levels: all 256 for inputs of convolutions, one less for weights, which are symmetric about 0.
INPUT_LEVELS, WEIGHT_LEVELS = 256, 255
# Weights use half of their levels: processors without VNNI add two products in 16 bits, which would overflow with all
# levels. This costs nothing: on the measured volume, the loss was 0.0099 dB instead of 0.0109.
WEIGHT_HEADROOM = 2


def encoder_graph(
    model: SuperResolutionModel, shape: Sequence[int], *, ranges: Mapping[str, Range] | None = None
) -> ov.Model:
    """Return the encoder of a network for crops of one shape.

    Args:
        model: The network; its weights are copied.
        shape: Coarse voxels along k, j, i.
        ranges: Smallest and largest input of each convolution to be computed in 8 bits, by its name in the network;
            other convolutions, or all if None, use the precision for which the graph is compiled.

    Returns:
        A graph with one input, (1, 1, D, H, W), or for arssr2 three inputs, (1, 2, D, H, W) and the gains and shifts of
        every block and channel, (blocks, channels). Its output is the features (1, D, H, W, C).
    """
    import openvino as ov  # noqa: PLC0415 - an optional package

    features, inputs = _GRAPHS[type(model)](model, _GraphLayers(model, ranges or {}), shape)
    last = _ops().transpose(features, np.array([0, 2, 3, 4, 1]))
    return ov.Model([last], inputs, "encoder")


class _GraphLayers(Layers):
    """Converts convolutions of a module into nodes of a graph; ``ranges`` are those of inputs in 8 bits, by name."""

    def __init__(self, model: nn.Module, ranges: Mapping[str, Range]) -> None:
        self._names = {module: name for name, module in model.named_modules()}
        self._ranges = ranges

    def convolve(self, layer: nn.Module, features: Node, *, part: slice | None = None, bias: bool = True) -> Node:
        """Return the node of a convolution, optionally with only ``part`` of its input channels."""
        convolution = cast("nn.Conv3d", layer)
        weight = _values(convolution.weight)[:, part or slice(None)]
        weights = _constant(weight)
        limits = self._ranges.get(self._names[layer])
        if limits is not None:
            largest = WEIGHT_HEADROOM * np.abs(weight).max(axis=(1, 2, 3, 4), keepdims=True)
            weights = _in_steps(weights, -largest, largest, levels=WEIGHT_LEVELS)
            features = _in_steps(features, *_with_step_at_zero(limits), levels=INPUT_LEVELS)
        margin = list(cast("tuple[int, ...]", convolution.padding))
        if convolution.padding_mode == "replicate":
            around = np.array([0, 0, *margin])
            features, margin = _ops().pad(features, around, around, "edge"), [0, 0, 0]
        ones = [1, 1, 1]
        result = _ops().convolution(features, weights, ones, margin, margin, ones)
        if not bias:
            return result
        return _ops().add(result, _constant(_values(cast("Tensor", convolution.bias)).reshape(1, -1, 1, 1, 1)))

    def joined(self, layer: nn.Module, parts: Sequence[Node]) -> Node:
        """Return the node of a convolution of concatenated parts of equal width, without concatenating them.

        The sum of the convolutions of the parts took 6 % less time and 26 % less memory.
        """
        width = cast("nn.Conv3d", layer).in_channels // len(parts)
        total = self.convolve(layer, parts[0], part=slice(0, width))
        for number, features in enumerate(parts[1:], start=1):
            part = slice(number * width, (number + 1) * width)
            total = _ops().add(total, self.convolve(layer, features, part=part, bias=False))
        return total

    def sequence(self, layers: nn.Module, features: Node) -> Node:
        """Return the node of a sequence of convolutions and rectifiers, regardless of nesting."""
        for layer in layers.modules():
            if isinstance(layer, nn.Conv3d):
                features = self.convolve(layer, features)
            elif isinstance(layer, nn.ReLU):
                features = self.relu(features)
        return features

    def relu(self, features: Node) -> Node:
        """Return the node of a rectifier."""
        return _ops().relu(features)


def _published(model: ArSSR, layers: _GraphLayers, shape: Sequence[int]) -> tuple[Node, list[Node]]:
    """Return the node of the feature map of the published network, and its input."""
    volume = _ops().parameter([1, 1, *shape], np.float32)
    return model.encoder.described(layers, volume), [volume]


def _residual_of_spline(model: ArSSR2, layers: _GraphLayers, shape: Sequence[int]) -> tuple[Node, list[Node]]:
    """Return the node of the features of arssr2, without the spline coefficients, and its inputs."""
    volume = _ops().parameter([1, 2, *shape], np.float32)
    gains, shifts = (_ops().parameter([model.config.blocks, model.config.channels], np.float32) for _ in range(2))
    features = layers.convolve(model.head, volume)
    slope, branch = _constant(np.array([SLOPE])), _constant(np.array(BRANCH_GAIN))
    for number, block in enumerate(model.blocks):
        gain, shift = (_channels_of(table, number) for table in (gains, shifts))
        hidden = layers.convolve(cast("nn.Module", block.first), features)
        hidden = _ops().add(_ops().multiply(hidden, _ops().add(gain, _constant(np.array(1.0)))), shift)
        change = layers.convolve(cast("nn.Module", block.second), _ops().prelu(hidden, slope))
        features = _ops().add(features, _ops().multiply(change, branch))
    return layers.convolve(model.tail, features), [volume, gains, shifts]


_GRAPHS: dict[type[SuperResolutionModel], Callable[..., tuple[Node, list[Node]]]] = {
    ArSSR: _published,
    ArSSR2: _residual_of_spline,
    ArSSR3: _residual_of_spline,
}


def _channels_of(table: Node, row: int) -> Node:
    """Return one row of a table (blocks, channels), as (1, channels, 1, 1, 1)."""
    values = _ops().gather(table, np.array(row), np.array(0))
    return _ops().reshape(values, np.array([1, -1, 1, 1, 1]), special_zero=False)


def _with_step_at_zero(limits: Range) -> tuple[np.float32, np.float32]:
    """Return the ends of 256 levels that cover a range, shifted by less than one step so that one level is 0."""
    low, high = min(limits[0], 0.0), max(limits[1], 0.0)
    # Inputs of convolutions after a rectifier are mostly positive: steps symmetric about 0 would be twice as large, and
    # so would the loss.
    step = (high - low) / (INPUT_LEVELS - 1) or 1.0
    steps_below = round(-low / step)
    return np.float32(-steps_below * step), np.float32((INPUT_LEVELS - 1 - steps_below) * step)


def _in_steps(node: Node, low: npt.ArrayLike, high: npt.ArrayLike, *, levels: int) -> Node:
    """Return a node rounded to a number of levels from ``low`` to ``high``."""
    ends = [_constant(np.asarray(end)) for end in (low, high)]
    return _ops().fake_quantize(node, *ends, *ends, levels)


def _values(tensor: Tensor) -> npt.NDArray[np.float32]:
    return np.asarray(tensor.detach().float().cpu().numpy())


def _constant(values: npt.ArrayLike) -> Node:
    return _ops().constant(np.ascontiguousarray(values, dtype=np.float32))


def _ops() -> Any:  # noqa: ANN401 - a module
    from openvino import opset13  # noqa: PLC0415 - an optional package

    return opset13
