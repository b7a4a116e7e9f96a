"""Positions of the pixels of a plane in the patient among the voxels of a volume, without intensities."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ArSSRLib.coordinates import Box
from ArSSRLib.errors import InputError
from ArSSRLib.geometry import VolumeGeometry

# No view on a screen has more pixels.
MAXIMUM_PIXELS = 2**24
# Tolerance for rounding, in voxels.
ROUNDING = 1e-6

Vector = tuple[float, float, float]
# Rows and columns of a part of a plane.
Pixels = tuple[slice, slice]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Plane:
    """Pixels of a plane in the patient.

    Attributes:
        origin: Center of the first pixel, in LPS mm.
        column_step: Step from a pixel to the next one in its row, in LPS mm.
        row_step: Step from a pixel to the one in the next row, in LPS mm.
        size: Number of columns and rows.

    Raises:
        InputError: If it has no pixels or too many, or a number is not finite.
    """

    origin: Vector
    column_step: Vector
    row_step: Vector
    size: tuple[int, int]

    def __post_init__(self) -> None:
        """Refuse a plane without pixels or without a finite position."""
        numbers = np.concatenate([self.origin, self.column_step, self.row_step])
        if min(self.size) < 1 or math.prod(self.size) > MAXIMUM_PIXELS or not np.isfinite(numbers).all():
            msg = (
                f"The plane has {self.size[0]} x {self.size[1]} pixels, the first at {self.origin} mm; expected 1 to "
                f"{MAXIMUM_PIXELS} pixels at a finite position."
            )
            raise InputError(msg)

    def parts(self, counts: tuple[int, int]) -> list[tuple[Pixels, Plane]]:
        """Divide the plane into a number of parts along its columns and rows, limited by its pixels."""
        edges = [
            np.linspace(0, n, min(count, n) + 1).round().astype(int).tolist()
            for n, count in zip(self.size, counts, strict=True)
        ]
        parts = []
        for (left, right), (top, bottom) in itertools.product(*map(itertools.pairwise, edges)):
            x, y, z = (
                start + left * column + top * row
                for start, column, row in zip(self.origin, self.column_step, self.row_step, strict=True)
            )
            plane = Plane((x, y, z), self.column_step, self.row_step, (right - left, bottom - top))
            parts.append(((slice(top, bottom), slice(left, right)), plane))
        return parts

    def box(self, geometry: VolumeGeometry) -> Box | None:
        """Return the voxels of a grid around the plane, along k, j, i; None if it is outside."""
        inverse = np.linalg.inv(geometry.affine[:3, :3])[::-1]
        ends = np.array([[a * (self.size[0] - 1), b * (self.size[1] - 1)] for a in (0, 1) for b in (0, 1)])
        points = self.origin + ends @ [self.column_step, self.row_step]
        index = (points - geometry.origin) @ inverse.T
        if ((index < -0.5).all(axis=0) | (index > np.array(geometry.shape) - 0.5).all(axis=0)).any():
            return None
        return _around(index.min(axis=0), index.max(axis=0), 0, geometry.shape)


@dataclass(frozen=True)
class AxisVectors:
    """Voxel indices of a plane whose rows and columns follow axes of the volume.

    Attributes:
        vectors: Indices along k, j, i; one of the three has a single index.
        order: Axis of the row steps, axis of the column steps, and the third axis.
    """

    vectors: tuple[FloatArray, FloatArray, FloatArray]
    order: tuple[int, int, int]


@dataclass(frozen=True)
class PlanePoints:
    """The pixels of a plane as continuous voxel indices of a volume.

    Attributes:
        index: Indices along k, j, i, shape (rows, columns, 3); 0 is the center of the first voxel.
        inside: Mask of the pixels in the field of view, shape (rows, columns).
        axes: The pixels inside as one vector per axis; None for an oblique plane, or if no pixel is inside.
    """

    index: FloatArray
    inside: npt.NDArray[np.bool_]
    axes: AxisVectors | None

    @classmethod
    def of(cls, plane: Plane, geometry: VolumeGeometry) -> PlanePoints:
        """Locate the pixels of a plane among the voxels of a grid."""
        inverse: FloatArray = np.linalg.inv(geometry.affine[:3, :3])[::-1].astype(np.float64)
        first = inverse @ np.subtract(plane.origin, geometry.origin)
        column, row = inverse @ plane.column_step, inverse @ plane.row_step
        columns, rows = (np.arange(n)[:, None] for n in plane.size)
        index = first + (rows * row)[:, None] + columns * column
        inside: npt.NDArray[np.bool_] = np.all(_inside(index, np.asarray(geometry.shape)), axis=-1)
        return cls(index, inside, _axes_of(plane, geometry.shape, first, column, row) if inside.any() else None)

    def block(self, shape: tuple[int, int, int], margin: int) -> Box:
        """Return the voxels of a grid of this shape around the pixels inside, with a margin, along k, j, i."""
        points = self.index[self.inside]
        return _around(points.min(axis=0), points.max(axis=0), margin, shape)

    def voxels(self, box: Box, margin: int) -> npt.NDArray[np.bool_]:
        """Return the voxels of a box around the pixels inside, with a margin, as a mask without gaps between them."""
        mask = np.zeros([s.stop - s.start for s in box], dtype=bool)
        before = np.floor(self.index[self.inside]).astype(int) - [s.start for s in box]
        mask[tuple(np.clip(before, 0, np.array(mask.shape) - 1).T)] = True
        for axis in range(3):
            along = mask.swapaxes(0, axis)  # a view
            # Between pixels that are farther apart than voxels.
            along |= np.logical_or.accumulate(along) & np.logical_or.accumulate(along[::-1])[::-1]
            along[1:] |= along[:-1].copy()  # the voxels after the pixels
            for _ in range(margin):
                inner = along.copy()
                along[1:] |= inner[:-1]
                along[:-1] |= inner[1:]
        return mask


def _around(low: FloatArray, high: FloatArray, margin: int, shape: tuple[int, int, int]) -> Box:
    """Return the voxels of a grid of this shape between two continuous indices, with a margin."""
    first = np.floor(low + ROUNDING).astype(int) - margin
    last = np.ceil(high - ROUNDING).astype(int) + margin
    k, j, i = (slice(max(0, int(a)), min(n, int(b) + 1)) for a, b, n in zip(first, last, shape, strict=True))
    return (k, j, i)


def _inside(index: FloatArray, size: npt.NDArray[np.int_] | int) -> npt.NDArray[np.bool_]:
    return (index >= -0.5 - ROUNDING) & (index <= size - 0.5 + ROUNDING)


def _axes_of(
    plane: Plane, shape: tuple[int, int, int], first: FloatArray, column: FloatArray, row: FloatArray
) -> AxisVectors | None:
    """Return the pixels inside as one vector per axis, or None if a step does not follow an axis of the volume."""
    steps = np.abs([row * plane.size[1], column * plane.size[0]]) > ROUNDING
    down, across = int(steps[0].argmax()), int(steps[1].argmax())
    if (steps.sum(axis=1) != 1).any() or down == across:
        return None
    third = 3 - down - across
    vectors = [first[axis : axis + 1] for axis in range(3)]
    vectors[down] = first[down] + np.arange(plane.size[1]) * row[down]
    vectors[across] = first[across] + np.arange(plane.size[0]) * column[across]
    k, j, i = (vector[_inside(vector, n)] for vector, n in zip(vectors, shape, strict=True))
    return AxisVectors((k, j, i), (down, across, third))
