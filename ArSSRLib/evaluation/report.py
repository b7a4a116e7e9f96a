"""The report in Markdown: what was compared and how, the tables, and what is not in them."""

from __future__ import annotations

import math
import platform
import sys
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path

from ArSSRLib import __version__
from ArSSRLib.evaluation.cases import REAL
from ArSSRLib.evaluation.degradation import DEGRADATIONS
from ArSSRLib.evaluation.judging import HEADINGS, WHOLE
from ArSSRLib.evaluation.protocol import Protocol, scale_label
from ArSSRLib.evaluation.results import Results, Row
from ArSSRLib.evaluation.runner import Prepared, Problem
from ArSSRLib.evaluation.statistics import FEW_SUBJECTS, LEVEL, paired_difference, summary
from ArSSRLib.evaluation.truth import crop_statement
from ArSSRLib.io.files import replacing

REPORT_NAME = "report.md"
PACKAGES = ("numpy", "scipy", "torch")
NOTHING = "-"


def write_report(results: Results, path: Path, *, command: str, figures: Sequence[Path] = ()) -> None:
    """Write the report.

    Args:
        results: What came out.
        path: The Markdown file.
        command: How it was made.
        figures: Pictures to show, in the folder of ``path`` or below.

    Raises:
        OutputError: If it cannot be written.
    """
    rows = results.rows()
    parts = [
        f"# {results.protocol.title}",
        "For research, not for diagnosis.",
        *_problems(results),
        "## Tables",
        *_tables(rows, results.protocol),
        *_real_tables([row for row in rows if row.degradation == REAL], results.protocol),
        *[f"![{figure.stem}]({figure.relative_to(path.parent).as_posix()})" for figure in figures],
        "## What was compared, and how",
        *_statement(results),
        f"Made by `{command}`.",
    ]
    with replacing(path, ".md") as temporary:
        temporary.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown; a bar in a cell does not end it."""
    lines = [list(head), ["---"] * len(head), *(list(row) for row in rows)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _problems(results: Results) -> list[str]:
    parts = []
    for title, lines in (
        ("Failed, and not in the tables", [_named(problem) for problem in results.failures]),
        ("Not here, and left out", [*results.left_out, *(problem.reason for problem in results.missing)]),
    ):
        if lines:
            parts += [f"**{title}:**", "\n".join(f"- {line}" for line in dict.fromkeys(lines))]
    return parts


def _named(problem: Problem) -> str:
    place = problem.place
    words = [place.subject, place.scale and f"scale {place.scale}", place.degradation, place.method]
    return f"{', '.join(word for word in words if word)}: {problem.reason}"


def _tables(rows: Sequence[Row], protocol: Protocol) -> list[str]:
    """Return the tables over subjects: for each metric and region, and there for each degradation."""
    parts = []
    simulated = [row for row in rows if row.degradation != REAL]
    for metric, region in _measured(simulated):
        heading, direction = HEADINGS.get(metric, (metric, ""))
        parts.append(f"### {heading}, {region}")
        parts.append(f"Mean \N{PLUS-MINUS SIGN} standard deviation over subjects; {direction}.")
        for degradation in protocol.degradations:
            here = [
                row for row in simulated if (row.metric, row.region, row.degradation) == (metric, region, degradation)
            ]
            if here:
                parts += [f"Degradation: {degradation}.", _means(here, protocol), *_differences(here, protocol)]
    return parts


def _measured(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Return the metrics and regions there are, in the order of their first row by metric."""
    order = {name: n for n, name in enumerate(HEADINGS)}
    found = dict.fromkeys((row.metric, row.region) for row in rows)
    # The mask first: it is what the tables of the field are about.
    return sorted(found, key=lambda pair: (order.get(pair[0], len(order)), pair[1] != "mask", pair[1]))


def _means(rows: Sequence[Row], protocol: Protocol) -> str:
    scales = [scale_label(scale) for scale in protocol.scales]
    metric, region = rows[0].metric, rows[0].region
    # The paper's numbers are of whole volumes.
    known = scales if region == WHOLE else []
    # Those that could not run here stand in the table with the paper's numbers alone.
    printed_too = [row.method for row in protocol.published if row.metric == metric]
    names = dict.fromkeys([*(method.name for method in protocol.methods), *printed_too])
    paper = [scale for scale in known if any(_published(protocol, name, metric, scale) for name in names)]
    lines = []
    for name in names:
        numbers = [[row.value for row in rows if (row.method, row.scale) == (name, scale)] for scale in scales]
        printed = [_published(protocol, name, metric, scale) or NOTHING for scale in paper]
        if any(numbers) or any(text != NOTHING for text in printed):
            lines.append([name, *(_mean(metric, values) for values in numbers), *printed])
    head = [f"method, {region}", *map(_times, scales)]
    return markdown_table([*head, *(f"paper, {_times(scale)} (not comparable)" for scale in paper)], lines)


def _times(scale: str) -> str:
    return scale if "x" in scale else f"{scale}x"


def _published(protocol: Protocol, method: str, metric: str, scale: str) -> str:
    for row in protocol.published:
        if (row.method, row.metric) == (method, metric):
            for factor, value in zip(row.scales, row.values, strict=True):
                if scale_label((factor, factor, factor)) == scale:
                    return _number(metric, value)
    return ""


