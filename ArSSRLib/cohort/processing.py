"""Processing of a single scan: read, upsample, measure, write; in any process or on another machine.

This code knows nothing about other scans, so that a lost process affects its own scan only.
"""

from __future__ import annotations

import functools
import logging
import time
import traceback
from argparse import Namespace
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ArSSRLib import __version__
from ArSSRLib.checkpoint import load_model
from ArSSRLib.cohort.dataset import Scan, metadata_of
from ArSSRLib.cohort.derivatives import (
    bids_sidecar,
    is_finished,
    sidecar,
    target_of,
    uncertainty_of,
    uncertainty_sidecar,
)
from ArSSRLib.cohort.measures import measures_of
from ArSSRLib.commands.resolution import factors_for
from ArSSRLib.commands.upsample import refuse_labels, short_description, warn_outside_training
from ArSSRLib.errors import ArSSRError, DependencyError, one_line
from ArSSRLib.io import destination_of, read_volume, validate_output, write_volume
from ArSSRLib.io.sidecar import component_stated, profile_stated
from ArSSRLib.leftovers import write_whole
from ArSSRLib.model.interface import SuperResolutionModel
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.process import LogReceiver
from ArSSRLib.record import record_as_json, record_of, sidecar_of, voxels_sha256
from ArSSRLib.upsampling import carry_out, plan_upsampling
from ArSSRLib.volume import Volume

DONE, KEPT, FAILED = "done", "kept", "failed"
ENGINE = logging.getLogger("ArSSRLib")


@dataclass(frozen=True)
class Task:
    """One scan to upsample, as it is sent to a process.

    Attributes:
        root: Root of the data set; the same path on every machine.
        output: Folder of the derivatives.
        scan: The scan.
        how: Scale, spacing, size or isotropic, whether to accept label maps, and whether to replace results, by name.
        model: Name or file of the network.
        options: Options of the upsampling.
        threads: Number of PyTorch threads; None leaves it unchanged.
        version: Version of ArSSR that created the task.
    """

    root: str
    output: str
    scan: Scan
    how: dict[str, Any]
    model: str
    options: UpsamplingOptions
    threads: int | None = None
    version: str = __version__


@dataclass(frozen=True)
class Outcome:
    """The outcome of a scan.

    Attributes:
        path: Path of the scan in its data set.
        state: `DONE`, `KEPT` (a finished result existed) or `FAILED`.
        message: Path of the result, or the reason for its absence.
        seconds: Time of the processing.
        warnings: Warnings of the engine, without repetitions.
        details: Traceback of an unexpected error, otherwise empty.
    """

    path: str
    state: str
    message: str
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    details: str = ""


def process(task: Task) -> Outcome:
    """Upsample a scan, unless its result exists; a failure is returned as an outcome, so that the others continue."""
    started, details = time.monotonic(), ""
    with _warnings_kept() as warnings:
        try:
            if task.version != __version__:
                msg = (
                    f"This worker has ArSSR {__version__}, but the command has {task.version}; install the same "
                    "version everywhere."
                )
                raise DependencyError(msg)
            if task.threads is not None:
                torch.set_num_threads(task.threads)
            state, message = _process(task, warnings)
        except Exception as error:  # unexpected errors, too: after a night of work, the other scans must be finished
            ENGINE.debug("%s failed because of:", task.scan.path, exc_info=True)
            words = one_line(str(error)) or type(error).__name__
            state, message = FAILED, words if task.scan.path in words else f"{task.scan.path}: {words}"
            details = "" if isinstance(error, ArSSRError) else traceback.format_exc()
    return Outcome(task.scan.path, state, message, time.monotonic() - started, tuple(warnings), details)


def _process(task: Task, warnings: Collection[str]) -> tuple[str, str]:
    output, args = Path(task.output), Namespace(**task.how)
    source = Path(task.root) / task.scan.path
    volume, metadata = read_scan(task)
    if not args.force:
        refuse_labels(volume, source)
    factors = factors_for(volume.geometry, args)
    model = load(task.model)
    spacing = volume.geometry.upsampled(factors).spacing
    target = target_of(output, task.scan, spacing)
    asked = {"model_sha256": model.sha256, "scale": list(factors)}
    if is_finished(target, voxels_sha256(volume.array), asked, task.options, overwrite=args.overwrite):
        return KEPT, str(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    validate_output(target, overwrite=True, source=source)
    warn_outside_training(model, factors)
    plan = plan_upsampling(volume, model, factors, task.options, destination=destination_of(target))
    outcome = carry_out(plan, volume, model)
    result, record = outcome.volume, record_of(volume, outcome, model, plan)
    facts = {"Record": record, "Measures": measures_of(volume, result), "Warnings": list(warnings)}
    if outcome.uncertainty is not None:
        write_volume(outcome.uncertainty, uncertainty_of(target), overwrite=True, description="Standard deviation")
        write_whole(bids_sidecar(uncertainty_of(target)), uncertainty_sidecar(target, output, spacing))
    write_whole(sidecar_of(target), record_as_json(record))
    write_whole(bids_sidecar(target), sidecar(task.scan, metadata, spacing, facts))
    write_volume(result, target, overwrite=True, description=short_description(model, factors))
    return DONE, str(target)


def read_scan(task: Task) -> tuple[Volume, dict[str, Any]]:
    """Return a scan with the slice profile from its metadata, and these metadata.

    Raises:
        InputError: If it cannot be read.
    """
    root, source = Path(task.root), Path(task.root) / task.scan.path
    metadata, volume = metadata_of(root, task.scan), read_volume(source)
    # The statements of a sidecar may be at a higher level of the data set.
    stated = profile_stated(metadata, volume.geometry, source)
    component = volume.header.component or component_stated(metadata)
    return replace(volume, header=replace(volume.header, profile=stated, component=component)), metadata


@functools.lru_cache(maxsize=1)
def load(name: str) -> SuperResolutionModel:
    """Return a network, which is loaded once per process."""
    return load_model(name)


@contextmanager
def _warnings_kept() -> Iterator[Collection[str]]:
    """Collect warnings of the engine; the receiver of the outcome prints them with the name of the scan."""
    kept: dict[str, None] = {}  # in order, without repetition
    handler = LogReceiver(lambda record: kept.setdefault(one_line(record.getMessage())), logging.WARNING)
    others = tuple(ENGINE.handlers)
    for other in others:
        other.addFilter(_is_no_warning)
    ENGINE.addHandler(handler)
    try:
        yield kept
    finally:
        ENGINE.removeHandler(handler)
        for other in others:
            other.removeFilter(_is_no_warning)


def _is_no_warning(record: logging.LogRecord) -> bool:
    return record.levelno < logging.WARNING
