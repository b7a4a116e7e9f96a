"""The scans of a BIDS data set to upsample, and the reasons for leaving others out.

bids2table, which knows the schema of BIDS, finds the files and parses their names.
"""

# mypy: disable-error-code="import-untyped"
from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ArSSRLib.errors import InputError, reason_of
from ArSSRLib.packages import require_package

DESCRIPTION = "dataset_description.json"
SUFFIXES = ("T1w", "T2w", "FLAIR")
EXTENSIONS = (".nii.gz", ".nii")
# Parts of complex images, for which no network was trained.
_EXAMPLE = '{"t1w": {"run": 1}}'
_PARTS = ("phase", "real", "imag")
# Names of entities in filter files, as in pybids and fMRIPrep, and their names in file names.
_LONG_NAMES = {
    "subject": "sub",
    "session": "ses",
    "acquisition": "acq",
    "reconstruction": "rec",
    "ceagent": "ce",
    "direction": "dir",
    "inversion": "inv",
    "extension": "ext",
}
_FILTERED = {"sub", "ses", "acq", "rec", "ce", "dir", "inv", "run", "echo", "part", "mod", "flip", "mt", "proc", "ext"}


@dataclass(frozen=True)
class Scan:
    """One file of a data set.

    Attributes:
        path: Relative to the root of the data set, with forward slashes.
        subject: Label, without "sub-".
        session: Label, without "ses-"; empty without sessions.
        suffix: Suffix, such as "T1w".
    """

    path: str
    subject: str
    session: str
    suffix: str

    @property
    def name(self) -> str:
        """The name of the file without folders and extension."""
        return self.path.rpartition("/")[2].removesuffix(".gz").removesuffix(".nii")


@dataclass(frozen=True)
class Selection:
    """The requested scans.

    Attributes:
        participants: Labels of subjects; all if empty.
        sessions: Labels of sessions; all if empty.
        suffixes: Kinds of scans.
        queries: From a filter file: entities and their allowed values; a scan must match one of the queries. All if
            empty.
    """

    participants: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = SUFFIXES
    queries: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Found:
    """The scans of a data set.

    Attributes:
        scans: Scans to upsample, by path.
        left: Scans that are left out, with the reasons.
        unfetched: Folders whose scans are not available, with the reasons.
        empty: Empty folders of a data set without subdatasets, with the reasons.
    """

    scans: tuple[Scan, ...]
    left: Mapping[str, str] = field(default_factory=dict)
    unfetched: Mapping[str, str] = field(default_factory=dict)
    empty: Mapping[str, str] = field(default_factory=dict)


def read_description(root: Path) -> dict[str, Any]:
    """Return the description of a data set.

    Raises:
        InputError: If the folder is not a BIDS data set.
    """
    from ArSSRLib.io.content import refuse_unfetched  # noqa: PLC0415 - the command line is parsed without it

    path = root / DESCRIPTION
    if not root.is_dir():
        msg = f"{root}: is not a folder; specify the root folder of a BIDS data set."
        raise InputError(msg)
    try:
        refuse_unfetched(path)
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except InputError as error:
        msg = f"{root}: {error}."
        raise InputError(msg) from error
    except FileNotFoundError as error:
        msg = (
            f"{root}: is not a BIDS data set, because it has no {DESCRIPTION}; specify the folder that contains this "
            "file."
        )
        raise InputError(msg) from error
    except (OSError, ValueError) as error:
        msg = f"{path}: cannot be read as JSON ({reason_of(error)}); correct the file."
        raise InputError(msg) from error
    if not isinstance(content, dict) or not isinstance(content.get("BIDSVersion"), str):
        msg = f"{path}: has no entry BIDSVersion, which BIDS requires; correct the file."
        raise InputError(msg)
    return content


