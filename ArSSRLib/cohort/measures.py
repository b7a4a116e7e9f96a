"""Measures of every result, so that readers of the report find failures."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ArSSRLib.acquisition.ripple import slice_ripple
from ArSSRLib.volume import Volume

# A larger shift of the field of view, in mm, is a defect; NIfTI stores the geometry in single precision.
GEOMETRY_TOLERANCE = 1e-3


def measures_of(before: Volume, after: Volume) -> dict[str, Any]:
    """Return the measures of a result beside its scan as values for JSON; None if a measure is undefined."""
    shift = float(np.abs(before.geometry.corners() - after.geometry.corners()).max())
    factors = np.divide(after.geometry.size, before.geometry.size)
    axis = int(np.argmax(factors))
    ripple = slice_ripple(after.array, 2 - axis, float(factors[axis]))
    return {
        "spacing_before": [float(v) for v in before.geometry.spacing],
        "spacing_after": [float(v) for v in after.geometry.spacing],
        "range_before": _range(before.array),
        "range_after": _range(after.array),
        "shift_mm": shift,
        "geometry_kept": shift <= GEOMETRY_TOLERANCE,
        "ripple": ripple if math.isfinite(ripple) else None,
    }


def _range(array: npt.NDArray[Any]) -> list[float]:
    finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array
    return [float(finite.min()), float(finite.max())] if finite.size else [0.0, 0.0]
