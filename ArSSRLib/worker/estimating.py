"""The task "profile": what the voxels of a volume say about its slice profile; without a model, without PyTorch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ArSSRLib.acquisition.decision import Predictions, predicted_contrast
from ArSSRLib.acquisition.estimate import Prediction
from ArSSRLib.errors import DependencyError, InputError, reason_of, shown
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.volume import Volume
from ArSSRLib.worker.job import ProfileJob
from ArSSRLib.worker.packages import load_packages


def estimate_profile(job: ProfileJob) -> dict[str, Any]:
    """Return the predictions along i, j, k: each as a list of its fields, or None, which decides nothing.

    Raises:
        InputError: If the file cannot be read, or does not hold a volume of that size and type.
    """
    volume = _volume_of(job)
    found = predicted_contrast(volume) if job.model is None else _tried(volume, job.model)
    return {"predictions": [None if one is None else _as_list(one) for one in found]}


def _tried(volume: Volume, name: str) -> Predictions:
    """Return the predictions for which a model is tried, too; the CPU is sufficient for a part of a volume."""
    try:
        load_packages()
    except DependencyError:
        return predicted_contrast(volume)
    import torch  # noqa: PLC0415 - what needs PyTorch, once it is known to be there

    from ArSSRLib.checkpoint import load_model  # noqa: PLC0415
    from ArSSRLib.upsampling.blind import BlindEstimate  # noqa: PLC0415

    device = torch.device("cpu")
    return BlindEstimate(load_model(name, device=device), device)(volume, (True,) * 3)


def _as_list(one: Prediction) -> list[float | None] | None:
    """Return the fields of a prediction as JSON can hold them, or None if it decides nothing."""
    if math.isfinite(one.kept + one.error):
        return [*one]
    # With the largest possible error of a contrast, it contradicts nothing that is stated, as with an infinite one.
    decides = (one.smooth or one.cut_off or one.width is not None) and math.isfinite(one.kept)
    return [*one._replace(error=1.0)] if decides else None


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
