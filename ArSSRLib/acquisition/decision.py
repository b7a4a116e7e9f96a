"""The slice profile of a volume: the only place that decides between user, file, estimate, and none.

The worker and the panel share this code, so nothing here needs PyTorch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from ArSSRLib.acquisition.estimate import Prediction, predicted_axes, profile_of
from ArSSRLib.acquisition.profile import UNKNOWN, AxisProfile, SliceProfile
from ArSSRLib.acquisition.stated import axes_of_thickness
from ArSSRLib.complex_parts import looks_like_wrapped_phase
from ArSSRLib.errors import InputError
from ArSSRLib.normalization import replace_non_finite
from ArSSRLib.options import AS_FILED, POINT_SAMPLES, UNKNOWN_THICKNESS, UpsamplingOptions
from ArSSRLib.padding import find_padding, without_padding

if TYPE_CHECKING:  # a volume knows its profile, so its file imports this room
    from ArSSRLib.volume import Volume

logger = logging.getLogger(__name__)

Predictions = tuple[Prediction | None, ...]
# Predicts the contrast along i, j, k of a volume; None where that is impossible. The second argument states for each
# axis whether its profile is unknown, so that an estimated width would be used.
Estimate: TypeAlias = "Callable[[Volume, Sequence[bool]], Predictions]"


def predicted_contrast(volume: Volume, unknown: Sequence[bool] = ()) -> Predictions:
    """Return the predictions along i, j, k from the spectra alone, but none for parts of complex images."""
    try:
        array, _ = replace_non_finite(volume.array)
    except InputError:  # no voxel is a finite number
        return (None,) * 3
    if volume.header.component or looks_like_wrapped_phase(array):
        return (None,) * 3
    array = without_padding(array, find_padding(array, volume.header.padding))
    return predicted_axes(array, volume.geometry.spacing[::-1])[::-1]


class EstimatedOnce:
    """An estimate from the first volume on each grid, reused for later volumes on that grid.

    The frames of a sequence were acquired in the same way; different profiles would make them flicker.

    Args:
        estimate: The estimate.
    """

    def __init__(self, estimate: Estimate) -> None:
        self._estimate = estimate
        self._known: dict[tuple[tuple[int, ...], tuple[float, ...]], Predictions] = {}

    def __call__(self, volume: Volume, unknown: Sequence[bool]) -> Predictions:
        """Return the estimate for the first volume on the grid of a volume."""
        grid = volume.geometry.size, volume.geometry.spacing
        if grid not in self._known:
            self._known[grid] = self._estimate(volume, unknown)
        return self._known[grid]


@dataclass(frozen=True)
class Decision:
    """The slice profiles of a volume, and which statements about them do not count.

    Attributes:
        profile: The profiles that count: stated by the user, stated by the file, or estimated, axis by axis.
        refuted: Statements that the volume contradicts.
        idle: Names of the axes, "i", "j", "k", whose resolution does not change although the user states a thickness.
        overruled: Statements of the file that differ from those of the user.
    """

    profile: SliceProfile = UNKNOWN
    refuted: SliceProfile = UNKNOWN
    idle: tuple[str, ...] = ()
    overruled: SliceProfile = UNKNOWN

    def log(self, spacing: tuple[float, ...]) -> None:
        """Report in the log what a user may not expect; ``spacing`` is along i, j, k, in mm."""
        if self.idle:
            logger.warning(
                "The slice thickness along %s is ignored, because the resolution does not change there.",
                ", ".join(self.idle),
            )
        for name, axis in zip("ijk", self.overruled.axes, strict=True):
            if axis is not None:
                logger.info("Along %s, the stated thickness is used, not that of the %s.", name, axis.source)
        if self.refuted != UNKNOWN:
            words = described(self.refuted, spacing, only_known=True)
            logger.warning(
                "The slice thickness is ignored, because it does not match the detail in the volume: %s.", words
            )
        sources = [None if axis is None else axis.source for axis in self.profile.axes]
        estimated = _selected(self.profile, [source == "estimated" for source in sources])
        if estimated != UNKNOWN:
            words = described(estimated, spacing, only_known=True)
            logger.info("The slice profile is estimated from the volume: %s.", words)


def decided_profile(
    volume: Volume,
    options: UpsamplingOptions,
    scale: Sequence[float] | None = None,
    *,
    estimate: Estimate = predicted_contrast,
) -> SliceProfile:
    """Return the slice profiles that `decide` finds, and report in the log which statements do not count.

    Raises:
        InputError: If the stated thickness is impossible.
    """
    decision = decide(volume, options, scale, estimate=estimate)
    decision.log(volume.geometry.spacing)
    return decision.profile


def decide(
    volume: Volume,
    options: UpsamplingOptions,
    scale: Sequence[float] | None = None,
    *,
    estimate: Estimate = predicted_contrast,
) -> Decision:
    """Return the slice profiles of a volume: stated by the user, stated by the file, or estimated, axis by axis.

    A stated thickness that the volume contradicts does not count, unless the user wants the file to count. Stated
    point samples are not checked, because a smooth volume looks like one with thick slices. For axes that do not become
    finer by ``scale``, along i, j, k, a stated thickness does not count and nothing is estimated;
    without a scale, all axes count. ``estimate`` is only called if it can change the decision.

    Raises:
        InputError: If the stated thickness is impossible.
    """
    text = options.slice_thickness
    if text == UNKNOWN_THICKNESS:
        return Decision()
    finer = (True, True, True) if scale is None else tuple(s > 1 for s in scale)
    filed, spacing = volume.header.profile, volume.geometry.spacing
    known, idle, overruled = _stated(filed, text, spacing, finer)
    # The truncated k-space of a 3D acquisition is neither estimated nor questioned.
    open_axes = [s and (axis is None or axis.kind != "kspace") for axis, s in zip(known.axes, finer, strict=True)]
    if text in {POINT_SAMPLES, AS_FILED} or not any(open_axes):
        return Decision(known, idle=idle, overruled=overruled)
    found = estimate(volume, [axis is None and s for axis, s in zip(known.axes, finer, strict=True)])
    refuted = _refuted(known, found, finer)
    known = _selected(known, [axis is None for axis in refuted.axes])
    i, j, k = (profile_of(guess) if guess and s else None for guess, s in zip(found, finer, strict=True))
    return Decision(known.completed_by(SliceProfile((i, j, k))), refuted, idle, overruled)


def _stated(
    filed: SliceProfile, text: str | None, spacing: Sequence[float], finer: Sequence[bool]
) -> tuple[SliceProfile, tuple[str, ...], SliceProfile]:
    """Return the profiles stated by the user, or else by the file, and what is idle and overruled in `Decision`."""
    if text is None or text == AS_FILED:
        return filed, (), UNKNOWN
    if text == POINT_SAMPLES:
        i, j, k = (AxisProfile("point") if wanted else None for wanted in finer)
        return SliceProfile((i, j, k)), (), UNKNOWN
    stated = axes_of_thickness(text, spacing)
    i, j, k = (axis if wanted else None for axis, wanted in zip(stated, finer, strict=True))
    known = SliceProfile((i, j, k)).completed_by(filed)
    idle = tuple(n for n, axis, wanted in zip("ijk", stated, finer, strict=True) if axis is not None and not wanted)
    pairs = zip(known.axes, filed.axes, strict=True)
    overruled = _selected(filed, [bool(used and theirs and used.width != theirs.width) for used, theirs in pairs])
    return known, idle, overruled


def _refuted(stated: SliceProfile, found: Predictions, finer: Sequence[bool]) -> SliceProfile:
    """Return the stated profiles that the predictions for the volume contradict, along axes that become finer."""
    axes = zip(stated.axes, found, finer, strict=True)
    return _selected(stated, [bool(s and axis and guess and guess.contradicts(axis)) for axis, guess, s in axes])


def _selected(profile: SliceProfile, chosen: Sequence[bool]) -> SliceProfile:
    """Return the profiles of some axes."""
    i, j, k = (axis if wanted else None for axis, wanted in zip(profile.axes, chosen, strict=True))
    return SliceProfile((i, j, k))


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
