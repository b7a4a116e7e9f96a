"""The layers of AlexNet and VGG16 that LPIPS uses, and the distance between their features. Tensors only, no files.

This is our own implementation because the packages lpips, torchmetrics and piq do not run offline: they build both
networks with torchvision, which must match the build of PyTorch, and download its weights on first use. With local
weights, they would only replace this file, and compute the features of a reference again for each result.

Source:
    Krizhevsky 2014, https://arxiv.org/abs/1404.5997; Simonyan and Zisserman 2015, https://arxiv.org/abs/1409.1556;
    Zhang et al. 2018, https://arxiv.org/abs/1801.03924, version 0.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# Mean and standard deviation by color for images in [-1, 1], as LPIPS uses them.
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
LEAST_SIDE = 32  # of an image, in pixels, for one pixel in the deepest layer


@dataclass(frozen=True)
class Convolution:
    """One convolution, with optional pooling before it; a rectifier follows.

    Attributes:
        channels: Output channels.
        kernel: Edge of the kernel, in pixels.
        stride: Stride in pixels.
        padding: Zeros around the image, in pixels.
        pool: Edge of the max pooling window before it, with stride 2; 0 for none.
        compared: Whether its output is part of the distance.
    """

    channels: int
    kernel: int = 3
    stride: int = 1
    padding: int = 1
    pool: int = 0
    compared: bool = True


NETWORKS: Mapping[str, tuple[Convolution, ...]] = {
    "alex": (
        Convolution(64, kernel=11, stride=4, padding=2),
        Convolution(192, kernel=5, padding=2, pool=3),
        Convolution(384, pool=3),
        Convolution(256),
        Convolution(256),
    ),
    "vgg": tuple(
        Convolution(channels, pool=2 if stage and n == 0 else 0, compared=n == count - 1)
        for stage, (channels, count) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)))
        for n in range(count)
    ),
}


def expected_shapes(layers: Sequence[Convolution]) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of every tensor that the distance needs; see `unit_features`."""
    shapes: dict[str, tuple[int, ...]] = {}
    before = 3
    for n, layer in enumerate(layers):
        shapes[f"kernel_{n}"] = (layer.channels, before, layer.kernel, layer.kernel)
        shapes[f"bias_{n}"] = (layer.channels,)
        if layer.compared:
            shapes[f"linear_{n}"] = (layer.channels,)
        before = layer.channels
    return shapes


def unit_features(images: Tensor, layers: Sequence[Convolution], weights: Mapping[str, Tensor]) -> list[Tensor]:
    """Return the normalized features of images.

    Args:
        images: Intensities in [-1, 1], shape (N, 3, rows, columns), or (N, 1, rows, columns) for gray; they may exceed
            the range.
        layers: Layers of the network.
        weights: Tensors of the network, named and shaped as in `expected_shapes`: kernels, biases, and the weight of
            each channel of a compared layer.

    Returns:
        The output of each compared layer, with the features of every pixel normalized to length 1 unless all are zero,
        shape (N, C, H, W) each.
    """
    shift, scale = (torch.tensor(values)[:, None, None] for values in (SHIFT, SCALE))
    values, found = (images - shift) / scale, []
    for n, layer in enumerate(layers):
        if layer.pool:
            values = F.max_pool2d(values, layer.pool, stride=2)
        kernel, bias = weights[f"kernel_{n}"], weights[f"bias_{n}"]
        values = F.relu(F.conv2d(values, kernel, bias, stride=layer.stride, padding=layer.padding))
        if layer.compared:
            found.append(values / (values.square().sum(dim=1, keepdim=True).sqrt() + 1e-10))
    return found


def distance(
    reference: Sequence[Tensor], result: Sequence[Tensor], layers: Sequence[Convolution], weights: Mapping[str, Tensor]
) -> Tensor:
    """Return LPIPS for pairs of images, shape (N,), unitless, 0 for equal images, from their `unit_features`."""
    names = [f"linear_{n}" for n, layer in enumerate(layers) if layer.compared]
    total = torch.zeros(len(reference[0]))
    for name, one, other in zip(names, reference, result, strict=True):
        total = total + torch.einsum("nchw,c->nhw", (one - other).square(), weights[name]).mean(dim=(1, 2))
    return total