def find_scans(root: Path, selection: Selection) -> Found:
    """Return the requested scans of a data set, and those among them that cannot be upsampled.

    Every run, echo, reconstruction (including defaced ones) and acquisition is a separate scan.

    Raises:
        InputError: If it is not a BIDS data set, a participant or a session is missing, or no scan matches.
        DependencyError: If bids2table is not installed.
    """
    require_package("bids2table", "Reading a BIDS data set")
    read_description(root)
    subjects = _subject_folders(root)
    _require(selection.participants, set(subjects), ("participant", "sub-"), root)
    asked = [subjects[label] for label in selection.participants or subjects]
    unfetched, empty = _absent(root, asked, selection.sessions)
    images = _anatomical_images(root, selection.participants) if any(map(Path.is_dir, subjects.values())) else []
    _require(selection.sessions, {image["ses"] for image in images}, ("session", "ses-"), root)
    wanted = [image for image in images if _is_wanted(image, selection)]
    if not wanted:
        why = next((f"; {path} {reason}" for path, reason in unfetched.items()), "; check --suffix and the filters")
        msg = f"{root}: has no scan to upsample with the suffix {' or '.join(selection.suffixes)}{why}."
        raise InputError(msg)
    scans = [Scan(image["path"], image["sub"], image["ses"] or "", image["suffix"]) for image in wanted]
    left = {image["path"]: f"is the {image['part']} of a complex image" for image in wanted if image["part"] in _PARTS}
    left |= _twice(scans)
    kept = sorted((scan for scan in scans if scan.path not in left), key=lambda scan: scan.path)
    return Found(tuple(kept), left, unfetched, empty)


def _subject_folders(root: Path) -> dict[str, Path]:
    """Return the folders of subjects by label, including links to folders that do not exist."""
    entries = (entry for entry in root.iterdir() if entry.is_dir() or entry.is_symlink())
    return {entry.name.removeprefix("sub-"): entry for entry in entries if entry.name.startswith("sub-")}


def _anatomical_images(root: Path, participants: Sequence[str]) -> list[dict[str, Any]]:
    """Return the entities of the anatomical NIfTI files of some subjects, or of all if none is named."""
    from bids2table import index_dataset  # noqa: PLC0415 - an optional package

    subjects = [f"sub-{label}" for label in participants] or None
    rows = index_dataset(root, include_subjects=subjects).to_pylist()
    return [row for row in rows if row["ext"] in EXTENSIONS and row["datatype"] == "anat"]


