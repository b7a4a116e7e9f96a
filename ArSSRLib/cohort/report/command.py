"""The action of ``arssr report``, also used for ``arssr bids ... group``."""

from __future__ import annotations

import argparse
import json
import logging
from collections import Counter
from pathlib import Path

from ArSSRLib.cohort.dataset import DESCRIPTION, SUFFIXES, Found, Selection, find_scans, read_description
from ArSSRLib.cohort.derivatives import source_of
from ArSSRLib.cohort.report.findings import Item
from ArSSRLib.cohort.report.survey import survey
from ArSSRLib.errors import InputError, OutputError, printable
from ArSSRLib.io import is_dicom
from ArSSRLib.packages import require_package

DONE, SOME_FAILED = 0, 1

logger = logging.getLogger(__name__)


def run(args: argparse.Namespace) -> int:
    """Write the report on a folder of results, or on a single result.

    Returns:
        0, or 1 if a result is missing or has a problem, which the report describes.

    Raises:
        ArSSRError: If there is no result, or the report cannot be written.
    """
    require_packages()
    results = Path(args.results)
    if not results.is_dir() or _is_series(results):
        return _report_one(results, args)
    if args.source or args.series or args.uncertainty:
        msg = (
            f"{results}: is a results folder, which records its own sources; omit --source, --series and --uncertainty."
        )
        raise InputError(msg)
    root = source_of(results)
    items = survey(results, root, _scans_of(root))
    if not any(item.result for item in items):
        msg = (
            f"{results}: contains no results of arssr bids; run the participant level first, or specify another folder."
        )
        raise InputError(msg)
    return report(items, results, Path(args.output) if args.output else results)


def _is_series(folder: Path) -> bool:
    """Return whether a folder is a result of ``arssr upsample`` as a DICOM series."""
    if (folder / DESCRIPTION).exists():
        return False
    try:
        return any(is_dicom(path) for path in folder.iterdir() if path.is_file())
    except OSError:
        return False


def require_packages() -> None:
    """Refuse to start without the packages for the pages."""
    for name in ("Jinja2", "Pillow", "matplotlib"):
        require_package(name, "The report")


def _scans_of(root: Path) -> Found | None:
    """Return the scans of the data set, or None if it cannot be read, for example if only results were copied."""
    try:
        return find_scans(root, Selection(suffixes=SUFFIXES))
    except InputError as error:
        logger.warning("Scans without a result are not listed in the report: %s", error)
        return None


def report(items: list[Item], results: Path, folder: Path) -> int:
    """Write a page per subject and the index into a folder, and log every problem.

    Returns:
        0, or 1 if a result is missing or has a problem.

    Raises:
        OutputError: If a page cannot be written.
    """
    from ArSSRLib.cohort.report.pages import FINISHED, INDEX, LEFT, problems_of, write_report  # noqa: PLC0415

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{folder}: cannot be created ({error.strerror or error}); choose another location for the report."
        raise OutputError(msg) from error
    rows = write_report(items, folder, str(read_description(results).get("Name", "Results")))
    for line in problems_of(rows):
        print(printable(line))
    states = Counter(row.state for row in rows)
    print(json.dumps({"report": str(folder / INDEX), **dict(sorted(states.items()))}))
    return DONE if set(states) <= {FINISHED, LEFT} else SOME_FAILED


def _report_one(result: Path, args: argparse.Namespace) -> int:
    """Write the page of one result, without its file name, which may contain names of people."""
    from ArSSRLib.cohort.report.pages import PAGE_BYTES, find_safely, write_page  # noqa: PLC0415

    if not result.exists():
        msg = f"{result}: does not exist; specify a results folder of arssr bids, or a single result."
        raise InputError(msg)
    page = Path(args.output) if args.output else result.with_name(f"{result.name.split('.')[0]}.html")
    source, uncertainty = (Path(path) if path else None for path in (args.source, args.uncertainty))
    item = Item("Result", "", result=result, source=source, uncertainty=uncertainty, series=args.series)
    finding = find_safely(item, PAGE_BYTES)
    write_page([finding], page, "Upsampled volume")
    for problem in finding.problems:
        print(printable(f"{result}: {problem}"))
    print(json.dumps({"report": str(page)}))
    return SOME_FAILED if finding.problems else DONE
