"""The output of a command: a file with the given name, or a derived DICOM series in a folder."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ArSSRLib.errors import OutputError
from ArSSRLib.io import (
    SUPPORTED_SUFFIXES,
    Derivation,
    is_dicom,
    validate_output,
    validate_series_folder,
    validate_series_source,
    write_derived_series,
    write_volume,
)
from ArSSRLib.io.files import refuse_name
from ArSSRLib.io.formats import suffix_of
from ArSSRLib.volume import Volume


@dataclass(frozen=True)
class Target:
    """A file, in the format of its name, or the folder of a series derived from these DICOM slices."""

    path: Path
    series: Sequence[Path] | None
    overwrite: bool

    def write(self, volume: Volume, derivation: Derivation, description: str) -> None:
        """Write a file, whose header has the description, or a series, whose slices describe their derivation."""
        if self.series is None:
            write_volume(volume, self.path, overwrite=self.overwrite, description=description)
        else:
            write_derived_series(
                volume, self.path, sources=self.series, derivation=derivation, overwrite=self.overwrite
            )


def target_for(output: str, source: Path, args: argparse.Namespace) -> Target:
    """Return the output for one volume, after refusing what cannot be written.

    Args:
        output: The argument of the user. It is the folder of a derived series if ``source`` is DICOM and it has no
            suffix of a format, ends in a separator, or is an existing folder.
        source: The input.
        args: The arguments.

    Raises:
        OutputError: If the output cannot be written.
        InputError: If a derived series is requested, and the source is not a single MR series.
    """
    refuse_name(Path(output))
    if Path(output).exists() and not Path(output).is_file() and not Path(output).is_dir():
        msg = f"{output}: is neither a file nor a folder but a device or a pipe; specify a file, such as result.nii.gz."
        raise OutputError(msg)
    if not _names_folder(output):
        refuse_existing(Path(output), args)
        return Target(validate_output(Path(output), overwrite=args.overwrite, source=source), None, args.overwrite)
    if source.exists() and args.series is None and not is_dicom(source):
        path, why = Path(output), "is a folder"
        example = path / "result.nii.gz"
        if not path.is_dir() and not output.endswith(("/", os.sep)):
            why = "has no extension that identifies a format, so it is taken to be a folder"
            example = path.with_name("result.nii.gz")
        msg = (
            f"{output}: {why}, but results are written to a folder only as a DICOM series, and {source} is not DICOM; "
            f"specify a file, such as {example}."
        )
        raise OutputError(msg)
    folder = validate_series_folder(Path(output), overwrite=args.overwrite, source=source)
    return Target(folder, validate_series_source(source, series=args.series), args.overwrite)


def refuse_existing(path: Path, args: argparse.Namespace) -> None:
    """Refuse an existing file that may not be replaced, with the message of the command line."""
    if path.is_file() and not args.overwrite:
        msg = f"{path}: already exists; choose another name, or add --overwrite."
        raise OutputError(msg)


def names_file(output: str) -> bool:
    """Return whether an output is a file in a known format, and not an existing folder."""
    return suffix_of(Path(output)) in SUPPORTED_SUFFIXES and not _names_folder(output)


def _names_folder(output: str) -> bool:
    """Distinguish a folder from a file: "T1_v1.5" is a folder, "T1.nii" and the mistyped "T1.nii.bz2" are files."""
    suffix = suffix_of(Path(output))
    if Path(output).is_dir() or output.endswith(("/", os.sep)):
        return True
    return suffix not in SUPPORTED_SUFFIXES and not any(letter.isalpha() for letter in suffix)