def _absent(root: Path, folders: Iterable[Path], sessions: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return folders of subjects, sessions and scans whose content was not fetched, and those that are merely empty."""
    unfetched: dict[str, str] = {}
    empty: dict[str, str] = {}
    for folder in sorted(folders):
        path = folder.relative_to(root)
        name = path.as_posix()
        entries = list(folder.iterdir()) if folder.is_dir() else []
        if folder.is_symlink() and not folder.exists():
            unfetched[name] = f"is a link to a folder that does not exist ({os.readlink(folder)}); fetch or mount it"
        elif folder.is_dir() and not entries and any((root / above / ".gitmodules").exists() for above in path.parents):
            unfetched[name] = "is empty, as a subdataset is before it is fetched; fetch it with datalad get"
        elif folder.is_dir() and not entries:
            empty[name] = "is an empty folder"
        deeper = [entry for entry in entries if entry.name.startswith("anat") or _is_session(entry.name, sessions)]
        for found, more in zip((unfetched, empty), _absent(root, deeper, sessions), strict=True):
            found.update(more)
    return unfetched, empty


def _is_session(name: str, wanted: Sequence[str]) -> bool:
    return name.startswith("ses-") and (not wanted or name.removeprefix("ses-") in wanted)


def _require(labels: Iterable[str], there: set[str], kind: tuple[str, str], root: Path) -> None:
    """Refuse labels that are not in the data set."""
    missing = sorted(set(labels) - there)
    if missing:
        name, prefix = kind
        known = ", ".join(sorted(label for label in there if label)[:5])
        advice = f"choose from those that it has, such as {known}" if known else "it has none, so omit the option"
        msg = f"{root}: has no {name} {', '.join(prefix + label for label in missing)}; {advice}."
        raise InputError(msg)


def _twice(scans: Sequence[Scan]) -> dict[str, str]:
    """Return scans whose results would have the same name, such as T1w.nii and T1w.nii.gz in one folder."""
    places: dict[tuple[str, str], list[str]] = {}
    for scan in scans:
        places.setdefault((scan.path.rpartition("/")[0], scan.name), []).append(scan.path)
    reason = "exists in two file formats, whose results would have the same name; remove one of them"
    return {path: reason for paths in places.values() if len(paths) > 1 for path in paths}


def _is_wanted(row: Mapping[str, Any], selection: Selection) -> bool:
    if selection.sessions and row["ses"] not in selection.sessions:
        return False
    queries = selection.queries or ({},)
    return any(
        row["suffix"] in _values(query.get("suffix", list(selection.suffixes)))
        and all(_meets(row, key, value) for key, value in query.items() if key not in ("suffix", "datatype"))
        for query in queries
    )


def _meets(row: Mapping[str, Any], key: str, value: Any) -> bool:  # noqa: ANN401 - whatever JSON can hold
    found = row.get(_LONG_NAMES.get(key, key))
    return any(
        found is None if v is None else str(found) == str(v).lstrip(".") or str(found) == str(v) for v in _values(value)
    )


def _values(value: Any) -> list[Any]:  # noqa: ANN401 - whatever JSON can hold
    return value if isinstance(value, list) else [value]


def read_filter(path: Path) -> tuple[Mapping[str, Any], ...]:
    """Return the queries of a filter file: an object of named queries with entities and values, as for fMRIPrep.

    Raises:
        InputError: If it cannot be read, or has entities that anatomical files lack.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        msg = f"{path}: cannot be read as a filter file ({reason_of(error)}); expected JSON, such as {_EXAMPLE}."
        raise InputError(msg) from error
    queries = list(content.values()) if isinstance(content, dict) else []
    if not queries or not all(isinstance(query, dict) for query in queries):
        msg = f"{path}: contains no queries; expected a JSON object of objects, such as {_EXAMPLE}."
        raise InputError(msg)
    odd = {
        key for query in queries for key in query if _LONG_NAMES.get(key, key) not in _FILTERED | {"suffix", "datatype"}
    }
    if odd:
        msg = (
            f"{path}: {sorted(odd)[0]} is not an entity of an anatomical scan; use the entity names of BIDS, such as "
            "session or run."
        )
        raise InputError(msg)
    return tuple(queries)


def share_of(scans: Sequence[Scan], share: tuple[int, int]) -> list[Scan]:
    """Return the scans of one of several shares; all processes compute the same shares, without a coordinator.

    The sizes of shares differ by at most one scan, so that an array job with as many tasks as scans has one scan per
    task. If scans are added or removed meanwhile, one may be missed; the group level lists it.

    Args:
        scans: All scans, ordered by path.
        share: Number of the share, from 1, and number of shares.
    """
    number, count = share
    return list(scans[number - 1 :: count])


def metadata_of(root: Path, scan: Scan) -> dict[str, Any]:
    """Return the metadata from the sidecars of a scan, including those of higher levels; the nearest one prevails.

    Raises:
        InputError: If one of the sidecars was not fetched.
    """
    from bids2table import load_bids_metadata  # noqa: PLC0415 - an optional package

    from ArSSRLib.io.content import refuse_unfetched  # noqa: PLC0415 - the command line is parsed without it

    said, folder = set(scan.name.split("_")), root / scan.path
    while folder != root:
        folder = folder.parent
        for sidecar in folder.glob("*.json"):
            if set(sidecar.stem.split("_")) <= said:
                refuse_unfetched(sidecar)
    return dict(load_bids_metadata(root / scan.path))
