"""SliceProfile: how sensitive a voxel is along each axis, or that it is unknown.

A profile has a kind and a width. The width is the full width at half maximum as a fraction of the distance between
neighboring voxels, so it is unitless; in mm it is the slice thickness. Below 1 there is a gap between slices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ArSSRLib.errors import InputError

Kind = Literal["point", "gaussian", "box", "kspace"]
Source = Literal["stated", "DICOM", "sidecar", "estimated"]

KINDS: tuple[Kind, ...] = ("point", "gaussian", "box", "kspace")
# From the full width at half maximum of a Gaussian to its standard deviation.
FWHM_TO_SIGMA = 1.0 / (2.0 * math.sqrt(2.0 * math.log(2.0)))
# Cycles per coarse voxel at which a network is told how much contrast an acquisition keeps; 0.5 is Nyquist.
FREQUENCIES = (0.25, 0.5, 0.75, 1.0)
# A slice thicker than this many spacings is a typing error or a wrong header.
WIDEST = 16.0
# How quickly k-space truncation falls around its cut-off, in units of the relative frequency.
TRUNCATION_STEEPNESS = 16.0
# What a network is told about where a profile comes from: a fact, a guess, or nothing.
STATED, ESTIMATED, NOTHING = 1.0, 0.5, 0.0


@dataclass(frozen=True)
class AxisProfile:
    """Sensitivity along one axis.

    Attributes:
        kind: "point" samples without averaging; "gaussian"; "box"; "kspace" is the truncated k-space of the phase and
            frequency directions.
        width: Full width at half maximum as a fraction of the voxel distance; of "kspace", the acquired voxel size
            over the stored one. Of no meaning for "point".
        source: Where it comes from.

    Raises:
        InputError: If the kind is unknown, or the width is not a number above 0 and at most 16.
    """

    kind: Kind = "point"
    width: float = 1.0
    source: Source = "stated"

    def __post_init__(self) -> None:
        """Refuse what no acquisition can be."""
        if self.kind not in KINDS:
            msg = f'The slice profile "{self.kind}" is unknown; choose one of {", ".join(KINDS)}.'
            raise InputError(msg)
        if not 0 < self.width <= WIDEST:
            msg = (
                f"A slice thickness of {self.width:g} times the slice spacing is impossible; expected more than 0 and "
                f"at most {WIDEST:g}."
            )
            raise InputError(msg)

    @property
    def certainty(self) -> float:
        """What a network is told about the source: 1 for a fact, 0.5 for an estimate."""
        return ESTIMATED if self.source == "estimated" else STATED

    def transfer(self) -> tuple[float, ...]:
        """Return how much of the contrast the profile keeps at each of `FREQUENCIES`; 1 keeps all of it."""
        return tuple(float(v) for v in transfer(self.kind, self.width, np.array(FREQUENCIES)))


@dataclass(frozen=True)
class SliceProfile:
    """The profiles along the three axes of a volume.

    Attributes:
        axes: Profiles along i, j, k, in the order of `VolumeGeometry.size`; None where it is unknown.
    """

    axes: tuple[AxisProfile | None, AxisProfile | None, AxisProfile | None] = (None, None, None)

    def covers(self, scale: Sequence[float]) -> bool:
        """Tell whether the profile of every axis with a scale above 1 is known; ``scale`` is along i, j, k."""
        return all(s <= 1 or axis is not None for s, axis in zip(scale, self.axes, strict=True))

    def completed_by(self, other: SliceProfile) -> SliceProfile:
        """Return the profile with those of another where this one knows nothing."""
        i, j, k = (axis or known for axis, known in zip(self.axes, other.axes, strict=True))
        return SliceProfile((i, j, k))

    def as_table(self) -> list[dict[str, Any] | None]:
        """Return the profiles along i, j, k as JSON can hold them."""
        return [None if axis is None else asdict(axis) for axis in self.axes]

    @classmethod
    def from_table(cls, table: object) -> SliceProfile:
        """Return the profiles of `as_table`.

        Raises:
            InputError: If it is no such table.
        """
        try:
            i, j, k = (None if axis is None else AxisProfile(**axis) for axis in table)  # type: ignore[attr-defined]
        except (TypeError, ValueError) as error:
            msg = f"expected slice profiles along i, j, k, each null or with kind, width and source, got {table!r:.80}."
            raise InputError(msg) from error
        return cls((i, j, k))


UNKNOWN = SliceProfile()


def told_of(profile: SliceProfile) -> list[list[float]]:
    """Return what a network is told of a profile: for k, j, i the kept contrast at `FREQUENCIES`, and the certainty."""
    nothing = [0.0] * len(FREQUENCIES) + [NOTHING]
    return [nothing if axis is None else [*axis.transfer(), axis.certainty] for axis in reversed(profile.axes)]


def transfer(kind: Kind, width: float, frequency: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the modulation transfer function of a profile, unitless, shape of ``frequency``.

    Args:
        kind: One of `KINDS`.
        width: Full width at half maximum in voxels.
        frequency: In cycles per voxel.
    """
    if kind == "gaussian":
        return np.asarray(np.exp(-2 * (math.pi * FWHM_TO_SIGMA * width * frequency) ** 2))
    if kind == "box":
        return np.sinc(width * frequency)
    if kind == "kspace":
        return np.asarray(1 / (1 + np.exp(-TRUNCATION_STEEPNESS * (0.5 - frequency * max(width, 1.0)))))
    return np.ones_like(frequency)
