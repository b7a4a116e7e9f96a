"""The results of each method: from a coarse volume to a fine volume on the grid of the truth."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from ArSSRLib.acquisition.profile import KINDS, UNKNOWN, AxisProfile, SliceProfile
from ArSSRLib.checkpoint import find_entry, load_model, sha256_of
from ArSSRLib.errors import ArSSRError, CheckpointError, InputError
from ArSSRLib.evaluation.cases import Case
from ArSSRLib.evaluation.degradation import Array
from ArSSRLib.evaluation.ground_truth import GRID_TOLERANCE, placed
from ArSSRLib.evaluation.programs import ProgramMissing, grids_of, noted_seconds, processor_seconds, run_program
from ArSSRLib.evaluation.protocol import Scale
from ArSSRLib.evaluation.protocol_methods import TRUE, Method
from ArSSRLib.geometry import scale_label
from ArSSRLib.io import read_volume
from ArSSRLib.model.interface import SuperResolutionModel
from ArSSRLib.options import DEFAULT_OPTIONS
from ArSSRLib.upsampling import carry_out, plan_upsampling
from ArSSRLib.volume import FileHeader


class MissingMethod(ArSSRError):  # noqa: N818 - a state of this machine, not a mistake
    """Weights or results are missing; the message says how to create them."""


@dataclass(frozen=True)
class Answer:
    """The result of a method for a case.

    Attributes:
        array: Intensities, float32, shape (k, j, i).
        seconds: Processor time; NaN if unknown.
        uncertainty: Standard deviation, in the units and the shape of ``array``; None if the method provides none.
    """

    array: Array
    seconds: float
    uncertainty: Array | None = None


def identity_of(method: Method, case: Case) -> str:
    """Return what determines the results of a method: the SHA-256 of its weights or its file; "" for a formula.

    The result of a program is computed first if it is missing.

    Raises:
        MissingMethod: If the weights or the results are missing.
    """
    if method.kind == "model":
        return weights_hash(method, case.scale)
    if method.files:
        return sha256_of(_made_result(method, case))
    return ""


def choices_of(method: Method) -> dict[str, object]:
    """Return what else determines the results of a model: the stated profile, and options other than the default."""
    chosen, usual = asdict(method.options), asdict(DEFAULT_OPTIONS)
    options = {name: value for name, value in chosen.items() if value != usual[name]}
    return {**({"profile": method.profile} if method.profile else {}), **({"options": options} if options else {})}


def weights_of(method: Method, scale: Scale) -> str:
    """Return the model of a method for a scale: a name or a file."""
    return method.model.format(scale=scale_label(scale))


def weights_hash(method: Method, scale: Scale) -> str:
    """Return the SHA-256 of the weights of a method.

    Raises:
        MissingMethod: If they are missing.
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
    """Return whether the weights of a method exist."""
    return not why_missing(method, [scale])


def why_missing(method: Method, scales: Sequence[Scale]) -> str:
    """Return a sentence on the scales, one or more, at which the weights of a method are missing."""
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


def _made_result(method: Method, case: Case) -> Path:
    """Return the result of another program, which is run if it is available and its result is missing."""
    path = Path(method.files.format(subject=case.subject, scale=scale_label(case.scale), degradation=case.degradation))
    reason = ""
    if not path.is_file() and method.kind == "program":
        try:
            run_program(method.command, case, path)
        except ProgramMissing as error:
            reason = f", and {error}"
    if not path.is_file():
        msg = f"{method.name}: there is no {path}{reason}. {_how(method, case.scale)}".strip()
        raise MissingMethod(msg)
    return path


def apply_method(method: Method, case: Case, *, device: str, precision: str) -> Answer:
    """Return the result of a method for a case.

    Raises:
        ArSSRError: If the method fails.
    """
    if method.files:
        path = _made_result(method, case)
        return Answer(_read_result(path, method, case), noted_seconds(path))
    before = processor_seconds()
    coarse, uncertainty = case.coarse.array, None
    if method.kind == "cubic":
        array = case.acquisition.interpolated(coarse)
    elif method.kind == "back_projection":
        array = case.acquisition.back_projected(coarse)
    else:
        array, uncertainty = _upsampled(method, case, device=device, precision=precision)
    return Answer(array, processor_seconds() - before, uncertainty)


def _upsampled(method: Method, case: Case, *, device: str, precision: str) -> tuple[Array, Array | None]:
    """Return the result of a network for a case, and its uncertainty if requested."""
    model = _loaded(weights_of(method, case.scale), weights_hash(method, case.scale))
    volume = replace(case.coarse, header=FileHeader(profile=_told_profile(method, case)))
    options = replace(method.options, device=device, precision=precision)
    outcome = carry_out(plan_upsampling(volume, model, case.factors, options), volume, model)
    spread = outcome.uncertainty
    return np.asarray(outcome.volume.array), None if spread is None else np.asarray(spread.array)


def _told_profile(method: Method, case: Case) -> SliceProfile:
    """Return the slice profile for a model, as if the header of the volume stated it."""
    name = case.degradation if method.profile == TRUE else method.profile
    if not name:
        return UNKNOWN
    kind = next((kind for kind in KINDS if kind == name), None)
    if kind is None:
        msg = f'{method.name}: the degradation "{name}" has no slice profile; set the profile of the method to "".'
        raise InputError(msg)
    i, j, k = (AxisProfile(kind) if factor > 1 else None for factor in case.factors)
    return SliceProfile((i, j, k))


def _read_result(path: Path, method: Method, case: Case) -> Array:
    volume = read_volume(path)
    grid = grids_of(case)[1] if method.kind == "program" else case.fine
    if not volume.geometry.matches(grid, GRID_TOLERANCE):
        msg = (
            f"{path}: lies on a grid of {placed(volume.geometry)}, but the truth on {placed(grid)}; results are never "
            "resampled, so create it on the grid of the truth."
        )
        raise InputError(msg)
    if not np.isfinite(volume.array).all():
        msg = f"{path}: contains voxels that are NaN or infinite; create it again."
        raise InputError(msg)
    return volume.array.astype(np.float32)


# By name and modification time, so that a replaced file is read again within one process.
@functools.lru_cache(maxsize=64)
def _file_hash(name: str, _changed: int) -> str:
    return sha256_of(Path(name))


# As many as a table of the paper has, because the methods of a case alternate.
@functools.lru_cache(maxsize=32)
def _loaded(name: str, _identity: str) -> SuperResolutionModel:
    return load_model(name)
