"""Preparation of the voxels of a volume for a network."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from ArSSRLib.acquisition.profile import SliceProfile
from ArSSRLib.acquisition.slice_gains import SliceGains, estimate_slice_gains, slice_axis
from ArSSRLib.complex_parts import looks_like_wrapped_phase, warning_about
from ArSSRLib.normalization import IntensityRange, replace_non_finite
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.padding import Padding, find_padding, without_padding
from ArSSRLib.volume import Volume

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """A volume prepared for a network.

    Attributes:
        array: Finite intensities without padding, shape (k, j, i), in scanner units.
        padding: The padding, which is restored in the result.
        gains: The removed brightness differences between slices; None if nothing was removed.
    """

    array: npt.NDArray[Any]
    padding: Padding | None
    gains: SliceGains | None


def prepare(volume: Volume, profile: SliceProfile, options: UpsamplingOptions) -> Prepared:
    """Return a volume with even slices, unless the options disable that, and without invalid voxels; log the changes.

    Raises:
        InputError: If no voxel is a finite number.
    """
    array, replaced = replace_non_finite(volume.array)
    if replaced:
        text = (
            "%d of the %d voxels are not finite numbers; NaN and -infinity were replaced by %.6g, and infinity by %.6g."
        )
        logger.warning(text, replaced, array.size, array.min(), array.max())
    component = volume.header.component or ("phase" if looks_like_wrapped_phase(array) else "")
    if component:
        logger.warning("%s", warning_about(component))
    padding = find_padding(array, volume.header.padding)
    array = without_padding(array, padding)
    axis, gains = slice_axis(volume.geometry.spacing, profile), None
    # Parts of a complex image have no brightness that a gain could change.
    if axis is not None and not component and options.even_slices == "auto":
        intensities = IntensityRange.of(array)
        gains = estimate_slice_gains(array, axis, intensities, ignored=None if padding is None else padding.mask)
        if gains is not None:
            logger.info("The slices differ in brightness, which is corrected: %s.", gains.described())
            array = gains.removed_from(array, intensities.floor)
    return Prepared(array, padding, gains)
