"""The folder of results: names, sidecars, and finished results.

A result is three files: its record, its BIDS sidecar, and finally the volume; each is written completely or not at all.
The presence of the volume therefore implies the other files, and its record shows whether it matches a request.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ArSSRLib import __version__
from ArSSRLib.cohort.dataset import DESCRIPTION, Scan, read_description
from ArSSRLib.errors import InputError, OutputError
from ArSSRLib.io import read_volume
from ArSSRLib.leftovers import write_whole
from ArSSRLib.options import OPTIONS, UpsamplingOptions
from ArSSRLib.record import read_record, sidecar_of, voxels_sha256

NAME = "ArSSR"
# Name of the source in BIDS URIs.
RAW = "raw"
BIDS_VERSION = "1.10.0"
IGNORED = ("*.arssr.json", "*.html", "*.tsv", "logs/")
# Metadata of a scan that also apply to its result. They do not identify the subject or the date.
KEPT = (
    "Modality",
    "MagneticFieldStrength",
    "MRAcquisitionType",
    "EchoTime",
    "RepetitionTime",
    "InversionTime",
    "FlipAngle",
    "SkullStripped",
)
# Parts of the names of a result and of its uncertainty.
_RESULT, _UNCERTAINTY = "_desc-arssr_", "_desc-arssruncertainty_"
# The results in a folder of derivatives.
RESULTS = "sub-*/**/*_desc-arssr_*.nii.gz"
# Options that do not change a result beyond the tolerance of its record.
_INDIFFERENT = ("device", "backend", "memory_limit")


def prepare(root: Path, output: Path, command: str, *, renew: bool = False) -> None:
    """Create and describe the folder of derivatives; ``renew`` updates the description after the data set was moved.

    Raises:
        OutputError: If it is the data set itself, lies inside it but not in derivatives/, or cannot be written.
    """
    root, output = root.resolve(), output.resolve()
    if output == root or root.is_relative_to(output):
        msg = f"{output}: is the data set itself, or a folder that contains it; choose another folder for the output."
        raise OutputError(msg)
    if output.is_relative_to(root) and output.relative_to(root).parts[0] != "derivatives":
        msg = (
            f"{output}: lies in the data set; choose {root / 'derivatives' / NAME.lower()}, or a folder outside the "
            "data set."
        )
        raise OutputError(msg)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{output}: cannot be created ({error.strerror}); choose another folder for the output."
        raise OutputError(msg) from error
    content = _description(root, output, command)
    path = output / DESCRIPTION
    if path.exists():
        made = read_description(output).get("GeneratedBy", [])
        if not any(isinstance(entry, dict) and entry.get("Name") == NAME for entry in made):
            msg = f"{output}: contains a data set of another program; choose another folder for the output."
            raise OutputError(msg)
    if renew or not path.exists():
        write_whole(path, as_json(content))
    _ignore(output / ".bidsignore")


def _ignore(path: Path) -> None:
    """Exclude our files from the validation of BIDS; other lines of the file are preserved."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        lines = []
    if missing := [line for line in IGNORED if line not in lines]:
        write_whole(path, "".join(f"{line}\n" for line in [*lines, *missing]).encode())


def _description(root: Path, output: Path, command: str) -> dict[str, Any]:
    said = read_description(root)
    generated = {"Name": NAME, "Version": __version__, "Description": command}
    return {
        "Name": f"{NAME} of {said.get('Name', 'a BIDS data set')}",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "License": said.get("License", "unknown"),
        "GeneratedBy": [generated],
        "SourceDatasets": [{"URL": root.as_uri()}],
        "DatasetLinks": {RAW: Path(os.path.relpath(root, output)).as_posix()},
    }


def source_of(output: Path) -> Path:
    """Return the data set from which a folder of derivatives was created.

    Raises:
        InputError: If the folder was not created by ArSSR.
    """
    links = read_description(output).get("DatasetLinks")
    link = links.get(RAW) if isinstance(links, dict) else None
    if not isinstance(link, str):
        msg = (
            f"{output}: is not a results folder of arssr bids, because its {DESCRIPTION} names no source; specify "
            "another folder."
        )
        raise InputError(msg)
    return (output / link).resolve()


def target_of(output: Path, scan: Scan, spacing: Sequence[float]) -> Path:
    """Return the path of the result of a scan, whose name contains the spacing in mm."""
    head, _, suffix = scan.name.rpartition("_")
    folder = scan.path.rpartition("/")[0]
    # Only letters and digits are allowed: "0p8mm" or "0p8x0p8x1mm".
    parts = [f"{value:.3f}".rstrip("0").rstrip(".").replace(".", "p") for value in spacing]
    resolution = f"{parts[0] if len(set(parts)) == 1 else 'x'.join(parts)}mm"
    return output / folder / f"{head}_res-{resolution}_desc-arssr_{suffix}.nii.gz"


