"""Volumes for training and evaluation: those of a folder, or of a CSV file with paths and splits.

Every voxel of them is verified to be a finite number.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ArSSRLib.errors import InputError, reason_of
from ArSSRLib.io import SUPPORTED_SUFFIXES, find_volumes, read_volume
from ArSSRLib.io.content import refuse_unfetched
from ArSSRLib.volume import Volume

SPLITS = ("train", "val", "test")
# The subject in a file name of the Brain Imaging Data Structure, with any prefix, such as a study.
_SUBJECT = re.compile(r"^(?:.*[_-])?sub-[A-Za-z0-9]+")


@dataclass(frozen=True)
class Source:
    """A volume to read.

    Attributes:
        path: Its file, or its folder of DICOM files.
        subject: Subject from the CSV file, otherwise "sub-..." with its prefix in the file name, otherwise the file
            name.
        named: Whether the CSV file states the subject; then equal file names are not significant.
        lesions: Lesion mask on the grid of the volume, as stated in the CSV file; None if not stated.
    """

    path: Path
    subject: str
    named: bool = False
    lesions: Path | None = None


def find_sources(data: Path, split: str) -> list[Source]:
    """Return the volumes of a folder, or the rows of one split of a CSV file.

    Args:
        data: A folder, searched without its subfolders, or a file ending in ".csv" with the columns path (relative to
            the CSV file), split ("train", "val" or "test") and, optionally, subject and lesions (a mask, also relative
            to the CSV file).
        split: The split to select from a CSV file.

    Raises:
        InputError: If there is no volume, the CSV file cannot be read, or a row has no file or no known split.
    """
    if data.suffix.lower() == ".csv":
        sources = _rows(data, split)
    else:
        sources = [Source(path, subject_of(path)) for path in find_volumes(data)]
    if not sources:
        row, formats = f'a row with split "{split}"', ", ".join(SUPPORTED_SUFFIXES)
        expected = row if data.suffix.lower() == ".csv" else f"a file in {formats}"
        msg = f"{data} contains no volume; expected {expected}. Specify another folder or CSV file."
        raise InputError(msg)
    return sources


def subject_of(path: Path) -> str:
    """Return the subject of a file from its name alone."""
    found = _SUBJECT.match(path.name)
    return found[0] if found else path.name


def read_checked(path: Path) -> Volume:
    """Read a volume in which every voxel must be a finite number.

    Raises:
        InputError: If it cannot be read, or has a voxel that is not finite.
    """
    volume = read_volume(path)
    wrong = int(volume.array.size - np.count_nonzero(np.isfinite(volume.array)))
    if wrong:
        msg = f"{path.name} contains {wrong} voxels that are NaN or infinite; repair it or omit it."
        raise InputError(msg)
    return volume


def _rows(path: Path, split: str) -> list[Source]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = [name.strip() for name in reader.fieldnames or []]
            rows = [{(key or "").strip(): value for key, value in row.items()} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        msg = (
            f"{path} cannot be read as a CSV file ({reason_of(error)}); expected the columns path, split and perhaps "
            "subject."
        )
        raise InputError(msg) from error
    if not {"path", "split"} <= set(columns):
        msg = f"{path} has the columns {', '.join(columns) or 'none'}; expected path, split and perhaps subject."
        raise InputError(msg)
    sources = [_source(path, number, row, split) for number, row in enumerate(rows, start=2)]
    return [source for source in sources if source is not None]


def _source(table: Path, line: int, row: Mapping[str, str | None], split: str) -> Source | None:
    name, found = ((row.get(key) or "").strip() for key in ("path", "split"))
    if found not in SPLITS:
        msg = f'{table}, line {line}: the split is "{found}"; expected one of {", ".join(SPLITS)}.'
        raise InputError(msg)
    if not name:
        msg = f"{table}, line {line}: there is no path; specify a volume or delete the line."
        raise InputError(msg)
    if found != split:
        return None
    subject, lesions = ((row.get(key) or "").strip() for key in ("subject", "lesions"))
    file, mask = (table.parent / name, table.parent / lesions if lesions else None)
    for needed in (file, mask):
        if needed is None:
            continue
        try:
            refuse_unfetched(needed)
        except InputError as error:
            msg = f"{table}, line {line}: {error}."
            raise InputError(msg) from error
        if not needed.exists():
            msg = f"{table}, line {line}: {needed} does not exist; paths are relative to the CSV file."
            raise InputError(msg)
    return Source(file, subject or subject_of(file), named=bool(subject), lesions=mask)