def _mean(metric: str, values: Sequence[float]) -> str:
    found = summary(values)
    if found.count == 0:
        return NOTHING
    spread = "" if math.isnan(found.deviation) else f" \N{PLUS-MINUS SIGN} {_number(metric, found.deviation)}"
    return f"{_number(metric, found.mean)}{spread}"


def _differences(rows: Sequence[Row], protocol: Protocol) -> list[str]:
    reference, metric = protocol.reference_name, rows[0].metric
    scales = [scale_label(scale) for scale in protocol.scales]
    if not any(row.method == reference for row in rows):
        return [f"There is no {reference} here to take differences to."]
    lines, fewest = [], math.inf
    for method in protocol.methods:
        cells = []
        for scale in scales:
            one, two = (
                {row.subject: row.value for row in rows if (row.method, row.scale) == (name, scale)}
                for name in (method.name, reference)
            )
            found = paired_difference(one, two)
            fewest = min(fewest, found.count or math.inf)
            cells.append(_difference(metric, found.mean, (found.low, found.high)))
        if method.name != reference and any(cell != NOTHING for cell in cells):
            lines.append([method.name, *cells])
    if not lines:
        return []
    few = f"; with {fewest:.0f} subjects the interval is narrower than it should be" if fewest < FEW_SUBJECTS else ""
    text = f"Paired difference to {reference}: mean and {LEVEL:.0%} bootstrap confidence interval{few}."
    return [text, markdown_table([f"minus {reference}", *map(_times, scales)], lines)]


def _difference(metric: str, mean: float, interval: tuple[float, float]) -> str:
    if math.isnan(mean):
        return NOTHING
    if math.isnan(interval[0]):
        return _number(metric, mean, sign="+")
    low, high = (_number(metric, bound, sign="+") for bound in interval)
    return f"{_number(metric, mean, sign='+')} [{low}, {high}]"


def _number(metric: str, value: float, sign: str = "") -> str:
    digits = 2 if metric in ("psnr", "consistency") else 4
    return f"{value:{sign}.{digits}f}"


def _real_tables(rows: Sequence[Row], protocol: Protocol) -> list[str]:
    """Return the tables of real thick-slice volumes: a row for each volume, whose scales differ."""
    if not rows:
        return []
    methods = [method.name for method in protocol.methods if any(row.method == method.name for row in rows)]
    parts = [
        "## Real thick slices",
        "Made isotropic; there is no truth. The consistency and back-projection assume the slice profile "
        f'"{protocol.real_profile}".',
    ]
    for metric, region in _measured(rows):
        heading, direction = HEADINGS.get(metric, (metric, ""))
        values = {(row.subject, row.scale, row.method): row.value for row in rows if row.metric == metric}
        lines = [
            [subject, scale, *(_mean(metric, [values.get((subject, scale, name), math.nan)]) for name in methods)]
            for subject, scale in dict.fromkeys((row.subject, row.scale) for row in rows)
        ]
        parts += [
            f"### {heading}, {region}",
            f"{direction.capitalize()}.",
            markdown_table(["volume", "scale", *methods], lines),
        ]
    return parts


def _statement(results: Results) -> list[str]:
    protocol = results.protocol
    truths = [found for found in results.prepared if found.place.degradation != REAL]
    grid = f"resampled to {protocol.spacing:g} mm isotropic without aliasing" if protocol.spacing else "on its own grid"
    lines = []
    if protocol.subjects:
        split = f', split "{protocol.split}"' if protocol.subjects.suffix.lower() == ".csv" else ""
        lines += [
            f"- Data: {len(truths)} subjects of `{protocol.subjects}`{split}. {protocol.data}".rstrip(),
            f"- Truth: each volume {grid}, cropped {crop_statement(protocol)}.",
            "- Mask: voxels above a tenth of the 99th percentile, the largest connected part, holes filled "
            "(`ArSSRLib.metrics.brain_mask`).",
            *(f'- Degradation "{name}": {DEGRADATIONS[name]}.' for name in protocol.degradations),
        ]
    if protocol.real:
        lines.append(f"- Real thick slices: `{protocol.real}`.")
    lines.append(f"- Networks in {protocol.precision}; versions: {_versions()}.")
    parts = ["\n".join(lines), markdown_table(["method", "kind", "SHA-256 of the weights"], _methods(results))]
    if results.prepared:
        parts.append(
            markdown_table(["subject", "voxels", "mm", "SHA-256 of the voxels"], map(_subject, results.prepared))
        )
    return parts


def _versions() -> str:
    found = [f"{name} {metadata.version(name)}" for name in PACKAGES]
    return ", ".join([f"ArSSRLib {__version__}", f"Python {platform.python_version()}", *found, sys.platform])


def _methods(results: Results) -> list[list[str]]:
    lines = []
    for method in results.protocol.methods:
        hashes = results.weights.get(method.name, {})
        one = len(set(hashes.values())) == 1
        told = (
            [next(iter(hashes.values()))] if one else [f"{_times(scale)}: {found}" for scale, found in hashes.items()]
        )
        lines.append([method.name, method.kind, "<br>".join(told) or NOTHING])
    return lines


def _subject(found: Prepared) -> list[str]:
    size = " x ".join(map(str, found.size))
    spacing = " x ".join(f"{s:.4g}" for s in found.spacing)
    return [found.place.subject, size, spacing, found.voxel_hash]