def bids_sidecar(target: Path) -> Path:
    """Return the path of the BIDS sidecar of a result."""
    return target.with_name(f"{target.name.removesuffix('.nii.gz')}.json")


def uncertainty_of(target: Path) -> Path:
    """Return the path of the standard deviation of a result."""
    return target.with_name(target.name.replace(_RESULT, _UNCERTAINTY))


def result_of_uncertainty(path: Path) -> Path | None:
    """Return the result to which an uncertainty file belongs, or None if its name is not that of an uncertainty."""
    return path.with_name(path.name.replace(_UNCERTAINTY, _RESULT)) if _UNCERTAINTY in path.name else None


def uncertainty_sidecar(target: Path, output: Path, spacing: Sequence[float]) -> bytes:
    """Return the content of the BIDS sidecar of an uncertainty; ``spacing`` is in mm."""
    content = {
        "Description": "Standard deviation of the predictions for the mirror images, in the units of the scan",
        "Sources": [f"bids::{target.relative_to(output).as_posix()}"],
        "Resolution": _resolution(spacing),
        "SkullStripped": False,
    }
    return as_json(content)


def _resolution(spacing: Sequence[float]) -> str:
    return f"Upsampled to {' x '.join(f'{value:.6g}' for value in spacing)} mm"


def sidecar(scan: Scan, metadata: Mapping[str, Any], spacing: Sequence[float], facts: Mapping[str, Any]) -> bytes:
    """Return the content of a BIDS sidecar, from the metadata of the scan and facts of the result (spacing in mm)."""
    content = {key: metadata[key] for key in KEPT if key in metadata}
    content.setdefault("SkullStripped", False)
    content["Sources"] = [f"bids:{RAW}:{scan.path}"]
    content["Resolution"] = _resolution(spacing)
    return as_json({**content, NAME: facts})


def as_json(content: Mapping[str, Any]) -> bytes:
    """Return JSON as the bytes of a file."""
    return (json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode()


def is_finished(
    target: Path, input_sha256: str, asked: Mapping[str, Any], options: UpsamplingOptions, *, overwrite: bool
) -> bool:
    """Return whether a complete result for this input and request exists; all of it is read.

    ``asked`` are other entries of its record, and ``options`` those of the upsampling; "auto" matches any.
    A volume that does not match its record is an interrupted replacement, or damaged; it is computed again.

    Raises:
        OutputError: If the existing file is from another program, input or request, and may not be replaced.
    """
    if not target.exists():
        return False
    try:
        record = read_record(sidecar_of(target))
    except InputError as error:
        if overwrite:
            return False
        msg = f"{target}: already exists and has no record of ArSSR; remove it, or add --overwrite."
        raise OutputError(msg) from error
    different = _difference(record, asked, options, input_sha256)
    if different and not overwrite:
        msg = f"{target}: was made with a different {different}; choose another folder, or add --overwrite."
        raise OutputError(msg)
    wanted = [bids_sidecar(target), *([uncertainty_of(target)] if options.uncertainty else [])]
    if different or not all(path.is_file() for path in wanted):
        return False
    try:
        return voxels_sha256(read_volume(target).array) == str(record["result_sha256"])
    except InputError:
        return False


def _difference(
    record: Mapping[str, Any], asked: Mapping[str, Any], options: UpsamplingOptions, input_sha256: str
) -> str:
    """Return the name of an entry of a record that differs from the request, or "" if there is none."""
    chosen = {option.name: getattr(options, option.name) for option in OPTIONS if option.name not in _INDIFFERENT}
    # An uncertainty that was not requested does no harm.
    asked = {**asked, **{name: value for name, value in chosen.items() if value not in (None, "auto", False)}}
    different = next((key for key, value in asked.items() if record.get(key) != value), "")
    return different or ("input" if record["input_sha256"] != input_sha256 else "")


def read_sidecar(result: Path) -> tuple[str, tuple[str, ...], str]:
    """Return what the BIDS sidecar of a result says.

    Returns:
        The path of its scan in the data set, empty if unknown; the warnings of the engine during the upsampling; the
        problem with the sidecar, empty if there is none.
    """
    try:
        content = json.loads(bids_sidecar(result).read_text(encoding="utf-8"))
        (source,) = content["Sources"]
        scan = PurePosixPath(str(source).removeprefix(f"bids:{RAW}:"))
        warnings = tuple(str(text) for text in content.get(NAME, {}).get("Warnings", []))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "", (), "Its sidecar cannot be read, so its scan is unknown; run the participant level again."
    if scan.is_absolute() or ".." in scan.parts or not str(scan).startswith("sub-"):
        return "", warnings, "Its sidecar names a source outside the data set; run the participant level again."
    return str(scan), warnings, ""
