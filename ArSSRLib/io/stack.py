"""From slices with individual positions, as scanners store them, to one grid.

The spacing is computed from the positions, never from a slice thickness, so that a missing slice is detected. Nothing
here depends on a file format.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ArSSRLib.errors import InputError
from ArSSRLib.geometry import MAXIMUM_SHEAR, VolumeGeometry
from ArSSRLib.io.digits import EXACT, rounding_error

Vectors = npt.NDArray[np.float64]

# Smallest unevenness in spacings: a twentieth of a voxel is tolerated, regardless of the digits of the positions.
_UNEVEN = 0.05
# Slices are missing in a gap within this distance of a multiple of the spacing, in spacings, unless such gaps exceed
# this fraction of all gaps: then the distance varies intentionally.
_MULTIPLE, _GAPS = 0.15, 0.4
# Slices closer than this, relative to the spacing, have the same position.
_SAME_PLACE = 0.01


@dataclass(frozen=True)
class Plane:
    """One slice: a file, or a frame of a multi-frame file.

    Attributes:
        position: Center of the first voxel, in LPS mm.
        orientation: Unit vectors along a row and along a column, in LPS.
        spacing: Between rows and between columns, in mm, in the order of DICOM.
        size: Columns and rows.
        rescale: Slope and intercept.
        position_digits: Number of decimals of each coordinate of the position, as written.
        orientation_digits: The same for the components of the orientation.
    """

    position: tuple[float, ...]
    orientation: tuple[float, ...]
    spacing: tuple[float, ...]
    size: tuple[int, int]
    rescale: tuple[float, float]
    position_digits: tuple[int, ...] = (EXACT,) * 3
    orientation_digits: tuple[int, ...] = (EXACT,) * 6


def stack(planes: Sequence[Plane]) -> tuple[list[int], VolumeGeometry]:
    """Return the order of the slices along their normal, and their grid.

    Raises:
        InputError: If the slices are not one evenly spaced stack: not parallel, missing, duplicated, or tilted.
    """
    first = planes[0]
    if len(planes) < 2:
        msg = "has a single slice; specify the folder that contains all slices of the series"
        raise InputError(msg)
    digits = max(max(plane.orientation_digits) for plane in planes)
    turn = 0.5 * 10.0**-digits if digits > 1 else 0.0  # rounding error of the orientation; whole numbers are exact
    if any(np.abs(np.subtract(p.orientation, first.orientation)).max() > MAXIMUM_SHEAR + 2 * turn for p in planes):
        msg = "has slices that are not parallel, as in a localizer; choose a series that is a single stack"
        raise InputError(msg)
    if any(p.size != first.size or not np.allclose(p.spacing, first.spacing, rtol=1e-4) for p in planes):
        msg = "has slices of different sizes or pixel spacings; choose a series that is a single stack"
        raise InputError(msg)
    axes = _axes(first, turn)
    positions = np.array([plane.position for plane in planes])
    order = np.argsort(positions @ axes[2], kind="stable")
    positions = positions[order]
    error = rounding_error([plane.position for plane in planes], [plane.position_digits for plane in planes])
    spacing = _spacing(positions @ axes[2], error * float(np.abs(axes[2]).sum()))
    _require_upright(positions, axes[2], error, turn)
    geometry = VolumeGeometry(
        size=(*first.size, len(planes)),
        spacing=(first.spacing[1], first.spacing[0], spacing),
        origin=(float(positions[0, 0]), float(positions[0, 1]), float(positions[0, 2])),
        direction=tuple(float(x) for x in axes.T.ravel()),
    )
    return [int(n) for n in order], geometry


def _axes(plane: Plane, orientation_error: float) -> Vectors:
    """Return the unit vectors along a row, along a column and along their normal, shape (3, 3), in LPS."""
    row, column = np.reshape(plane.orientation, (2, 3))
    lengths = np.linalg.norm([row, column], axis=1)
    # Each of the six components has a rounding error in its text.
    if np.abs(lengths - 1).max() > 0.01 or abs(row @ column) > MAXIMUM_SHEAR + 4 * orientation_error:
        msg = f"has an orientation that is not two perpendicular unit vectors ({plane.orientation}); correct its header"
        raise InputError(msg)
    # Decimal text has few digits, so the axes are orthogonalized, starting with the row.
    row = row / lengths[0]
    column = column - row * (row @ column)
    column = column / np.linalg.norm(column)
    return np.stack([row, column, np.cross(row, column)])


def _spacing(depths: Vectors, error: float) -> float:
    """Return the distance between slices at ascending ``depths`` along their normal, and refuse an uneven stack.

    ``error`` is the largest rounding error of the depths; all in mm.
    """
    steps = np.diff(depths)
    apart = steps[steps > 1e-3]
    step = float(np.median(apart)) if apart.size else 0.0
    doubled = int((steps <= _SAME_PLACE * step).sum())
    if doubled:
        places = len(depths) - doubled
        msg = (
            f"has {len(depths)} slices at {places} position{'s' * (places != 1)}, as in a series with several echoes "
            "or time points; split it first, for example with dcm2niix"
        )
        raise InputError(msg)
    # Rounding errors are smaller than this; half a voxel would hide a missing slice.
    rounding = min(2 * error, step / 4)
    _refuse_gaps(steps, step, rounding)
    number = np.arange(len(depths))
    mean = float(depths[-1] - depths[0]) / len(steps)
    # For rounded positions, a line through all of them is more accurate than the first and the last.
    even = float(np.polyfit(number, depths, 1)[0]) if rounding > 1e-4 * mean else mean
    off = depths - depths[0] - even * number
    off -= (off.max() + off.min()) / 2 if rounding > 1e-4 * mean else 0
    if np.abs(off).max() > max(_UNEVEN * mean, rounding):
        msg = (
            f"has unevenly spaced slices ({steps.min():.4g} to {steps.max():.4g} mm apart); "
            "resample it to even spacing first, for example with dcm2niix"
        )
        raise InputError(msg)
    return even


def _refuse_gaps(steps: Vectors, step: float, rounding: float) -> None:
    """Refuse a stack with missing slices: a few of its steps, in mm, are multiples of the usual step."""
    multiples = np.rint(steps / step)
    gaps = np.flatnonzero(multiples > 1)
    whole = np.abs(steps - multiples * step).max() <= _MULTIPLE * step + rounding
    if not gaps.size or not whole or gaps.size > max(1.0, _GAPS * len(steps)):
        return
    missing, count = int((multiples[gaps] - 1).sum()), len(steps) + 1
    places = [f"numbers {n + 1} and {n + 2} are {steps[n]:.3g} mm apart instead of {step:.3g} mm" for n in gaps[:3]]
    more = f", and {len(gaps) - 3} more such places" if len(gaps) > 3 else ""
    msg = (
        f"lacks {missing} slice{'s' * (missing != 1)} between the {count} it has: {', '.join(places)}{more}; "
        "export the whole series"
    )
    raise InputError(msg)


def _require_upright(positions: Vectors, normal: Vectors, error: float, orientation_error: float) -> None:
    """Refuse a sheared stack, whose voxels are not a rectangular grid.

    Positions are in order, shape (N, 3), in mm; the errors are the largest rounding errors of a coordinate of a
    position and of a component of the orientation.
    """
    depths = positions @ normal
    depth = float(depths[-1] - depths[0])
    # The in-plane slope of a line through all slices, so that a single rounded position is not decisive.
    lean = float(np.linalg.norm(np.polyfit(depths, positions - np.outer(depths, normal), 1)[0]))
    if lean > MAXIMUM_SHEAR + 3 * error / depth + 2 * orientation_error:
        msg = (
            f"is tilted by {np.degrees(np.arctan(lean)):.3g} degrees (gantry tilt); correct it first, for example with "
            "dcm2niix"
        )
        raise InputError(msg)
