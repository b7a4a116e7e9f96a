"""HTML pages: one per subject and an index, each a single file that loads nothing."""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ArSSRLib import __version__
from ArSSRLib.cohort.report import wording
from ArSSRLib.cohort.report.findings import Finding, Item, find
from ArSSRLib.cohort.report.outliers import FEWEST, FIGURES, outliers_of
from ArSSRLib.errors import OutputError, one_line
from ArSSRLib.leftovers import write_whole

TEMPLATES = Path(__file__).parent / "templates"
INDEX = "index.html"
# Identifies pages of ArSSR, which may be replaced.
GENERATOR = f"ArSSR {__version__}"
_MARK = b'<meta name="generator" content="ArSSR '
# Size limit for the pictures of one page in bytes, for mail and for phones.
PAGE_BYTES = 2_700_000
# Names of the layers for readers.
LAYERS = {
    "scan": "Scan, voxels as acquired",
    "cubic": "Cubic interpolation",
    "result": "Result",
    "difference": "Difference from cubic",
    "uncertainty": "Uncertainty",
}
FINISHED, DOUBTFUL, FAILED, MISSING, LEFT = "finished", "needs attention", "failed", "missing", "left out"
STATES = (FINISHED, DOUBTFUL, FAILED, MISSING, LEFT)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Row:
    """One row of the index.

    Attributes:
        item: The result.
        state: One of `STATES`.
        problems: Its problems.
        figures: Figures by key of `outliers.FIGURES`.
        page: Name of its page; empty if there is nothing to show.
        anchor: Its anchor on that page.
        outliers: Unusual figures, each explained by a sentence.
    """

    item: Item
    state: str
    problems: tuple[str, ...]
    figures: Mapping[str, float]
    page: str = ""
    anchor: str = ""
    outliers: Mapping[str, str] = field(default_factory=dict)


def write_report(items: Sequence[Item], folder: Path, title: str) -> list[Row]:
    """Write a page for each subject, and finally the index; each completely or not at all. Returns one row per item.

    Only one result at a time is in memory.

    Raises:
        OutputError: If a page cannot be written, or would replace a file of another program.
    """
    _refuse_foreign(folder / INDEX)
    rows: list[Row] = []
    for subject, group in groupby(items, key=lambda item: item.subject):
        own = list(group)
        page = f"sub-{subject}.html"
        shown = [item for item in own if item.result is not None]
        findings = [find_safely(item, PAGE_BYTES // len(shown)) for item in shown]
        if findings:
            write_page(findings, folder / page, f"Subject {subject}", index=INDEX)
        rows += [_row(finding, page, number) for number, finding in enumerate(findings)]
        rows += [_row_without(item) for item in own if item.result is None]
    rows = _judged(rows)
    for page, standing in groupby((row for row in rows if row.outliers), key=lambda row: row.page):
        _mark(folder / page, {row.anchor: row.outliers for row in standing})
    write_whole(folder / INDEX, _index(rows, title))
    return rows


def write_page(findings: Sequence[Finding], path: Path, title: str, *, index: str = "") -> None:
    """Write the page of a subject, or of one result; ``index`` is the name of the index, empty if there is none.

    Raises:
        OutputError: If the page cannot be written, or would replace a file of another program.
    """
    _refuse_foreign(path)
    write_whole(path, _rendered("subject.html", "viewer.js", title=title, findings=findings, index=index))


def _mark(path: Path, outliers: Mapping[str, Mapping[str, str]]) -> None:
    """Mark the unusual figures on the page of a subject, by anchor; they are known only after all pages are written."""
    content = path.read_text(encoding="utf-8")
    marks: Any = _environment().get_template("standing.html").module  # its macros are functions
    for anchor, sentences in outliers.items():
        content = content.replace(f"<!--{anchor}-->", marks.badge(anchor, len(sentences)))
        for key, sentence in sentences.items():
            content = content.replace(f"<!--{anchor} {key}-->", marks.note(sentence))
    write_whole(path, content.encode())


def find_safely(item: Item, largest: int) -> Finding:
    """Return the findings about a result; an unexpected error affects this result only, and the others are shown."""
    try:
        return find(item, largest)
    except Exception as error:
        logger.debug("%s failed because of:", item.title, exc_info=True)
        problem = (
            f"It cannot be shown ({type(error).__name__}: {one_line(str(error))}); this is a defect; please report it."
        )
        return Finding(item, (problem,))


def _refuse_foreign(path: Path) -> None:
    """Refuse to replace a file that is not a page of ArSSR."""
    try:
        with path.open("rb") as file:
            start = file.read(1000)
    except FileNotFoundError:
        return
    except OSError as error:
        msg = f"{path}: cannot be replaced ({error.strerror or error}); choose another location for the report."
        raise OutputError(msg) from error
    if _MARK not in start:
        msg = (
            f"{path}: already exists and is not a report of ArSSR; remove it, or choose another location for the "
            "report."
        )
        raise OutputError(msg)


def _row(finding: Finding, page: str, number: int) -> Row:
    state = DOUBTFUL if finding.problems else FINISHED
    return Row(finding.item, state, finding.problems, finding.figures, page, f"result-{number + 1}")


def _row_without(item: Item) -> Row:
    state = LEFT if item.left else FAILED if item.failure else MISSING
    return Row(item, state, (item.left or item.failure or item.problem,), {})


def _judged(rows: Sequence[Row]) -> list[Row]:
    """Return rows with their outliers; results are compared with those of the same kind."""
    judged = list(rows)
    for kind in {row.item.kind for row in rows}:
        same = [n for n, row in enumerate(rows) if row.item.kind == kind and row.figures]
        for n, outliers in zip(same, outliers_of([rows[n].figures for n in same]), strict=True):
            judged[n] = replace(rows[n], outliers=outliers)
    return judged


def _index(rows: Sequence[Row], title: str) -> bytes:
    counts = {state: sum(row.state == state for row in rows) for state in STATES}
    figures = [figure for figure in FIGURES if any(figure.key in row.figures for row in rows)]
    return _rendered("index.html", "sorting.js", title=title, rows=rows, counts=counts, figures=figures, fewest=FEWEST)


def _rendered(template: str, script: str, **content: Any) -> bytes:  # noqa: ANN401 - what a template shows
    """Return a page; all foreign text is escaped, and only the script of ArSSR may run."""
    environment = _environment()
    code = (TEMPLATES / script).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode("ascii")
    environment.globals.update(
        code=code, digest=digest, generator=GENERATOR, figures_by_key={figure.key: figure for figure in FIGURES}
    )
    environment.globals.update(layer_names=LAYERS, wording=wording)
    return environment.get_template(template).render(**content).encode()


def _environment() -> Environment:
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    environment.trim_blocks = environment.lstrip_blocks = True
    return environment


def problems_of(rows: Iterable[Row]) -> list[str]:
    """Return one line for every result with a problem."""
    doubtful = [row for row in rows if row.state not in (FINISHED, LEFT)]
    return [f"{row.item.scan or row.item.title}: {' '.join(row.problems)}" for row in doubtful]
