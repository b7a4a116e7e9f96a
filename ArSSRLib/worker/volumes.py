"""The task "upsample": volumes from file to file, one after another, all of them or none."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ArSSRLib import __version__
from ArSSRLib.acquisition.decision import EstimatedOnce
from ArSSRLib.acquisition.profile import SliceProfile
from ArSSRLib.checkpoint import find_entry
from ArSSRLib.errors import InputError, OutputError
from ArSSRLib.geometry import VolumeGeometry, parse_scale
from ArSSRLib.io import destination_of, read_volume, validate_output, write_volume
from ArSSRLib.io.formats import suffix_of
from ArSSRLib.leftovers import hidden_name
from ArSSRLib.record import record_of
from ArSSRLib.volume import Volume
from ArSSRLib.worker.cancellation import Cancellation
from ArSSRLib.worker.events import Events, Progress
from ArSSRLib.worker.job import Profile, UpsampleJob, VolumeFiles
from ArSSRLib.worker.packages import load_packages

if TYPE_CHECKING:
    from ArSSRLib.model.interface import SuperResolutionModel


def upsample_volumes(job: UpsampleJob, events: Events, cancellation: Cancellation) -> dict[str, Any]:
    """Upsample the volumes of a job with one model, which is loaded once; return the fields of the event "done".

    The results are in hidden folders beside their final names until the last one is finished, so that a job that ends
    early leaves none of them.

    Raises:
        ArSSRError: If the job cannot be done.
        CancelledError: If the work was asked to stop.
    """
    started = time.monotonic()
    _check_before_loading(job)
    progress = Progress(events, cancellation.check, len(job.volumes))
    progress.stage("load", 1)
    load_packages()
    from ArSSRLib.checkpoint import load_model  # noqa: PLC0415 - what needs PyTorch, once it is known to be there
    from ArSSRLib.device import device_name, peak_memory, resolve_device  # noqa: PLC0415
    from ArSSRLib.upsampling import decided  # noqa: PLC0415
    from ArSSRLib.upsampling.blind import BlindEstimate  # noqa: PLC0415

    job = replace(job, options=decided(job.options))
    device = resolve_device(job.options.device)
    model = load_model(job.model, device=device)
    results, estimate = [], EstimatedOnce(BlindEstimate(model, device))
    with _hidden_folders(job.volumes, cancellation) as hidden:
        for number, (files, unfinished) in enumerate(zip(job.volumes, hidden, strict=True), start=1):
            begun = time.monotonic()
            with _named(unfinished, files):
                grid, record = _upsample_one(
                    unfinished, number, job=job, model=model, estimate=estimate, progress=progress
                )
            entry = {"output": str(files.output), "size": list(grid.size), "spacing": list(grid.spacing)}
            results.append({**entry, "seconds": round(time.monotonic() - begun, 3), "record": record})
        cancellation.disable()
        _publish(hidden, job.volumes)
    return {
        "results": results,
        "device": str(device),
        "device_name": device_name(device),
        "precision": job.options.precision,
        "model": model.name,
        "sha256": model.sha256,
        "scale": list(job.scale),
        "region": job.region,
        "version": __version__,
        "seconds": round(time.monotonic() - started, 3),
        "peak_memory": peak_memory(device),
    }


def _upsample_one(
    files: VolumeFiles,
    number: int,
    *,
    job: UpsampleJob,
    model: SuperResolutionModel,
    estimate: EstimatedOnce,
    progress: Progress,
) -> tuple[VolumeGeometry, dict[str, Any]]:
    """Upsample one file; return the grid and the record of the result. Nothing else stays in memory."""
    from ArSSRLib.upsampling import carry_out, plan_upsampling  # noqa: PLC0415

    progress.stage("read", number)
    volume = read_stated(files.input, files.profile)
    progress.stage("upsample", number)
    destination = destination_of(files.output)
    plan = plan_upsampling(
        volume, model, job.scale, job.options, region=job.region, destination=destination, estimate=estimate
    )
    outcome = carry_out(plan, volume, model, progress=progress.upsampled)
    progress.stage("write", number)
    write_volume(outcome.volume, files.output, compress=False)
    if files.uncertainty is not None and outcome.uncertainty is not None:
        write_volume(outcome.uncertainty, files.uncertainty, compress=False)
    progress.written()
    return plan.geometry, record_of(volume, outcome, model, plan)


def read_stated(path: Path, stated: Profile | None) -> Volume:
    """Return the volume of a file; slice profiles that the file does not state are taken from the job."""
    volume = read_volume(path)
    if stated is None:
        return volume
    profile = volume.header.profile.completed_by(SliceProfile.from_table([axis and asdict(axis) for axis in stated]))
    return replace(volume, header=replace(volume.header, profile=profile))


def _check_before_loading(job: UpsampleJob) -> None:
    """Refuse an impossible scale, model or file before time is spent on loading and computing."""
    parse_scale(job.scale)
    find_entry(job.model)
    sources = {os.path.realpath(files.input) for files in job.volumes}
    taken: set[str] = set()
    for files in job.volumes:
        if not os.path.exists(files.input):
            msg = f"{files.input}: does not exist; check the path of the input."
            raise InputError(msg)
        for output in _outputs(files):
            validate_output(output, overwrite=True, source=files.input)
            target = os.path.realpath(output)
            if target in sources or target in taken:
                what = "an input, which is never replaced" if target in sources else "the output of two volumes"
                msg = f"{output}: is {what}; choose another name for the output."
                raise OutputError(msg)
            taken.add(target)


def _outputs(files: VolumeFiles) -> list[Path]:
    return [files.output] if files.uncertainty is None else [files.output, files.uncertainty]


@contextlib.contextmanager
def _hidden_folders(volumes: Sequence[VolumeFiles], cancellation: Cancellation) -> Iterator[list[VolumeFiles]]:
    """Provide names for unfinished results, in a hidden folder beside the final names."""
    folders: dict[Path, Path] = {}
    try:
        for parent in {_parent(output) for files in volumes for output in _outputs(files)}:
            folders[parent] = parent / hidden_name()
            cancellation.remove_if_left(folders[parent])
            folders[parent].mkdir()

        def unfinished(output: Path, number: int, part: str = "") -> Path:
            """Return the name of a result in the hidden folder."""
            return folders[_parent(output)] / f"{number}{part}{suffix_of(output)}"

        yield [
            replace(
                files,
                output=unfinished(files.output, number),
                uncertainty=files.uncertainty and unfinished(files.uncertainty, number, "-uncertainty"),
            )
            for number, files in enumerate(volumes)
        ]
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        msg = f"The result cannot be written ({error.strerror or error}); free some space or choose another folder."
        raise OutputError(msg) from error
    finally:
        for folder in folders.values():
            shutil.rmtree(folder, ignore_errors=True)


def _parent(output: Path) -> Path:
    return Path(os.path.realpath(output)).parent


@contextlib.contextmanager
def _named(unfinished: VolumeFiles, files: VolumeFiles) -> Iterator[None]:
    """Replace hidden file names in exceptions by the names of the results."""
    try:
        yield
    except OutputError as error:
        msg = str(error)
        for hidden, target in zip(_outputs(unfinished), _outputs(files), strict=True):
            msg = msg.replace(str(hidden), str(target))
        raise OutputError(msg) from error


def _publish(hidden: Sequence[VolumeFiles], volumes: Sequence[VolumeFiles]) -> None:
    """Rename all results to their final names, or none."""
    published: list[Path] = []
    before, after = ([output for files in table for output in _outputs(files)] for table in (hidden, volumes))
    try:
        for unfinished, output in zip(before, after, strict=True):
            target = Path(os.path.realpath(output))
            unfinished.replace(target)
            published.append(target)
    except OSError:
        for target in published:
            target.unlink(missing_ok=True)
        raise
