"""How each method answers: from a coarse volume to a fine one on the grid of the truth."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ArSSRLib.checkpoint import find_entry, load_model, sha256_of
from ArSSRLib.errors import ArSSRError, CheckpointError, InputError
from ArSSRLib.evaluation.cases import Case
from ArSSRLib.evaluation.degradation import Array
from ArSSRLib.evaluation.ground_truth import GRID_TOLERANCE
from ArSSRLib.evaluation.protocol import Method, Scale
from ArSSRLib.geometry import VolumeGeometry, scale_label
from ArSSRLib.io import read_volume
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.upsampling import upsample

if TYPE_CHECKING:
    from ArSSRLib.model.interface import SuperResolutionModel


class MissingMethod(ArSSRError):  # noqa: N818 - a state of this machine, not a mistake
    """Weights or results that are not there; the message says how to make them."""


def identity_of(method: Method, case: Case) -> str:
    """Return what decides the answers of a method: the SHA-256 of its weights or of its file; "" for a formula.

    Raises:
        MissingMethod: If they are not there.
    """
    if method.kind == "model":
        return weights_hash(method, case.scale)
    if method.kind == "folder":
        path = result_file(method, case)
        if not path.is_file():
            msg = f"{method.name}: there is no {path}. {_how(method, case.scale)}".strip()
            raise MissingMethod(msg)
        return sha256_of(path)
    return ""


def weights_of(method: Method, scale: Scale) -> str:
    """Return the model of a method for a scale: a name or a file."""
    return method.model.format(scale=scale_label(scale))


def weights_hash(method: Method, scale: Scale) -> str:
    """Return the SHA-256 of the weights of a method.

    Raises:
        MissingMethod: If they are not there.
    """
    name = weights_of(method, scale)
    try:
        entry = find_entry(name)
    except CheckpointError as error:
        msg = f"{method.name}: {error} {_how(method, scale)}".strip()
        raise MissingMethod(msg) from error
    if entry is None and not Path(name).is_file():
        msg = f"{method.name}: there is no {name}. {_how(method, scale)}".strip()
        raise MissingMethod(msg)
    return entry.sha256 if entry else _file_hash(name, Path(name).stat().st_mtime_ns)


def has_weights(method: Method, scale: Scale) -> bool:
    """Return whether the weights of a method are there."""
    try:
        weights_hash(method, scale)
    except MissingMethod:
        return False
    return True


def why_missing(method: Method, scales: Sequence[Scale]) -> str:
    """Return a sentence on the scales, one or more, at which the weights of a method are not there."""
    if len(scales) > 1 and "{scale}" in method.model:
        labels = ", ".join(scale_label(scale) for scale in scales)
        return f"{method.name}: there is no {method.model} for the scales {labels}. {method.how}".strip()
    try:
        weights_hash(method, scales[0])
    except MissingMethod as error:
        return str(error)
    return ""


def _how(method: Method, scale: Scale) -> str:
    return method.how.format(scale=scale_label(scale))


def result_file(method: Method, case: Case) -> Path:
    """Return where the result of another program is expected."""
    return Path(method.files.format(subject=case.subject, scale=scale_label(case.scale), degradation=case.degradation))


def apply_method(method: Method, case: Case, *, device: str, precision: str) -> Array:
    """Return what a method makes of a case, float32, shape (k, j, i).

    Raises:
        ArSSRError: If it cannot.
    """
    coarse = case.coarse.array
    if method.kind == "cubic":
        return case.acquisition.interpolated(coarse)
    if method.kind == "back_projection":
        return case.acquisition.back_projected(coarse)
    if method.kind == "folder":
        return _read_result(result_file(method, case), case)
    model = _loaded(weights_of(method, case.scale), weights_hash(method, case.scale))
    options = UpsamplingOptions(device=device, precision=precision)
    return np.asarray(upsample(case.coarse, model, case.factors, options).array)


def _read_result(path: Path, case: Case) -> Array:
    volume = read_volume(path)
    if not volume.geometry.matches(case.fine, GRID_TOLERANCE):
        found, expected = volume.geometry, case.fine
        msg = (
            f"{path}: lies on a grid of {found.size} voxels of {_mm(found)} mm at {_place(found)}, the truth on "
            f"{expected.size} of {_mm(expected)} mm at {_place(expected)} LPS mm; results are never resampled, so have "
            "it made on the truth's grid."
        )
        raise InputError(msg)
    if not np.isfinite(volume.array).all():
        msg = f"{path}: holds voxels that are not a number or infinite; make it again."
        raise InputError(msg)
    return volume.array.astype(np.float32)


def _mm(geometry: VolumeGeometry) -> str:
    return " x ".join(f"{s:.4g}" for s in geometry.spacing)


def _place(geometry: VolumeGeometry) -> str:
    return f"({', '.join(f'{x:.2f}' for x in geometry.origin)})"


# By name and time of change: whoever replaces a file within one process gets the new one.
@functools.lru_cache(maxsize=64)
def _file_hash(name: str, _changed: int) -> str:
    return sha256_of(Path(name))


# As many as a table of the paper has; the methods of a case take turns.
@functools.lru_cache(maxsize=32)
def _loaded(name: str, _identity: str) -> SuperResolutionModel:
    return load_model(name)
