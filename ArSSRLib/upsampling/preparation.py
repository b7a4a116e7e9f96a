"""What happens to the voxels of a volume before a network sees them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from ArSSRLib.complex_parts import looks_like_wrapped_phase, warning_about
from ArSSRLib.normalization import replace_non_finite
from ArSSRLib.padding import Padding, find_padding, without_padding
from ArSSRLib.volume import Volume

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """A volume as a network may see it.

    Attributes:
        array: Finite intensities without padding, shape (k, j, i), in scanner units.
        padding: Where the padding was; it comes back into the result.
    """

    array: npt.NDArray[Any]
    padding: Padding | None


def prepare(volume: Volume) -> Prepared:
    """Return a volume without what is no measurement, and say in the log what was replaced.

    Raises:
        InputError: If no voxel is a finite number.
    """
    array, replaced = replace_non_finite(volume.array)
    if replaced:
        text = "%d voxels are not finite numbers, of %d; NaN and -infinity became %.6g, and infinity %.6g."
        logger.warning(text, replaced, array.size, array.min(), array.max())
    component = volume.header.component or ("phase" if looks_like_wrapped_phase(array) else "")
    if component:
        logger.warning("%s", warning_about(component))
    padding = find_padding(array, volume.header.padding)
    return Prepared(without_padding(array, padding), padding)
