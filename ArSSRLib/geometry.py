"""Position of a voxel grid in the patient.

Axis orders, defined once for the whole engine:

* arrays and tensors are indexed ``[k, j, i]``; their extent is a ``shape``;
* ``size``, ``spacing``, ``origin`` and ``direction`` follow ITK: ``(i, j, k)``, LPS, mm.

Nothing here depends on intensities, files, PyTorch or Slicer.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ArSSRLib.errors import InputError

FloatArray = npt.NDArray[np.float64]
Region = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
# Headers store single-precision numbers, so perpendicular axes have errors of about 1e-6; 1e-3 is a shear of 0.06
# degrees, or 0.1 mm over a field of view of 200 mm.
MAXIMUM_SHEAR = 1e-3
# More than any scanner acquires or any machine can store; a larger request is a typing error.
MAXIMUM_VOXELS = 2**40


@dataclass(frozen=True)
class VolumeGeometry:
    """Voxel grid placed in patient space.

    Attributes:
        size: Number of voxels along i, j, k.
        spacing: Distance between neighboring voxel centers along i, j, k, in mm.
        origin: Center of voxel (0, 0, 0), in LPS mm.
        direction: 3x3 row-major matrix as in ITK; column n is the unit vector of axis n.

    Raises:
        InputError: If the size is empty, or the spacing, origin or direction do not define a grid.
    """

    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: tuple[float, ...] = IDENTITY

    def __post_init__(self) -> None:
        """Refuse a grid that is empty, sheared, singular or not finite."""
        for name, count in (("size", len(np.ravel(self.size))), ("spacing", 3), ("origin", 3), ("direction", 9)):
            _require_numbers(name, getattr(self, name), count)
        if len(self.size) != 3 or min(self.size) < 1:
            msg = (
                f"The volume has size {times(self.size, 10)}; at least one voxel along each of three axes is needed; "
                "correct the header."
            )
            raise InputError(msg)
        numbers = np.concatenate([self.spacing, self.origin, self.direction])
        if not np.isfinite(numbers).all() or min(self.spacing) <= 0:
            msg = (
                f"The voxel spacing of {times(self.spacing)} mm is not positive and finite, or the origin is not "
                "finite; correct the header."
            )
            raise InputError(msg)
        axes = self._axes()
        if np.abs(axes.T @ axes - np.eye(3)).max() > MAXIMUM_SHEAR:
            msg = (
                "The axes of the volume are not perpendicular (sheared or singular direction matrix); "
                "resample it to a rectangular grid first, for example with Slicer's Resample Scalar Volume module."
            )
            raise InputError(msg)

    @classmethod
    def from_ras_affine(cls, size: Sequence[int], affine: npt.ArrayLike) -> VolumeGeometry:
        """Return the grid of a NIfTI-style affine, the 4x4 matrix from voxel index (i, j, k, 1) to RAS mm.

        Raises:
            InputError: If the affine is not finite, singular or sheared.
        """
        if np.shape(affine) != (4, 4) or np.asarray(affine).dtype.kind not in "iuf":
            msg = (
                f"The affine of a grid must be a 4 x 4 matrix of numbers, got {_one_line(affine)}; pass such a matrix."
            )
            raise InputError(msg)
        with np.errstate(over="ignore", invalid="ignore"):  # the results are refused below
            lps = LPS_TO_RAS @ np.asarray(affine, dtype=np.float64)
            spacing = np.linalg.norm(lps[:3, :3], axis=0)
        if not (np.isfinite(lps).all() and np.isfinite(spacing).all() and (spacing > 0).all()):
            msg = "The affine of the volume is singular or not finite; correct the orientation in its header."
            raise InputError(msg)
        return cls(
            size=_three_ints(size),
            spacing=three(spacing),
            origin=three(lps[:3, 3]),
            direction=tuple(float(x) for x in (lps[:3, :3] / spacing).ravel()),
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Extent of the array on this grid, in (k, j, i) order."""
        return (self.size[2], self.size[1], self.size[0])

    @property
    def extent(self) -> tuple[float, float, float]:
        """Edge lengths of the field of view along i, j, k, in mm, from outer face to outer face."""
        return three(np.multiply(self.spacing, self.size))

    @property
    def affine(self) -> FloatArray:
        """4x4 matrix from voxel index (i, j, k, 1) to LPS mm."""
        affine = np.eye(4)
        affine[:3, :3] = self._axes() * self.spacing
        affine[:3, 3] = self.origin
        return affine

    @property
    def ras_affine(self) -> FloatArray:
        """4x4 matrix from voxel index (i, j, k, 1) to RAS mm."""
        return np.asarray(LPS_TO_RAS @ self.affine)

    def corners(self) -> FloatArray:
        """Return the eight outer corners of the field of view, shape (8, 3), in LPS mm."""
        index = np.array(list(itertools.product(*[(-0.5, n - 0.5) for n in self.size])))
        return np.asarray(index @ self.affine[:3, :3].T + self.affine[:3, 3])

    def orientation(self) -> str:
        """Return the dominant direction of each axis i, j, k, such as "LPS": L or R, P or A, S or I."""
        axes = self._axes()
        rows = np.abs(axes).argmax(axis=0)
        return "".join(("LR", "PA", "SI")[row][int(axes[row, column] <= 0)] for column, row in enumerate(rows))

    def tilt(self) -> float:
        """Return the largest angle between an axis of the grid and the nearest axis of the patient, in degrees."""
        return float(np.degrees(np.arccos(np.abs(self._axes()).max(axis=0).clip(0, 1))).max())

    def upsampled(self, scale: float | Sequence[float]) -> VolumeGeometry:
        """Return the finer grid of ``round(scale * size)`` voxels with exactly the same field of view.

        The scale is a factor of at least 1, or one along each of i, j, k; unitless.

        Raises:
            InputError: If a factor is below 1 or not finite, or leads to an impossible size.
        """
        factors = parse_scale(scale)
        with np.errstate(over="ignore"):
            size = np.floor(np.multiply(factors, self.size) + 0.5)
            voxels = float(np.prod(size))
        if voxels > MAXIMUM_VOXELS:
            gigabytes = voxels * 4 / 1e9
            msg = (
                f"Scale {times(factors, 10)} would produce a volume of {times(size, 10)} voxels ({gigabytes:.3g} GB); "
                "choose a smaller scale."
            )
            raise InputError(msg)
        return self.resized(_three_ints(size))

    def resized(self, size: Sequence[int]) -> VolumeGeometry:
        """Return the grid of ``size`` voxels along i, j, k, finer or coarser, with exactly the same outer faces."""
        # Not spacing / scale: the size was rounded, but the field of view was not. The quotient is computed first, so
        # that an axis with an unchanged size keeps its spacing to the last bit.
        spacing = np.multiply(self.spacing, np.divide(self.size, size))
        # Not the old origin: the first voxel has another size, but its outer face is unchanged.
        origin = np.asarray(self.origin) + self._axes() @ (spacing - self.spacing) / 2
        return VolumeGeometry(_three_ints(size), three(spacing), three(origin), self.direction)

    def cropped(self, start: Sequence[int], size: Sequence[int]) -> VolumeGeometry:
        """Return the grid of a box of voxels, from a start and of a size along i, j, k; they keep their positions.

        Raises:
            InputError: If the box is empty or exceeds the grid.
        """
        box = parse_region([(first, first + count) for first, count in zip(start, size, strict=False)], self.size)
        corner = [first for first, _ in box]
        # A corner at 0 adds exact zeros: a crop from the first voxel keeps the origin to the last bit.
        origin = np.asarray(self.origin) + self._axes() @ np.multiply(self.spacing, corner)
        return VolumeGeometry(
            _three_ints([stop - first for first, stop in box]), self.spacing, three(origin), self.direction
        )

    def matches(self, other: VolumeGeometry, tolerance_mm: float = 1e-4) -> bool:
        """Return whether ``other`` has the same size, and the same corners within ``tolerance_mm``."""
        return self.size == other.size and bool(np.abs(self.corners() - other.corners()).max() <= tolerance_mm)

    def _axes(self) -> FloatArray:
        return np.asarray(self.direction, dtype=np.float64).reshape(3, 3)


