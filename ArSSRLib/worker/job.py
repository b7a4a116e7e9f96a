"""The job file: the request to the worker, validated completely before anything is loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeAlias

from ArSSRLib.errors import InputError, shown
from ArSSRLib.options import OPTIONS, UpsamplingOptions
from ArSSRLib.settings import dataclass_from

FORMAT = 1
# Enough for thousands of volumes; a larger file is not a job.
MAXIMUM_BYTES = 8_000_000

Factors: TypeAlias = tuple[float, float, float]
Region: TypeAlias = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class StatedAxis:
    """The slice profile along one axis: the fields of `ArSSRLib.acquisition.profile.AxisProfile`."""

    kind: str
    width: float
    source: str


Profile: TypeAlias = tuple[StatedAxis | None, StatedAxis | None, StatedAxis | None]


@dataclass(frozen=True)
class VolumeFiles:
    """One volume of a job.

    Attributes:
        input: The input file, which is not changed.
        output: The output file, replaced if it exists.
        uncertainty: The output file of the uncertainty; None for none.
        profile: The slice profile along i, j, k, as far as the caller knows it.
    """

    input: Path
    output: Path
    uncertainty: Path | None = None
    profile: Profile | None = None


@dataclass(frozen=True)
class UpsampleJob:
    """Volumes to upsample in the same way.

    Attributes:
        model: Name of a bundled model, or a file of weights.
        options: The options; each is a key of the job file.
        scale: Factors along i, j, k; unitless.
        region: Box of fine voxels, (first, stop) along i, j, k; None for all.
        volumes: Input and output files.
    """

    model: str
    options: UpsamplingOptions
    scale: Factors
    region: Region | None
    volumes: tuple[VolumeFiles, ...]

    def __post_init__(self) -> None:
        """Refuse a job without a model or a volume."""
        if not self.model or not self.volumes:
            msg = f"The job's {'volumes' if self.model else 'model'} must not be empty."
            raise InputError(msg)
        if any((files.uncertainty is not None) != self.options.uncertainty for files in self.volumes):
            msg = "The job's uncertainty must be true if every volume names a file for it, and false if none does."
            raise InputError(msg)


@dataclass(frozen=True)
class LensJob:
    """A volume whose result will be requested as planes, until the standard input ends.

    Attributes:
        model: Name of a bundled model, or a file of weights.
        options: The options; each is a key of the job file.
        input: The input file, which is not changed.
        folder: Existing folder for the planes.
        profile: As in `VolumeFiles`.
        estimated_from: File of the frame from which a run of all frames estimates the slice profile of this one; None
            for the input itself.
    """

    model: str
    options: UpsamplingOptions
    input: Path
    folder: Path
    profile: Profile | None = None
    estimated_from: Path | None = None

    def __post_init__(self) -> None:
        """Refuse a job without a model."""
        if not self.model:
            msg = "The job's model must not be empty."
            raise InputError(msg)


@dataclass(frozen=True)
class ProbeJob:
    """A query for the capabilities of this machine.

    Attributes:
        models: Names of bundled models, or files of weights, to describe.
        measure: Whether to measure their speed on every device, which takes one or two seconds each.
    """

    models: tuple[str, ...]
    measure: bool


@dataclass(frozen=True)
class ProfileJob:
    """Voxels from which the slice profile is to be estimated.

    Attributes:
        input: File of the intensities alone, along i first, in the byte order of the machine; it is not changed.
        dtype: Type of the intensities, as NumPy names it.
        size: Voxels along i, j, k.
        spacing: Spacing along i, j, k, in mm.
        model: Name or file of the weights that are tried for the profile; None for none.
    """

    input: Path
    dtype: str
    size: tuple[int, int, int]
    spacing: Factors
    model: str | None


Job: TypeAlias = UpsampleJob | LensJob | ProbeJob | ProfileJob


def read_job(path: Path) -> Job:
    """Read a job file.

    Raises:
        InputError: If it cannot be read, is not JSON, or has unexpected content.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAXIMUM_BYTES + 1)
    except (OSError, ValueError) as error:
        msg = f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}); specify an existing job file."
        raise InputError(msg) from error
    if len(content) > MAXIMUM_BYTES:
        msg = (
            f"{path}: is larger than the {MAXIMUM_BYTES / 1e6:g} MB allowed for a job file; split it into several jobs."
        )
        raise InputError(msg)
    try:
        return job_from_table(json.loads(content.decode("utf-8"), parse_constant=_refuse_constant))
    except InputError as error:
        msg = f"{path}: {error}"
        raise InputError(msg) from error
    except (ValueError, RecursionError) as error:
        msg = f"{path}: is not a job file, which is JSON in UTF-8 ({error}); write it again."
        raise InputError(msg) from error


def job_from_table(table: object) -> Job:
    """Convert the content of a job file to a job.

    Raises:
        InputError: If a key is unknown or missing, or a value is not allowed.
    """
    if not isinstance(table, Mapping):
        msg = f"The job must be an object with the keys format and task, got {shown(table)}."
        raise InputError(msg)
    values = dict(table)
    version, task = values.pop("format", None), values.pop("task", None)
    if version != FORMAT or isinstance(version, bool):
        msg = (
            f"The job's format = {shown(version)} must be {FORMAT}; use the module and the engine of the same version."
        )
        raise InputError(msg)
    if task == "probe":
        return dataclass_from(ProbeJob, values, kind="job")
    if task == "profile":
        return dataclass_from(ProfileJob, {"model": None, **values}, kind="job")
    if task not in ("upsample", "lens"):
        msg = f"The job's task = {shown(task)} must be upsample, lens, profile or probe."
        raise InputError(msg)
    names = [option.name for option in OPTIONS]
    values["options"] = {name: values.pop(name) for name in names if name in values}
    if task == "lens":
        return dataclass_from(LensJob, {"profile": None, "estimated_from": None, **values}, kind="job")
    if isinstance(values.get("volumes"), list):
        optional = {"uncertainty": None, "profile": None}
        values["volumes"] = [{**optional, **v} if isinstance(v, Mapping) else v for v in values["volumes"]]
    return dataclass_from(UpsampleJob, values, kind="job")


def _refuse_constant(name: str) -> NoReturn:
    msg = f"contains {name}; expected finite numbers only."
    raise InputError(msg)
