"""The slice profile of a volume: the only place that decides between user, file, estimate, and none."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from ArSSRLib.acquisition.estimate import Prediction, predicted_axes, profile_of
from ArSSRLib.acquisition.profile import UNKNOWN, AxisProfile, SliceProfile
from ArSSRLib.acquisition.stated import axes_of_thickness, stated_profile
from ArSSRLib.complex_parts import looks_like_wrapped_phase
from ArSSRLib.errors import InputError
from ArSSRLib.normalization import replace_non_finite
from ArSSRLib.options import AS_FILED, UNKNOWN_THICKNESS, UpsamplingOptions
from ArSSRLib.padding import find_padding, without_padding
from ArSSRLib.volume import Volume

logger = logging.getLogger(__name__)

Predictions = tuple[Prediction | None, ...]
# Predicts the contrast along i, j, k of a volume; None where it cannot.
Estimate = Callable[[Volume], Predictions]


def predicted_contrast(volume: Volume) -> Predictions:
    """Return the predictions along i, j, k, but none for parts of complex images."""
    try:
        array, _ = replace_non_finite(volume.array)
    except InputError:  # no voxel is a finite number
        return (None,) * 3
    if volume.header.component or looks_like_wrapped_phase(array):
        return (None,) * 3
    array = without_padding(array, find_padding(array, volume.header.padding))
    return predicted_axes(array, volume.geometry.spacing[::-1])[::-1]


class EstimatedOnce:
    """An estimate from the first volume on each grid, reused for later ones, because frames were acquired alike.

    Different profiles would make frames flicker.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[tuple[int, ...], tuple[float, ...]], Predictions] = {}

    def __call__(self, volume: Volume) -> Predictions:
        """Return the estimate for the first volume on the grid of a volume."""
        grid = volume.geometry.size, volume.geometry.spacing
        if grid not in self._known:
            self._known[grid] = predicted_contrast(volume)
        return self._known[grid]


def decided_profile(
    volume: Volume,
    options: UpsamplingOptions,
    scale: Sequence[float] | None = None,
    *,
    estimate: Estimate = predicted_contrast,
) -> SliceProfile:
    """Return the slice profiles of a volume: stated by the user, stated by the file, or estimated, axis by axis.

    A stated thickness that the volume contradicts is ignored, with a warning, unless the user wants the file to count.
    For axes that do not become finer by ``scale``, along i, j, k, a stated thickness is ignored and nothing is
    estimated; without a scale, all axes count.

    Raises:
        InputError: If the stated thickness is impossible.
    """
    if options.slice_thickness == UNKNOWN_THICKNESS:
        return UNKNOWN
    finer = (True, True, True) if scale is None else tuple(s > 1 for s in scale)
    known = _with_statement(volume, options, finer)
    if options.slice_thickness == AS_FILED or not any(finer):
        return known
    spacing, found = volume.geometry.spacing, estimate(volume)
    known = _without_contradictions(known, found, finer, spacing)
    wanted = [axis is None and s for axis, s in zip(known.axes, finer, strict=True)]
    i, j, k = (profile_of(*guess) if w and guess else None for guess, w in zip(found, wanted, strict=True))
    estimated = SliceProfile((i, j, k))
    if estimated != UNKNOWN:
        words = described(estimated, spacing, only_known=True)
        logger.info("The slice profile is estimated from the volume: %s.", words)
    return known.completed_by(estimated)


def _without_contradictions(
    known: SliceProfile, found: Predictions, finer: Sequence[bool], spacing: tuple[float, ...]
) -> SliceProfile:
    """Return the profiles without those that the volume contradicts along axes that become finer, with a warning."""
    i, j, k = (
        axis if wanted and axis and guess and guess.contradicts(axis) else None
        for axis, guess, wanted in zip(known.axes, found, finer, strict=True)
    )
    refuted = SliceProfile((i, j, k))
    if refuted == UNKNOWN:
        return known
    words = described(refuted, spacing, only_known=True)
    logger.warning("The slice thickness is ignored, because it does not match the detail in the volume: %s.", words)
    i, j, k = (None if wrong else axis for axis, wrong in zip(known.axes, refuted.axes, strict=True))
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
