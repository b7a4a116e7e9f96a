"""The tables of a report in Markdown: means over subjects, paired differences, and one row per real volume.

The tidy table has all numbers; these tables are for readers and show each difference only once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from ArSSRLib.evaluation.calibration import DECILES, ERROR, UNCERTAINTY, curve
from ArSSRLib.evaluation.cases import REAL
from ArSSRLib.evaluation.protocol import Protocol
from ArSSRLib.evaluation.results import Row
from ArSSRLib.evaluation.scoring import HEADINGS, IN_MASK, WHOLE
from ArSSRLib.evaluation.statistics import FEW_SUBJECTS, LEVEL, paired_difference, summary
from ArSSRLib.geometry import scale_label

NOTHING = "-"


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown; bars in cells are escaped."""
    lines = [list(head), ["---"] * len(head), *(list(row) for row in rows)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def simulated_tables(rows: Sequence[Row], protocol: Protocol) -> list[str]:
    """Return the tables over subjects, for each metric, region and degradation."""
    parts = []
    simulated = [row for row in rows if row.degradation != REAL]
    for metric, region in _measured(simulated):
        heading, direction = HEADINGS.get(metric, (metric, ""))
        parts.append(f"### {heading}, {region}")
        made = " Lesions are synthetic." if protocol.lesions else ""
        parts.append(f"Mean \N{PLUS-MINUS SIGN} standard deviation over subjects; {direction}.{made}")
        for degradation in protocol.degradations:
            wanted = (metric, region, degradation)
            here = [row for row in simulated if (row.metric, row.region, row.degradation) == wanted]
            if here:
                parts += [f"Degradation: {degradation}.", _means(here, protocol), *_feet(here, protocol)]
                # The mask would repeat the numbers of the whole volume, whose table also has the paper's numbers.
                twice = region == WHOLE and any((row.metric, row.region) == (metric, IN_MASK) for row in simulated)
                parts += [] if twice else _differences(here, protocol)
    return [*parts, *_decile_table(simulated)]


def _decile_table(rows: Sequence[Row]) -> list[str]:
    """Return the mean absolute error by deciles of certainty, averaged over subjects."""
    by_setting: dict[tuple[str, str, str], list[tuple[str, str, float]]] = {}
    for row in rows:
        if row.metric in (UNCERTAINTY, ERROR):
            values = by_setting.setdefault((row.method, row.scale, row.degradation), [])
            values.append((row.metric, row.region, row.value))
    if not by_setting:
        return []
    lines = []
    for (method, scale, degradation), values in by_setting.items():
        where = f"{method}, {times_of(scale)} {degradation}"
        for name, numbers in zip(("uncertainty", "absolute error"), zip(*curve(values), strict=True), strict=True):
            lines.append([where, name, *(NOTHING if math.isnan(x) else f"{x:.2f}" for x in numbers)])
    text = (
        "Mean of the uncertainty and of the absolute error over the tenths of the voxels in the mask, from the most "
        "certain to the least, in percent of the truth's range."
    )
    head = ["method", "mean of", *(str(count + 1) for count in range(DECILES))]
    return ["### Error by deciles of uncertainty, mask", text, markdown_table(head, lines)]


def _measured(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Return the metrics and regions in the results, ordered by the first row of each metric."""
    order = {name: n for n, name in enumerate(HEADINGS)}
    found = dict.fromkeys((row.metric, row.region) for row in rows if row.metric not in (UNCERTAINTY, ERROR))
    # The mask first, because it is the usual region in the field.
    return sorted(found, key=lambda pair: (order.get(pair[0], len(order)), pair[1] != "mask", pair[1]))


def marks_of(protocol: Protocol) -> dict[str, str]:
    """Return the methods with notes as they appear in tables, such as "SRCNN3D (a)"; equal notes share a letter."""
    notes = dict.fromkeys(method.note for method in protocol.methods if method.note)
    letters = {note: chr(ord("a") + n) for n, note in enumerate(notes)}
    return {method.name: f"{method.name} ({letters[method.note]})" for method in protocol.methods if method.note}


def _feet(rows: Sequence[Row], protocol: Protocol) -> list[str]:
    """Return the text below a table: the notes of its methods, and the meaning of empty cells."""
    marks, names = marks_of(protocol), {row.method for row in rows}
    noted = [method for method in protocol.methods if method.note and method.name in names]
    lines = dict.fromkeys(f"{marks[m.name].removeprefix(m.name).strip()} {m.note}" for m in noted)
    if any(math.isnan(row.value) for row in rows):
        lines[f'"{NOTHING}" in a cell that was computed: the metric is not a number there.'] = None
    return ["<br>".join(lines)] if lines else []


def _means(rows: Sequence[Row], protocol: Protocol) -> str:
    scales = list(map(scale_label, protocol.scales))
    metric, region = rows[0].metric, rows[0].region
    marks = marks_of(protocol)
    printed = _published(protocol, metric) if region == WHOLE else {}  # the paper's numbers are for whole volumes
    paper = [scale for scale in scales if scale in {printed_scale for _, printed_scale in printed}]
    # Methods that could not run here appear in the table with the paper's numbers only.
    names = dict.fromkeys([*(method.name for method in protocol.methods), *(name for name, _ in printed)])
    lines = []
    for name in names:
        numbers = [[row.value for row in _rows_of(rows, name, scale)] for scale in scales]
        cited = [printed.get((name, scale), NOTHING) for scale in paper]
        if any(numbers) or set(cited) - {NOTHING}:
            lines.append([marks.get(name, name), *(_mean(metric, values) for values in numbers), *cited])
    head = [f"method, {region}", *map(times_of, scales)]
    return markdown_table([*head, *(f"paper, {times_of(scale)} (not comparable)" for scale in paper)], lines)


def times_of(scale: str) -> str:
    """Return the label of a scale as a heading: "2x" or "1x1x3"."""
    return scale if "x" in scale else f"{scale}x"


def _rows_of(rows: Sequence[Row], method: str, scale: str) -> list[Row]:
    return [row for row in rows if (row.method, row.scale) == (method, scale)]


def _published(protocol: Protocol, metric: str) -> dict[tuple[str, str], str]:
    """Return the paper's numbers by method and scale; the first one counts."""
    numbers: dict[tuple[str, str], str] = {}
    for row in protocol.published:
        for factor, value in zip(row.scales, row.values, strict=True):
            if row.metric == metric:
                numbers.setdefault((row.method, scale_label((factor,))), _number(metric, value))
    return numbers


def _mean(metric: str, values: Sequence[float]) -> str:
    found = summary(values)
    if found.count == 0:
        return NOTHING
    spread = "" if math.isnan(found.deviation) else f" \N{PLUS-MINUS SIGN} {_number(metric, found.deviation)}"
    return f"{_number(metric, found.mean)}{spread}"


def _differences(rows: Sequence[Row], protocol: Protocol) -> list[str]:
    reference, metric = protocol.reference_name, rows[0].metric
    marks = marks_of(protocol)
    scales = list(map(scale_label, protocol.scales))
    if not any(row.method == reference for row in rows):
        return [f"There are no results of {reference} for paired differences."]
    lines, fewest = [], math.inf
    for method in protocol.methods:
        cells = []
        for scale in scales:
            one, two = (
                {row.subject: row.value for row in _rows_of(rows, name, scale)} for name in (method.name, reference)
            )
            found = paired_difference(one, two)
            fewest = min(fewest, found.count or math.inf)
            cells.append(_difference(metric, found.mean, (found.low, found.high)))
        if method.name != reference and any(cell != NOTHING for cell in cells):
            lines.append([marks.get(method.name, method.name), *cells])
    if not lines:
        return []
    text = f"Paired difference to {reference}: mean and {LEVEL:.0%} bootstrap confidence interval."
    if fewest <= 1:
        text = f"Paired difference to {reference}; a single subject has no confidence interval."
    elif fewest < FEW_SUBJECTS:
        text = f"{text[:-1]}; with {fewest:.0f} subjects, the interval is narrower than it should be."
    return [text, markdown_table([f"minus {reference}", *map(times_of, scales)], lines)]


def _difference(metric: str, mean: float, interval: tuple[float, float]) -> str:
    if math.isnan(mean):
        return NOTHING
    if math.isnan(interval[0]):
        return _number(metric, mean, sign="+")
    low, high = (_number(metric, bound, sign="+") for bound in interval)
    return f"{_number(metric, mean, sign='+')} [{low}, {high}]"


def _number(metric: str, value: float, sign: str = "") -> str:
    digits = {"psnr": 2, "consistency": 2, "processor_seconds": 1}.get(metric, 4)
    return f"{value:{sign}.{digits}f}"


def real_tables(rows: Sequence[Row], protocol: Protocol) -> list[str]:
    """Return the tables of real thick-slice volumes, with one row per volume, because their scales differ."""
    if not rows:
        return []
    methods = [method.name for method in protocol.methods if any(row.method == method.name for row in rows)]
    marks = marks_of(protocol)
    parts = [
        "## Real thick slices",
        "Made isotropic; there is no truth. The consistency and back-projection assume the slice profile "
        f'"{protocol.real_profile}".',
    ]
    for metric, region in _measured(rows):
        heading, direction = HEADINGS.get(metric, (metric, ""))
        here = [row for row in rows if (row.metric, row.region) == (metric, region)]
        values = {(row.subject, row.scale, row.method): row.value for row in here}
        lines = [
            [subject, scale, *(_mean(metric, [values.get((subject, scale, name), math.nan)]) for name in methods)]
            for subject, scale in dict.fromkeys((row.subject, row.scale) for row in rows)
        ]
        parts += [
            f"### {heading}, {region}",
            f"{direction.capitalize()}.",
            markdown_table(["volume", "scale", *(marks.get(name, name) for name in methods)], lines),
            *_feet(here, protocol),
        ]
    return parts
