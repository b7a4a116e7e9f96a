"""``arssr info``: the properties of a volume or of a file of weights."""

from __future__ import annotations

import argparse
import dataclasses
import logging
from pathlib import Path

import numpy as np

from ArSSRLib.acquisition.decision import decided_profile, described
from ArSSRLib.acquisition.profile import SliceProfile
from ArSSRLib.acquisition.slice_gains import LEAST_SLICES, estimate_slice_gains, slice_axis
from ArSSRLib.checkpoint import load_model, read_metadata
from ArSSRLib.errors import ArSSRError, InputError, one_line, printable
from ArSSRLib.geometry import VolumeGeometry, three, times
from ArSSRLib.io import find_inputs, read_volume
from ArSSRLib.normalization import IntensityRange, replace_non_finite
from ArSSRLib.options import DEFAULT_OPTIONS
from ArSSRLib.padding import find_padding, without_padding
from ArSSRLib.record import read_record, sidecar_of
from ArSSRLib.volume import Volume

WEIGHTS_SUFFIXES = (".safetensors", ".pkl", ".pt", ".pth", ".ckpt", ".bin")

logger = logging.getLogger(__name__)

Rows = list[tuple[str, str]]


def run(args: argparse.Namespace) -> int:
    """Print the properties of a file, one per line, or of every volume of a folder.

    Returns:
        0, or 1 if a volume of a folder could not be read; the others are described nevertheless.

    Raises:
        ArSSRError: If the file, or the folder, cannot be read.
    """
    path = Path(args.file)
    if path.suffix.lower() in WEIGHTS_SUFFIXES:
        _print(path, describe_weights(path))
        return 0
    # The volumes that `arssr upsample` would use, in the same order.
    sources = find_inputs(path, series=args.series)
    failed = 0
    for source in sources:
        try:
            volume = read_volume(source, series=args.series)
            rows = [*describe_volume(volume), *describe_record(source, volume.geometry)]
        except (ArSSRError, OSError, MemoryError) as error:
            if len(sources) == 1:
                raise
            logger.error("%s", one_line(error))
            failed += 1
        else:
            _print(source, rows)
    return 1 if failed else 0


def _print(path: Path, rows: Rows) -> None:
    width = max(len(name) for name, _ in rows)
    print(printable(str(path)))
    for name, text in rows:
        print(printable(f"  {name:<{width}}  {text}"))


def describe_volume(volume: Volume) -> Rows:
    """Return the properties of a volume, as (name, text)."""
    geometry, header, profile = volume.geometry, volume.header, decided_profile(volume, DEFAULT_OPTIONS)
    stored = "" if header.dtype is None else f"{header.dtype}{', with slope and intercept' if header.scaled else ''}"
    rows = [
        ("size", f"{times(geometry.size)} voxels (i, j, k)"),
        ("spacing", f"{times(geometry.spacing)} mm"),
        ("field of view", f"{times(geometry.extent)} mm"),
        ("orientation", orientation(geometry)),
        ("origin", f"{', '.join(f'{x:.6g}' for x in geometry.origin)} LPS mm"),
        ("voxels", f"{volume.array.dtype}{f' (stored as {stored})' if stored else ''}"),
        ("range", value_range(volume)),
        ("slice profile", described(profile, geometry.spacing)),
        ("slice brightness", slice_brightness(volume, profile)),
        ("padding", "" if header.padding is None else "{:.6g} to {:.6g}".format(*header.padding)),
        ("component", header.component),
        ("description", header.description),
    ]
    return [(name, text) for name, text in rows if text]


def describe_record(path: Path, geometry: VolumeGeometry) -> Rows:
    """Return how a result was made, according to the record beside it, as (name, text); empty without a record."""
    beside = sidecar_of(path)
    if not beside.is_file():
        return []
    try:
        record = read_record(beside)
    except InputError as error:
        logger.warning("%s", one_line(error))
        return []
    if tuple(record["size"]) != geometry.size:
        logger.warning("%s: describes a volume of %s voxels, so it is ignored.", beside, times(record["size"]))
        return []
    agreement, gains = record["disagreement"], record["slice_gains"]
    scan_spacing = three(np.multiply(geometry.spacing, record["scale"]))
    evened = "none" if gains is None else "along {axis}: {rms:.2g} % RMS, at most {largest:.2g} %".format(**gains)
    return [
        ("made with", f"{record['model']}, scale {times(record['scale'])}, quality {record['quality']}"),
        ("profile of scan", described(SliceProfile.from_table(record["profile"]), scan_spacing)),
        ("agreement", "not corrected to agree with the scan" if agreement is None else _difference(agreement)),
        ("evened slices", "off" if record["even_slices"] == "off" else evened),
    ]


def _difference(percent: float) -> str:
    return f"a simulated acquisition of it differs from the scan by {percent:.2g} % of the range"


def slice_brightness(volume: Volume, profile: SliceProfile) -> str:
    """Return the brightness differences between slices; empty for a volume that was not acquired slice by slice."""
    axis = slice_axis(volume.geometry.spacing, profile)
    if axis is None or volume.header.component or not np.isfinite(volume.array).any():
        return ""
    if volume.array.shape[axis] < LEAST_SLICES:
        return f"not measured, because that needs at least {LEAST_SLICES} slices"
    array, _ = replace_non_finite(volume.array)
    padding = find_padding(array, volume.header.padding)
    array, ignored = without_padding(array, padding), None if padding is None else padding.mask
    gains = estimate_slice_gains(array, axis, IntensityRange.of(array), ignored=ignored)
    return "even, as far as can be measured" if gains is None else f"differs between {gains.described()}"


def value_range(volume: Volume) -> str:
    """Return the smallest and largest intensity, and the number of voxels that are not finite."""
    finite = np.isfinite(volume.array)
    missing = volume.array.size - int(np.count_nonzero(finite))
    if missing == volume.array.size:
        return "no voxel is a finite number"
    low, high = volume.array[finite].min(), volume.array[finite].max()
    note = f"; {missing} of {volume.array.size} voxels are NaN or infinite" if missing else ""
    return f"{low:.6g} to {high:.6g}{note}"


def orientation(geometry: VolumeGeometry) -> str:
    """Return the directions of i, j and k, such as "RAS" for right, anterior, superior, with their deviation."""
    tilt = geometry.tilt()
    lies = "along the axes" if tilt < 0.01 else f"oblique by up to {tilt:.1f} degrees"
    handed = "right" if np.linalg.det(np.reshape(geometry.direction, (3, 3))) > 0 else "left"
    return f"{geometry.orientation()}, {lies}, {handed}-handed"


def describe_weights(path: Path) -> Rows:
    """Return the properties of a file of weights, as (name, text)."""
    model = load_model(path)
    count = sum(parameter.numel() for parameter in model.parameters())
    rows = [(name.replace("_", " "), str(value)) for name, value in dataclasses.asdict(model.config).items()]
    rows += [("parameters", f"{count:,}"), ("SHA-256", model.sha256)]
    return [*rows, *sorted(read_metadata(path).items())]
