"""The task "profile": what the voxels of a volume say about its slice profile; PyTorch is not needed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ArSSRLib.acquisition.decision import predicted_contrast
from ArSSRLib.errors import InputError, reason_of, shown
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.volume import Volume
from ArSSRLib.worker.job import ProfileJob


def estimate_profile(job: ProfileJob) -> dict[str, Any]:
    """Return the predictions along i, j, k: each the contrast and its expected error, or None, which decides nothing.

    Raises:
        InputError: If the file cannot be read, or does not hold a volume of that size and type.
    """
    found = predicted_contrast(_volume_of(job))
    pairs = (None if one is None or not math.isfinite(one.kept + one.error) else [*one] for one in found)
    return {"predictions": list(pairs)}


def _volume_of(job: ProfileJob) -> Volume:
    geometry = VolumeGeometry(job.size, job.spacing)
    try:
        dtype = np.dtype(job.dtype)
        if dtype.kind not in "iuf":
            raise TypeError
    except TypeError as error:
        msg = f"The job's dtype = {shown(job.dtype)} must be a type of real numbers, such as int16."
        raise InputError(msg) from error
    try:
        array = np.fromfile(job.input, dtype)
    except OSError as error:
        msg = f"{job.input}: cannot be read ({reason_of(error)}); check the path of the input."
        raise InputError(msg) from error
    if array.size != math.prod(job.size):
        msg = f"{job.input}: has {array.size} voxels instead of {math.prod(job.size)}; write it again."
        raise InputError(msg)
    return Volume(array.reshape(geometry.shape), geometry)
