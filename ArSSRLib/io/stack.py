"""Slices with a position each, as scanners send them, to one grid.

The spacing comes from the positions, never from a slice thickness: a missing slice is found, not stretched over.
Nothing here knows a file format.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ArSSRLib.errors import InputError
from ArSSRLib.geometry import MAXIMUM_SHEAR, VolumeGeometry

Vectors = npt.NDArray[np.float64]

# Positions are decimal text, often with one or two digits: a twentieth of a voxel is not a missing slice.
_UNEVEN = 0.05
# Closer than this, relative to the spacing, two slices are at the same place.
_SAME_PLACE = 0.01


@dataclass(frozen=True)
class Plane:
    """One slice: a file, or a frame of a multi-frame file.

    Attributes:
        position: Center of the first voxel, in LPS mm.
        orientation: Unit vectors along a row and along a column, in LPS.
        spacing: Between rows and between columns, in mm, in this order as in DICOM.
        size: Columns and rows.
        rescale: Slope and intercept.
    """

    position: tuple[float, ...]
    orientation: tuple[float, ...]
    spacing: tuple[float, ...]
    size: tuple[int, int]
    rescale: tuple[float, float]


def stack(planes: Sequence[Plane]) -> tuple[list[int], VolumeGeometry]:
    """Return the order of the slices along their normal, and the grid they form.

    Raises:
        InputError: If the slices are not one evenly spaced stack: not parallel, some missing or doubled, or tilted.
    """
    first = planes[0]
    if len(planes) < 2:
        msg = "has a single slice; name the folder that holds all slices of the series"
        raise InputError(msg)
    _require_alike(planes)
    axes = _axes(first)
    positions = np.array([plane.position for plane in planes])
    order = np.argsort(positions @ axes[2], kind="stable")
    positions = positions[order]
    spacing = _spacing(positions @ axes[2])
    _require_upright(positions, axes[2])
    geometry = VolumeGeometry(
        size=(*first.size, len(planes)),
        spacing=(first.spacing[1], first.spacing[0], spacing),
        origin=(float(positions[0, 0]), float(positions[0, 1]), float(positions[0, 2])),
        direction=tuple(float(x) for x in axes.T.ravel()),
    )
    return [int(n) for n in order], geometry


def _require_alike(planes: Sequence[Plane]) -> None:
    """Refuse slices that differ in more than their position."""
    first = planes[0]
    if any(np.abs(np.subtract(plane.orientation, first.orientation)).max() > MAXIMUM_SHEAR for plane in planes):
        msg = "has slices that are not parallel, as localizers have; choose a series that is one stack"
        raise InputError(msg)
    if any(plane.size != first.size or not np.allclose(plane.spacing, first.spacing, rtol=1e-4) for plane in planes):
        msg = "has slices of different size or pixel spacing; choose a series that is one stack"
        raise InputError(msg)


def _axes(plane: Plane) -> Vectors:
    """Return the unit vectors along a row, along a column and along their normal, shape (3, 3), in LPS."""
    row, column = np.reshape(plane.orientation, (2, 3))
    lengths = np.linalg.norm([row, column], axis=1)
    if np.abs(lengths - 1).max() > 0.01 or abs(row @ column) > MAXIMUM_SHEAR:
        msg = f"has an orientation that is not two perpendicular unit vectors ({plane.orientation}); correct its header"
        raise InputError(msg)
    # Decimal text has few digits; the axes are made exactly perpendicular, starting from the row.
    row = row / lengths[0]
    column = column - row * (row @ column)
    column = column / np.linalg.norm(column)
    return np.stack([row, column, np.cross(row, column)])


def _spacing(depths: Vectors) -> float:
    """Return the distance between slices in mm, from their sorted positions along the normal in mm."""
    steps = np.diff(depths)
    apart = steps[steps > 1e-3]
    step = float(np.median(apart)) if apart.size else 0.0
    doubled = int((steps <= _SAME_PLACE * step).sum())
    if doubled:
        msg = (
            f"has {len(depths)} slices at {len(depths) - doubled} positions, as several echoes or time points have; "
            "split it first, for example with dcm2niix"
        )
        raise InputError(msg)
    gap = int(np.argmax(steps))
    if steps[gap] > 1.5 * step:
        missing = max(1, round(float(steps[gap]) / step) - 1)
        msg = (
            f"lacks {missing} slice{'s' * (missing != 1)} between the {len(depths)} it has: numbers {gap + 1} and "
            f"{gap + 2} are {steps[gap]:.3g} mm apart instead of {step:.3g} mm; export the whole series"
        )
        raise InputError(msg)
    mean = float(depths[-1] - depths[0]) / len(steps)
    if np.abs(depths - (depths[0] + mean * np.arange(len(depths)))).max() > _UNEVEN * mean:
        msg = (
            f"has unevenly spaced slices ({steps.min():.4g} to {steps.max():.4g} mm apart); "
            "resample it to even spacing first, for example with dcm2niix"
        )
        raise InputError(msg)
    return mean


def _require_upright(positions: Vectors, normal: Vectors) -> None:
    """Refuse a stack that leans: its voxels are no rectangular grid."""
    span = positions[-1] - positions[0]
    depth = float(span @ normal)
    lean = float(np.linalg.norm(span - depth * normal)) / depth
    if lean > MAXIMUM_SHEAR:
        msg = (
            f"is tilted by {np.degrees(np.arctan(lean)):.3g} degrees against its slices (gantry tilt); "
            "correct the tilt first, for example with dcm2niix"
        )
        raise InputError(msg)
