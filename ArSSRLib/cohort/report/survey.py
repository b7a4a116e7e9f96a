"""Which results are in a folder of derivatives, and which scans of its data set have none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ArSSRLib.cohort.dataset import Found
from ArSSRLib.cohort.derivatives import NAME, RAW, RESULTS, bids_sidecar, uncertainty_of
from ArSSRLib.cohort.report.findings import Item

# Said by the title of its page, or by every result.
_UNTOLD = ("sub-", "desc-")


def survey(output: Path, root: Path, found: Found | None, *, chosen: bool = False) -> list[Item]:
    """Return the results of a folder, and the scans without one, by subject and name.

    Args:
        output: Folder of the derivatives.
        root: Of the data set.
        found: Its scans; with None, no scan is missing.
        chosen: Leave out the results of other scans.
    """
    items = list(_results(output, root))
    if found is not None:
        if chosen:
            wanted = {scan.path for scan in found.scans}
            # What cannot be told from its sidecar is shown in any case.
            items = [item for item in items if not item.scan or item.scan in wanted]
        there = {item.scan for item in items}
        missing = [(scan.path, "It has no result yet.", "") for scan in found.scans if scan.path not in there]
        left = [(path, "", f"It {reason}.") for path, reason in found.left.items()]
        items += [_without_result(*facts) for facts in missing + left]
    return sorted(items, key=lambda item: (item.subject, item.scan, item.title))


def _results(output: Path, root: Path) -> Iterator[Item]:
    for path in sorted(output.glob(RESULTS)):
        scan, warnings, problem = _told(path)
        source = root / scan if scan else None
        spread = uncertainty_of(path)
        yield Item(
            *_labels(path.name),
            scan=scan,
            result=path,
            source=source,
            uncertainty=spread if spread.is_file() else None,
            warnings=warnings,
            problem=problem,
        )


def _told(result: Path) -> tuple[str, tuple[str, ...], str]:
    """Return what the sidecar of a result says: its scan, its warnings, and what is wrong with it."""
    try:
        content = json.loads(bids_sidecar(result).read_text(encoding="utf-8"))
        (source,) = content["Sources"]
        scan = PurePosixPath(str(source).removeprefix(f"bids:{RAW}:"))
        warnings = tuple(str(text) for text in content.get(NAME, {}).get("Warnings", []))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "", (), "Its sidecar cannot be read, so that its scan is not known; run the level participant again."
    if scan.is_absolute() or ".." in scan.parts or not str(scan).startswith("sub-"):
        return "", warnings, "Its sidecar names a source outside of the data set; run the level participant again."
    return str(scan), warnings, ""


def _without_result(scan: str, problem: str, left: str) -> Item:
    return Item(*_labels(scan.rpartition("/")[2]), scan=scan, problem=problem, left=left)


def _labels(name: str) -> tuple[str, str, str]:
    """Return title, kind and subject of a file by its name."""
    *entities, suffix = name.removesuffix(".gz").removesuffix(".nii").split("_")
    subject = next((entity.removeprefix("sub-") for entity in entities if entity.startswith("sub-")), "")
    told = [entity for entity in entities if not entity.startswith(_UNTOLD)]
    return ", ".join([suffix, *told]), suffix, subject
