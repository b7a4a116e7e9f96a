"""Feature maps of parts of a volume: encoded for a box, and cached for the next requests.

Which boxes a plane needs, and what is predicted from them, is decided in `ArSSRLib.upsampling.lens`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ArSSRLib.convolution.slabs import Advance
from ArSSRLib.coordinates import Box, is_inside, within
from ArSSRLib.model.interface import Conditioning, SuperResolutionModel
from ArSSRLib.upsampling.plane import Vector

# Voxels of a box.
Mask = npt.NDArray[np.bool_]
# An axis of a box becomes the first one if the first one is longer by this factor.
THIN = 2


@dataclass(frozen=True)
class FeatureMap:
    """A feature map of a box of coarse voxels.

    Attributes:
        box: Voxels along k, j, i.
        features: Shape (1, C, *shape of the box), channels last in memory.
        scale: Factors along i, j, k for which it was encoded.
        exact: Whether its halo was that of the model.
        valid: Mask of the voxels whose features are valid; all if None.
    """

    box: Box
    features: Tensor
    scale: Vector
    exact: bool
    valid: Mask | None = None

    @property
    def bytes(self) -> int:
        """Size of the features."""
        return self.features.numel() * self.features.element_size()

    def serves(self, box: Box, scale: Vector, *, exact: bool, needed: Mask | None = None) -> bool:
        """Return whether it covers a box, or the voxels of it in a mask, at a scale, with the requested accuracy."""
        if not (is_inside(box, self.box) and self.scale == scale and (self.exact or not exact)):
            return False
        if self.valid is None:
            return True
        valid = self.valid[within(box, self.box)]
        return bool(valid.all() if needed is None else valid[needed].all())


class FeatureCache:
    """The last feature maps, up to a size.

    Attributes:
        most_bytes: Size limit, except for the last one.
        kept: The feature maps; the most recently used one is the last.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.kept: tuple[FeatureMap, ...] = ()

    @property
    def bytes(self) -> int:
        """Size of all feature maps."""
        return sum(kept.bytes for kept in self.kept)

    def found(self, box: Box, scale: Vector, *, exact: bool, needed: Mask | None = None) -> FeatureMap | None:
        """Return a feature map that serves a box, an exact one if there is one, or None."""
        serving = [kept for kept in self.kept if kept.serves(box, scale, exact=exact, needed=needed)]
        return max(serving, key=lambda kept: kept.exact, default=None)

    def keep(self, feature_map: FeatureMap) -> None:
        """Make a feature map, cached or new, the most recently used one, and discard the oldest ones."""
        self.kept = (*(kept for kept in self.kept if kept is not feature_map), feature_map)
        while len(self.kept) > 1 and self.bytes > self.most_bytes:
            self.kept = self.kept[1:]


def encoded(
    model: SuperResolutionModel,
    volume: Tensor,
    box: Box,
    told: Conditioning,
    advance: Advance,
    *,
    halo: int | None,
    needed: Mask | None = None,
) -> Tensor:
    """Return `SuperResolutionModel.encode_box`, channels last in memory.

    On a CPU, the convolutions of a thin box take up to a third less time if its thinnest axis is the first one; with a
    mask of the voxels that are needed, they skip most if the mask, seen along the last axis, is thin.
    """
    order = _order_of(box, needed, turn=volume.device.type == "cpu")
    rows = None
    if needed is not None:
        rows = torch.from_numpy(np.ascontiguousarray(needed.transpose(order).any(axis=2)))
    if order != (0, 1, 2):
        model, volume = _turned(model, order), _in_order(volume, order)
    k, j, i = (box[axis] for axis in order)
    features = model.encode_box(volume, (k, j, i), told, advance, halo=halo, needed=rows)
    features = _in_order(features, [order.index(axis) for axis in range(3)])
    return features.permute(0, 2, 3, 4, 1).contiguous().permute(0, 4, 1, 2, 3)


def _order_of(box: Box, needed: Mask | None, *, turn: bool) -> tuple[int, ...]:
    """Return the axes of a box in the order in which its convolutions take the least time."""
    extents = [s.stop - s.start for s in box]
    thinnest = extents.index(min(extents))
    if needed is not None:
        last = min(range(3), key=lambda axis: int(needed.any(axis=axis).sum()) * extents[axis])
        return (*sorted((axis for axis in range(3) if axis != last), key=lambda axis: extents[axis]), last)
    if not turn or THIN * extents[thinnest] > extents[0]:
        return (0, 1, 2)
    return (thinnest, *(axis for axis in range(3) if axis != thinnest))


def _turned(model: SuperResolutionModel, order: tuple[int, ...]) -> SuperResolutionModel:
    """Return a model that encodes volumes whose axes are in another order."""
    model = copy.deepcopy(model)
    for layer in model.modules():
        if isinstance(layer, nn.Conv3d):
            layer.weight = nn.Parameter(_in_order(layer.weight, order).contiguous(), requires_grad=False)
    return model


def _in_order(volume: Tensor, order: Iterable[int]) -> Tensor:
    """Return a tensor of shape (N, C, D, H, W) with its last three axes in an order."""
    return volume.permute(0, 1, *(2 + axis for axis in order))
