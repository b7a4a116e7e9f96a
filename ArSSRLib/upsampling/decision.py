"""The slice profile of a volume: the only place that decides between user, file, estimate, and none."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from ArSSRLib.acquisition.estimate import estimated_axes
from ArSSRLib.acquisition.profile import UNKNOWN, AxisProfile, SliceProfile
from ArSSRLib.acquisition.stated import axes_of_thickness, stated_profile
from ArSSRLib.complex_parts import looks_like_wrapped_phase
from ArSSRLib.errors import InputError
from ArSSRLib.normalization import replace_non_finite
from ArSSRLib.options import AS_FILED, UNKNOWN_THICKNESS, UpsamplingOptions
from ArSSRLib.padding import find_padding, without_padding
from ArSSRLib.volume import Volume

logger = logging.getLogger(__name__)

# Returns the profiles of a volume that can be estimated with confidence.
Estimate = Callable[[Volume], SliceProfile]


def estimated_profile(volume: Volume) -> SliceProfile:
    """Return the profiles that can be estimated with confidence, but none for parts of complex images."""
    try:
        array, _ = replace_non_finite(volume.array)
    except InputError:  # no voxel is a finite number
        return UNKNOWN
    if volume.header.component or looks_like_wrapped_phase(array):
        return UNKNOWN
    array = without_padding(array, find_padding(array, volume.header.padding))
    k, j, i = estimated_axes(array, volume.geometry.spacing[::-1])
    return SliceProfile((i, j, k))


class EstimatedOnce:
    """An estimate from the first volume on each grid, reused for later ones, because frames were acquired alike.

    Different profiles would make frames flicker.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[tuple[int, ...], tuple[float, ...]], SliceProfile] = {}

    def __call__(self, volume: Volume) -> SliceProfile:
        """Return the estimate for the first volume on the grid of a volume."""
        grid = volume.geometry.size, volume.geometry.spacing
        if grid not in self._known:
            self._known[grid] = estimated_profile(volume)
        return self._known[grid]


def decided_profile(
    volume: Volume,
    options: UpsamplingOptions,
    scale: Sequence[float] | None = None,
    *,
    estimate: Estimate = estimated_profile,
) -> SliceProfile:
    """Return the slice profiles of a volume: stated by the user, stated by the file, or estimated, axis by axis.

    For axes that do not become finer by ``scale``, along i, j, k, a stated thickness is ignored and nothing is
    estimated; without a scale, all axes count.

    Raises:
        InputError: If the stated thickness is impossible.
    """
    if options.slice_thickness == UNKNOWN_THICKNESS:
        return UNKNOWN
    finer = (True, True, True) if scale is None else tuple(s > 1 for s in scale)
    known = _with_statement(volume, options, finer)
    if options.slice_thickness == AS_FILED or all(a or not f for a, f in zip(known.axes, finer, strict=True)):
        return known
    wanted = [axis is None and s for axis, s in zip(known.axes, finer, strict=True)]
    i, j, k = (guess if w else None for guess, w in zip(estimate(volume).axes, wanted, strict=True))
    estimated = SliceProfile((i, j, k))
    if estimated != UNKNOWN:
        words = described(estimated, volume.geometry.spacing, only_known=True)
        logger.info("The slice profile is estimated from the volume: %s.", words)
    i, j, k = (guess or axis for guess, axis in zip(estimated.axes, known.axes, strict=True))
    return SliceProfile((i, j, k))


def _with_statement(volume: Volume, options: UpsamplingOptions, finer: Sequence[bool]) -> SliceProfile:
    """Return the statement of the file, replaced along the axes for which the user states a thickness."""
    filed, text, spacing = volume.header.profile, options.slice_thickness, volume.geometry.spacing
    known = stated_profile(filed, text, spacing, finer)
    if text is None or text == AS_FILED:
        return known
    stated = axes_of_thickness(text, spacing)
    idle = [n for n, axis, wanted in zip("ijk", stated, finer, strict=True) if axis is not None and not wanted]
    if idle:
        logger.warning(
            "The slice thickness along %s is ignored, because the resolution along this axis does not change.",
            ", ".join(idle),
        )
    for name, used, theirs in zip("ijk", known.axes, filed.axes, strict=True):
        if used is not None and theirs is not None and used.width != theirs.width:
            logger.info("Along %s the stated thickness is used, not that of the %s.", name, theirs.source)
    return known


def describe(axis: AxisProfile | None, spacing: float) -> str:
    """Return a profile as text, such as "Gaussian of 3 mm (DICOM)"; ``spacing`` is in mm."""
    if axis is None:
        return "unknown"
    words = {"gaussian": "Gaussian of", "box": "box of", "kspace": "k-space of voxels of", "point": "points"}
    length = "" if axis.kind == "point" else f" {axis.width * spacing:.4g} mm"
    return f"{words[axis.kind]}{length} ({axis.source})"


def described(profile: SliceProfile, spacing: tuple[float, ...], *, only_known: bool = False) -> str:
    """Return the profiles along i, j, k as text, or only the known ones; ``spacing`` is along i, j, k, in mm."""
    axes = zip("ijk", profile.axes, spacing, strict=True)
    return "; ".join(f"{n}: {describe(axis, s)}" for n, axis, s in axes if not only_known or axis is not None)
