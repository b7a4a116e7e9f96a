"""Slice profiles stated by a header, a sidecar or a user: thickness, kind of acquisition, acquired matrix.

A wrong profile costs more than an unknown one, so contradictory or impossible statements leave an axis unknown. The log
says which statement was used.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path

from ArSSRLib.acquisition.profile import WIDEST, AxisProfile, Source
from ArSSRLib.errors import InputError
from ArSSRLib.options import parse_thickness

LOGGER = logging.getLogger(__name__)

# Relative tolerance for lengths and counts, because headers round them.
AGREE = 0.02
# Three-dimensional acquisitions have no gaps, but their thickness is rounded, too.
_NO_GAP = 0.95
# A matrix is interpolated by 2, rarely by more; above this ratio, the counts describe different fields of view.
_MOST_INTERPOLATED = 4.0


def along_slices(
    thickness: float | None, spacing: float, acquisition: str, *, source: Source, origin: Path | str
) -> AxisProfile | None:
    """Return the profile along the slice axis, or None if it is unknown.

    In a two-dimensional acquisition, an excitation selects the slice: a Gaussian whose full width at half maximum is
    the thickness, as in training. In a three-dimensional acquisition, the axis is encoded like the in-plane axes.

    Args:
        thickness: Slice thickness in mm; None if it is not stated.
        spacing: Slice distance, in mm.
        acquisition: "2D" or "3D"; other values mean unknown.
        source: Origin of the statement.
        origin: The file, for the log.
    """
    if thickness is None or acquisition not in ("2D", "3D"):
        LOGGER.info(
            "%s: does not state the slice thickness, or whether the acquisition is 2D or 3D; the slice profile is "
            "unknown.",
            origin,
        )
        return None
    width = thickness / spacing
    if not (math.isfinite(width) and 0 < width <= WIDEST):
        LOGGER.warning(
            "%s: states a slice thickness of %.6g mm at a slice spacing of %.6g mm, which is impossible; the slice "
            "profile is unknown.",
            origin,
            thickness,
            spacing,
        )
        return None
    if acquisition == "2D":
        return AxisProfile("gaussian", width, source)
    if width < _NO_GAP or width > _MOST_INTERPOLATED:
        LOGGER.warning(
            "%s: states a 3D acquisition, but a slice thickness of %.6g mm at a slice spacing of %.6g mm, which "
            "contradict each other; the positions are used, and the slice profile is unknown.",
            origin,
            thickness,
            spacing,
        )
        return None
    return AxisProfile("kspace", max(1.0, width), source)


def in_plane(acquired: int | None, stored: int, axis: str, *, source: Source, origin: Path | str) -> AxisProfile | None:
    """Return the profile along an encoded in-plane axis, or None if it is unknown.

    Args:
        acquired: Samples of k-space along the axis; None if it is not stated.
        stored: Voxels along the axis.
        axis: "i" or "j", for the log.
        source: Origin of the statement.
        origin: The file, for the log.
    """
    if not acquired:
        return None
    width = stored / acquired
    if not 1 - AGREE <= width <= _MOST_INTERPOLATED:
        LOGGER.warning(
            "%s: states %d acquired samples along %s but has %d voxels, which do not cover the same field of view; "
            "the voxels are used, and the profile along %s is unknown.",
            origin,
            acquired,
            axis,
            stored,
            axis,
        )
        return None
    return AxisProfile("kspace", max(1.0, width), source)


def axes_of_thickness(text: str, spacing: Sequence[float]) -> tuple[AxisProfile | None, ...]:
    """Return the profiles along i, j, k for a thickness stated by the user.

    Args:
        text: One thickness in mm, for every axis with the largest spacing; or three along i, j, k, joined by "x" or
            commas.
        spacing: Spacing along i, j, k, in mm.

    Raises:
        InputError: If there are not one or three numbers, or a thickness is impossible.
    """
    values = parse_thickness(text)
    thickest = [math.isclose(s, max(spacing), rel_tol=AGREE) for s in spacing]
    stated = values if len(values) == 3 else tuple(values[0] if thick else None for thick in thickest)
    for axis, value, distance in zip("ijk", stated, spacing, strict=True):
        if value is not None and value > WIDEST * distance:
            msg = (
                f"A slice thickness of {value:g} mm along {axis} is more than {WIDEST:g} times the slice spacing of "
                f"{distance:g} mm, which is impossible; specify the thickness in mm, as stated by the scanner."
            )
            raise InputError(msg)
    return tuple(
        None if value is None else AxisProfile("gaussian", value / distance)
        for value, distance in zip(stated, spacing, strict=True)
    )