def parse_scale(scale: float | Sequence[float]) -> tuple[float, float, float]:
    """Return a scale as three factors along i, j, k.

    Raises:
        InputError: If there are not one or three factors, or one is below 1 or not finite.
    """
    factors = _numbers_of(scale)
    if factors is None:
        msg = f'Scale must be one factor or three (i, j, k), got "{_one_line(scale)}".'
        raise InputError(msg)
    if len(factors) not in (1, 3):
        msg = f"Scale must be one factor or three (i, j, k), got {len(factors)} factors."
        raise InputError(msg)
    for factor in factors:
        if not math.isfinite(factor):
            msg = f"Scale must be a finite factor of at least 1, got {factor}."
            raise InputError(msg)
        if factor < 1:
            msg = (
                f"Scale must be at least 1, got {factor:g}. To coarsen a volume, use Slicer's Resample Scalar Volume "
                "module or another resampling tool."
            )
            raise InputError(msg)
    return three(factors * (3 // len(factors)))


def parse_region(region: Sequence[Sequence[int]], size: Sequence[int]) -> Region:
    """Return a half-open box of voxels as integers: (first, stop) along each of i, j, k.

    Raises:
        InputError: If it is not three pairs of integers, or the box is empty or exceeds the grid of this size.
    """
    try:
        pairs = [(operator.index(first), operator.index(stop)) for first, stop in region]
    except (TypeError, ValueError) as error:
        msg = f"The region must be three pairs of voxel numbers (first, stop) along i, j, k, got {region!s:.80}."
        raise InputError(msg) from error
    if len(pairs) != 3:
        msg = f"The region must be three pairs of voxel numbers (first, stop) along i, j, k, got {len(pairs)} pairs."
        raise InputError(msg)
    if not all(0 <= first < stop <= n for (first, stop), n in zip(pairs, size, strict=True)):
        msg = (
            f"The region {' x '.join(f'[{first}, {stop})' for first, stop in pairs)} is empty or extends beyond the "
            f"grid of {times(size, 10)} voxels; choose a box inside it."
        )
        raise InputError(msg)
    return (pairs[0], pairs[1], pairs[2])


def scale_for_spacing(geometry: VolumeGeometry, spacing: float | Sequence[float]) -> tuple[float, float, float]:
    """Return the factors along i, j, k for a voxel spacing in mm, one value or three.

    An axis is not changed if its spacing is within 1 % of the target.

    Raises:
        InputError: If a spacing is not positive, or coarser than that of the volume.
    """
    given = _numbers_of(spacing)
    if given is None or len(given) not in (1, 3) or not all(math.isfinite(x) and x > 0 for x in given):
        shown = _one_line(spacing) if given is None else " ".join(f"{x:g}" for x in given)
        msg = f"Spacing must be one positive length in mm, or three (i, j, k), got {shown}."
        raise InputError(msg)
    target = np.asarray(given * (3 // len(given)), dtype=np.float64)
    factors = np.asarray(geometry.spacing) / target
    if (factors < 0.99).any():
        msg = (
            f"Spacing {times(target, 10)} mm is coarser than the {times(geometry.spacing, 10)} mm of the volume along "
            "an axis; choose the same spacing or a finer one along every axis."
        )
        raise InputError(msg)
    return three(np.maximum(factors, 1.0))


def scale_for_size(geometry: VolumeGeometry, size: Sequence[int]) -> tuple[float, float, float]:
    """Return the factors along i, j, k for a number of voxels along i, j, k.

    Raises:
        InputError: If the size is not three integers, each at least that of the volume.
    """
    if len(size) != 3 or any(new < old for new, old in zip(size, geometry.size, strict=True)):
        msg = (
            f"Size must be three numbers of voxels, at least the {times(geometry.size, 10)} of the volume; got "
            f"{times(size, 10)}."
        )
        raise InputError(msg)
    return three(np.divide(size, geometry.size))


def scale_for_isotropic(geometry: VolumeGeometry) -> tuple[float, float, float]:
    """Return the factors along i, j, k that change every axis to the finest spacing of the volume."""
    return three(np.divide(geometry.spacing, min(geometry.spacing)))


def reached_scale(geometry: VolumeGeometry, factors: Sequence[float]) -> tuple[float, float, float]:
    """Return the exact factors along i, j, k after rounding the size, for reports.

    Raises:
        InputError: If the factors change nothing on this grid.
    """
    finer = geometry.upsampled(factors)
    if finer.size == geometry.size:
        msg = (
            f"A volume of {times(geometry.size, 10)} voxels of {times(geometry.spacing)} mm would not change; choose "
            "a larger scale or a finer spacing."
        )
        raise InputError(msg)
    return three([new / old for new, old in zip(finer.size, geometry.size, strict=True)])


def _require_numbers(name: str, given: object, count: int) -> None:
    """Refuse a property of a grid that is not a flat sequence of so many numbers, which are integers for a size."""
    try:
        values = np.asarray(given)
    except ValueError:  # sequences of different lengths
        values = np.array("")
    if values.shape != (count,) or values.dtype.kind not in ("iu" if name == "size" else "iuf"):
        numbers = "three whole numbers" if name == "size" else f"{count} numbers in a flat sequence"
        msg = f"The {name} of a grid must be {numbers}, got {_one_line(given)}; pass it in this form."
        raise InputError(msg)


def _numbers_of(given: object) -> list[float] | None:
    """Return a number, or a flat sequence of numbers, as a list; None for anything else."""
    try:
        values = np.atleast_1d(np.asarray(given, dtype=np.float64))
    except (TypeError, ValueError):
        return None
    return values.tolist() if values.ndim == 1 else None


def _one_line(given: object) -> str:
    return " ".join(str(given).split())[:80]


def three(values: Sequence[float] | FloatArray) -> tuple[float, float, float]:
    """Return three numbers as a tuple of floats."""
    a, b, c = (float(x) for x in values)
    return (a, b, c)


def _three_ints(values: Sequence[int] | FloatArray) -> tuple[int, int, int]:
    a, b, c = (int(x) for x in values)
    return (a, b, c)


def times(values: Sequence[float] | FloatArray, digits: int = 6) -> str:
    """Return numbers as text: "64 x 64 x 32"."""
    return " x ".join(f"{x:.{digits}g}" for x in values)


def scale_label(scale: Sequence[float], digits: int = 4) -> str:
    """Return a scale as text for tables and names: "2", or "1x1x3" if the axes i, j, k differ."""
    factors = [f"{factor:.{digits}g}" for factor in scale]
    return factors[0] if len(set(factors)) == 1 else "x".join(factors)


def times_label(scale: Sequence[float]) -> str:
    """Return a scale as text for users: "2x", or "1x1x3" if the axes i, j, k differ."""
    label = scale_label(scale, 3)
    return label if "x" in label else f"{label}x"
