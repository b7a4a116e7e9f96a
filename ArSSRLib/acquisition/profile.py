"""SliceProfile: the sensitivity of a voxel along each axis, if it is known.

A profile has a kind and a width. The width is the full width at half maximum as a fraction of the distance between
neighboring voxels, so it is unitless; multiplied by that distance, it is the slice thickness. Below 1, there are gaps.
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
# Frequencies in cycles per coarse voxel at which a network receives the preserved contrast; 0.5 is Nyquist.
FREQUENCIES = (0.25, 0.5, 0.75, 1.0)
# Thickness in spacings above which a value is a typing error or an incorrect header.
WIDEST = 16.0
# Steepness of k-space truncation at its cut-off, in units of the relative frequency.
TRUNCATION_STEEPNESS = 16.0
# Certainty of a profile as a network receives it: stated, estimated or unknown.
STATED, ESTIMATED, NOTHING = 1.0, 0.5, 0.0


@dataclass(frozen=True)
class AxisProfile:
    """Sensitivity along one axis.

    Attributes:
        kind: "point" samples without averaging; "gaussian"; "box"; "kspace" is the truncated k-space of the phase and
            frequency directions.
        width: Full width at half maximum as a fraction of the voxel distance; for "kspace", the acquired voxel size
            divided by the stored one. Ignored for "point".
        source: Origin of the profile.

    Raises:
        InputError: If the kind is unknown, or the width is not a number above 0 and at most 16.
    """

    kind: Kind = "point"
    width: float = 1.0
    source: Source = "stated"

    def __post_init__(self) -> None:
        """Refuse impossible profiles."""
        if self.kind not in KINDS:
            msg = f'The slice profile "{self.kind}" is unknown; choose one of {", ".join(KINDS)}.'
            raise InputError(msg)
        if not 0 < self.width <= WIDEST:
            msg = (
                f"A slice thickness of {self.width:g} times the slice spacing is impossible; expected more than 0 and "
                f"at most {WIDEST:g}."
            )
            raise InputError(msg)

    def followed(self) -> AxisProfile:
        """Return the profile that networks and the agreement with the scan follow: a narrow one instead of k-space."""
        return NARROW if self.kind == "kspace" else self

    @property
    def certainty(self) -> float:
        """Certainty of the source as a network receives it: 1 for a fact, 0.5 for an estimate."""
        return ESTIMATED if self.source == "estimated" else STATED

    def transfer(self) -> tuple[float, ...]:
        """Return the contrast that the profile preserves at each of `FREQUENCIES`; 1 is all of it."""
        return tuple(float(v) for v in transfer(self.kind, self.width, np.array(FREQUENCIES)))


# Followed for k-space. Truncation preserves nearly everything up to a cut-off that the filters of scanners shift and
# soften. A network that is told the truncation of its training amplifies what was never lost: the result is up to 2 dB
# worse than cubic interpolation. A narrow Gaussian gains with all filters; see docs/field.md.
NARROW = AxisProfile("gaussian", 0.5, "estimated")


@dataclass(frozen=True)
class SliceProfile:
    """The profiles along i, j, k, in the order of `VolumeGeometry.size`; None for an unknown profile."""

    axes: tuple[AxisProfile | None, AxisProfile | None, AxisProfile | None] = (None, None, None)

    def covers(self, scale: Sequence[float]) -> bool:
        """Return whether the profile of every axis with a scale above 1 is known; ``scale`` is along i, j, k."""
        return all(s <= 1 or axis is not None for s, axis in zip(scale, self.axes, strict=True))

    def followed(self) -> SliceProfile:
        """Return `AxisProfile.followed` of each axis."""
        i, j, k = (None if axis is None else axis.followed() for axis in self.axes)
        return SliceProfile((i, j, k))

    def completed_by(self, other: SliceProfile) -> SliceProfile:
        """Return the profile, with unknown axes taken from another."""
        i, j, k = (axis or known for axis, known in zip(self.axes, other.axes, strict=True))
        return SliceProfile((i, j, k))

    def as_table(self) -> list[dict[str, Any] | None]:
        """Return the profiles along i, j, k as values for JSON."""
        return [None if axis is None else asdict(axis) for axis in self.axes]

    @classmethod
    def from_table(cls, table: object) -> SliceProfile:
        """Return the profile of a table by `as_table`.

        Raises:
            InputError: If the table is malformed.
        """
        try:
            i, j, k = (None if axis is None else AxisProfile(**axis) for axis in table)  # type: ignore[attr-defined]
        except (TypeError, ValueError) as error:
            msg = (
                "The slice profiles must be three entries for i, j, k, each null or with kind, width and source; got "
                f"{table!s:.80}."
            )
            raise InputError(msg) from error
        return cls((i, j, k))


UNKNOWN = SliceProfile()


def told_of(profile: SliceProfile) -> list[list[float]]:
    """Return a profile as input of a network: for k, j, i, the contrast at `FREQUENCIES`, and the certainty."""
    nothing = [0.0] * len(FREQUENCIES) + [NOTHING]
    axes = reversed(profile.followed().axes)
    return [nothing if axis is None else [*axis.transfer(), axis.certainty] for axis in axes]


def transfer(kind: Kind, width: float, frequency: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the modulation transfer function of a profile, unitless; ``frequency`` is in cycles per voxel."""
    if kind == "gaussian":
        return np.asarray(np.exp(-2 * (math.pi * FWHM_TO_SIGMA * width * frequency) ** 2))
    if kind == "box":
        return np.sinc(width * frequency)
    if kind == "kspace":
        return np.asarray(1 / (1 + np.exp(-TRUNCATION_STEEPNESS * (0.5 - frequency * max(width, 1.0)))))
    return np.ones_like(frequency)
