"""The results in a folder of derivatives, and the scans of its data set without a result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from ArSSRLib.cohort.dataset import Found
from ArSSRLib.cohort.derivatives import RESULTS, read_sidecar, uncertainty_of
from ArSSRLib.cohort.failures import reasons_of
from ArSSRLib.cohort.report.findings import Item

# Redundant: stated by the title of the page, or by every result.
_UNTOLD = ("sub-", "desc-")


def survey(output: Path, root: Path, found: Found | None, *, chosen: bool = False) -> list[Item]:
    """Return the results of a folder and the scans without a result, by subject and name.

    With ``found`` None, no scan counts as missing; with ``chosen``, the results of other scans are left out.
    """
    reasons = reasons_of(output)
    known = {scan.path for scan in found.scans} if found else set(reasons)
    failures = {path: why for path, why in reasons.items() if path in known}
    items = list(_results(output, root, failures))
    if found and chosen:
        # Results with unreadable sidecars are always shown.
        items = [item for item in items if not item.scan or item.scan in known]
    there = {item.scan for item in items}
    items += [_without_result(path, failure=why) for path, why in failures.items() if path not in there]
    if found:
        items += _untried(found, there | set(failures))
    return sorted(items, key=lambda item: (item.subject, item.scan, item.title))


def _results(output: Path, root: Path, failures: Mapping[str, str]) -> Iterator[Item]:
    for path in sorted(output.glob(RESULTS)):
        scan, warnings, problem = read_sidecar(path)
        spread = uncertainty_of(path)
        failure = f"It was not computed again: {failures[scan]}" if scan in failures else ""
        yield Item(
            *_labels(path.name),
            scan=scan,
            result=path,
            source=root / scan if scan else None,
            uncertainty=spread if spread.is_file() else None,
            warnings=warnings,
            problem=problem or failure,
        )


def _untried(found: Found, tried: set[str]) -> Iterator[Item]:
    """Yield the scans that have neither a result nor a failure, and those that are left out."""
    for scan in found.scans:
        if scan.path not in tried:
            yield _without_result(scan.path, problem="It has no result yet.")
    for path, reason in found.left.items():
        yield _without_result(path, left=f"It {reason}.")


def _without_result(scan: str, *, problem: str = "", failure: str = "", left: str = "") -> Item:
    return Item(*_labels(scan.rpartition("/")[2]), scan=scan, problem=problem, failure=failure, left=left)


def _labels(name: str) -> tuple[str, str, str]:
    """Return the title, kind and subject of a file from its name."""
    *entities, suffix = name.removesuffix(".gz").removesuffix(".nii").split("_")
    subject = next((entity.removeprefix("sub-") for entity in entities if entity.startswith("sub-")), "")
    told = [entity for entity in entities if not entity.startswith(_UNTOLD)]
    return ", ".join([suffix, *told]), suffix, subject
