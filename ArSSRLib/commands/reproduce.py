"""``arssr reproduce``: recreating a result from its record, and comparing both."""

from __future__ import annotations

import argparse
import contextlib
import logging
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ArSSRLib import __version__
from ArSSRLib.acquisition.profile import SliceProfile
from ArSSRLib.checkpoint import installed_models, load_model
from ArSSRLib.commands.progress import Reporter
from ArSSRLib.errors import ArSSRError, InputError, printable
from ArSSRLib.io import find_volumes, read_volume, write_volume
from ArSSRLib.io.formats import suffix_of
from ArSSRLib.leftovers import hidden_name, sweep
from ArSSRLib.model.interface import SuperResolutionModel
from ArSSRLib.options import AS_FILED, UpsamplingOptions
from ArSSRLib.record import read_record, sidecar_of, tolerance, voxels_sha256
from ArSSRLib.upsampling import upsample
from ArSSRLib.volume import Volume

EXIT_EQUAL, EXIT_DIFFERENT = 0, 1

logger = logging.getLogger(__name__)


def run(args: argparse.Namespace) -> int:
    """Recreate a result, and report whether it is the same.

    Returns:
        0 if it is equal within the stated tolerance, otherwise 1.

    Raises:
        ArSSRError: If it cannot be recreated, because its record, input, model or device is missing.
    """
    path = Path(args.result)
    if path.is_dir():
        msg = f"{path}: is a folder, but a result in DICOM cannot be compared; specify a result in a file."
        raise InputError(msg)
    record = read_record(sidecar_of(path))
    before = read_volume(path)
    model = _model_of(record, args.model)
    source = _input_of(record, path, args.input)
    for name, now in (("version", __version__), ("torch", str(torch.__version__))):
        if record[name] != now:
            text = "The result was made with %s %s, but this is %s, so small differences are possible."
            logger.warning(text, name, record[name], now)
    reporter, threads = Reporter("auto"), torch.get_num_threads()
    reporter.stage("upsample", str(path))
    try:
        torch.set_num_threads(record["threads"])
        again = upsample(
            replace(source, header=replace(source.header, profile=SliceProfile.from_table(record["profile"]))),
            model,
            record["scale"],
            # The recorded profile contains the statements and estimates of that time; nothing is estimated again.
            replace(UpsamplingOptions.from_table(record), slice_thickness=AS_FILED),
            region=record["region"],
            progress=reporter.fraction,
        )
    finally:
        torch.set_num_threads(threads)
        reporter.close()
    return _compare(before, _as_stored(again, path), record, path)


def _compare(before: Volume, again: Volume, record: Mapping[str, Any], path: Path) -> int:
    if before.array.shape != again.array.shape or not before.geometry.matches(again.geometry, 1e-3):
        sizes = f"{before.geometry.size} voxels, made again {again.geometry.size}, or placed elsewhere"
        print(f"{printable(str(path))}: different: {sizes}")
        return EXIT_DIFFERENT
    if np.array_equal(before.array, again.array, equal_nan=before.array.dtype.kind == "f"):
        print(f"{printable(str(path))}: equal, bit by bit")
        return EXIT_EQUAL
    largest = float(np.abs(before.array.astype(np.float64) - again.array).max())
    allowed = tolerance(record, again.array)
    words = f"largest difference {largest:.6g}, tolerance {allowed:.6g} (scanner units)"
    equal = largest <= allowed  # False if NaN is in only one of them
    print(f"{printable(str(path))}: {'equal within the tolerance' if equal else 'different'}: {words}")
    return EXIT_EQUAL if equal else EXIT_DIFFERENT


def _model_of(record: Mapping[str, Any], file: str | None) -> SuperResolutionModel:
    """Return the network of a record, from a file or from the installed models, by its checksum."""
    if file is None:
        same = [entry for entry in installed_models() if entry.sha256 == record["model_sha256"]]
        if not same:
            msg = (
                f"The model {record['model']} that made the result (SHA-256 {record['model_sha256'][:12]}...) is not "
                'installed on this computer; specify its file with --model, or import it with "arssr models import".'
            )
            raise InputError(msg)
        return load_model(same[0].name)
    model = load_model(file)
    if model.sha256 != record["model_sha256"]:
        msg = (
            f"{file}: is not the model that made the result: SHA-256 {model.sha256[:12]}..., expected "
            f"{record['model_sha256'][:12]}...; specify the file that was used."
        )
        raise InputError(msg)
    return model


def _input_of(record: Mapping[str, Any], result: Path, file: str | None) -> Volume:
    """Return the input of a record: a file, or the volume beside the result that has the same voxels."""
    if file is not None:
        volume = read_volume(file)
        if voxels_sha256(volume.array) != record["input_sha256"]:
            msg = f"{file}: is not the input of the result: its voxels differ; specify the volume that was used."
            raise InputError(msg)
        return volume
    for candidate in find_volumes(result.parent):
        with contextlib.suppress(ArSSRError):
            volume = read_volume(candidate)
            if voxels_sha256(volume.array) == record["input_sha256"]:
                return volume
    msg = (
        f"The input was not found in {result.parent}; a record contains no file names, so specify the input with "
        "--input."
    )
    raise InputError(msg)


def _as_stored(volume: Volume, path: Path) -> Volume:
    """Return a volume as it would be read from a file like ``path``, whose format may round."""
    temporary = Path(tempfile.gettempdir()) / hidden_name()
    sweep(temporary.parent)
    try:
        temporary.mkdir(mode=0o700)
        return read_volume(write_volume(volume, temporary / f"again{suffix_of(path)}"))
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
