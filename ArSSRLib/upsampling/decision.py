"""How a volume was acquired: the one place that decides between what is stated, what a file says, and nothing."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ArSSRLib.acquisition.profile import AxisProfile, SliceProfile
from ArSSRLib.acquisition.stated import axes_of_thickness
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.volume import Volume

logger = logging.getLogger(__name__)


def decided_profile(volume: Volume, options: UpsamplingOptions, scale: Sequence[float] | None = None) -> SliceProfile:
    """Return the slice profiles of a volume: what the user states wins over what its file states, axis by axis.

    Args:
        volume: Its header holds what the file states.
        options: What the user states.
        scale: Factors along i, j, k; a stated thickness of an axis that is not made finer is ignored. None: all count.

    Raises:
        InputError: If the thickness that the user states is impossible.
    """
    filed = volume.header.profile.axes
    if options.slice_thickness is None:
        return volume.header.profile
    stated = axes_of_thickness(options.slice_thickness, volume.geometry.spacing)
    if scale is not None:
        idle = [n for n, axis, s in zip("ijk", stated, scale, strict=True) if axis is not None and s <= 1]
        if idle:
            logger.warning(
                "The slice thickness along %s is ignored, because that axis is not made finer.", ", ".join(idle)
            )
        stated = tuple(None if s <= 1 else axis for axis, s in zip(stated, scale, strict=True))
    for name, ours, theirs in zip("ijk", stated, filed, strict=True):
        if ours is not None and theirs is not None and ours.width != theirs.width:
            logger.info("Along %s the stated thickness is used, not that of the %s.", name, theirs.source)
    i, j, k = (theirs if ours is None else ours for ours, theirs in zip(stated, filed, strict=True))
    return SliceProfile((i, j, k))


def describe(axis: AxisProfile | None, spacing: float) -> str:
    """Return a profile in words, as "Gaussian of 3 mm (DICOM)"; ``spacing`` is in mm."""
    if axis is None:
        return "unknown"
    words = {"gaussian": "Gaussian of", "box": "box of", "kspace": "k-space of voxels of", "point": "points"}
    length = "" if axis.kind == "point" else f" {axis.width * spacing:.4g} mm"
    return f"{words[axis.kind]}{length} ({axis.source})"


def described(profile: SliceProfile, spacing: tuple[float, ...]) -> str:
    """Return the profiles along i, j, k in words; ``spacing`` is along i, j, k, in mm."""
    return "; ".join(f"{n}: {describe(axis, s)}" for n, axis, s in zip("ijk", profile.axes, spacing, strict=True))
