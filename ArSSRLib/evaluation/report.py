"""The report in Markdown: what was compared and how, the tables, and what is missing."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from ArSSRLib import __version__
from ArSSRLib.evaluation.cases import REAL
from ArSSRLib.evaluation.degradation import DEGRADATIONS
from ArSSRLib.evaluation.ground_truth import crop_statement, lesion_statement
from ArSSRLib.evaluation.markdown import NOTHING, markdown_table, real_tables, simulated_tables, times_of
from ArSSRLib.evaluation.results import Results
from ArSSRLib.evaluation.runner import Prepared, Problem
from ArSSRLib.geometry import times
from ArSSRLib.io.files import replacing

REPORT_NAME = "report.md"
PACKAGES = ("numpy", "scipy", "torch")


def write_report(results: Results, path: Path, *, command: str, figures: Sequence[Path] = ()) -> None:
    """Write the report as Markdown; the figures to include are in the folder of ``path`` or below.

    Raises:
        OutputError: If the report cannot be written.
    """
    rows = results.rows()
    parts = [
        f"# {results.protocol.title}" + (" (synthetic lesions)" if results.protocol.lesions else ""),
        "For research, not for diagnosis.",
        *_problems(results),
        "## Tables",
        *simulated_tables(rows, results.protocol),
        *real_tables([row for row in rows if row.degradation == REAL], results.protocol),
        *[f"![{figure.stem}]({figure.relative_to(path.parent).as_posix()})" for figure in figures],
        "## What was compared, and how",
        *_statement(results),
        f"Made by `{command}`.",
    ]
    with replacing(path, ".md") as temporary:
        temporary.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _problems(results: Results) -> list[str]:
    parts = []
    for title, lines in (
        ("Failed, and not in the tables", [_named(problem) for problem in results.failures]),
        (f'Not available, and left out ("{NOTHING}" in the tables)', results.absent()),
    ):
        if lines:
            parts += [f"**{title}:**", "\n".join(f"- {line}" for line in dict.fromkeys(lines))]
    return parts


def _named(problem: Problem) -> str:
    place = problem.place
    words = [place.subject, place.scale and f"scale {place.scale}", place.degradation, place.method]
    return f"{', '.join(word for word in words if word)}: {problem.reason}"


def _statement(results: Results) -> list[str]:
    protocol = results.protocol
    truths = [found for found in results.prepared if found.place.degradation != REAL]
    grid = f"resampled to {protocol.spacing:g} mm isotropic without aliasing" if protocol.spacing else "on its own grid"
    lines = []
    if protocol.subjects:
        split = f', split "{protocol.split}"' if protocol.subjects.suffix.lower() == ".csv" else ""
        lines += [
            f"- Data: {len(truths)} subjects of `{protocol.subjects}`{split}. {protocol.data}".rstrip(),
            f"- Ground truth: each volume {grid}, cropped {crop_statement(protocol)}.",
            "- Mask: voxels above a tenth of the 99th percentile, the largest connected part, holes filled "
            "(`ArSSRLib.metrics.brain_mask`).",
            *(f'- Degradation "{name}": {DEGRADATIONS[name]}.' for name in protocol.degradations),
        ]
    if any(found.lesions for found in truths):
        lines.append(f"- Lesions: {lesion_statement(protocol)}.")
    if protocol.real:
        lines.append(f"- Real thick slices: `{protocol.real}`.")
    packages = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    versions = f"ArSSRLib {__version__}, Python {platform.python_version()}, {packages}, {sys.platform}"
    lines.append(f"- Networks in {protocol.precision}; versions: {versions}.")
    parts = ["\n".join(lines), markdown_table(["method", "kind", "SHA-256 of the weights"], _methods(results))]
    if results.prepared:
        parts.append(_subjects(results.prepared))
    return parts


def _methods(results: Results) -> list[list[str]]:
    lines = []
    for method in results.protocol.methods:
        hashes = results.weights.get(method.name, {})
        different = [f"{times_of(scale)}: {found}" for scale, found in hashes.items()]
        told = list(set(hashes.values())) if len(set(hashes.values())) == 1 else different
        lines.append([method.name, method.kind, "<br>".join(told) or NOTHING])
    return lines


def _subjects(prepared: Sequence[Prepared]) -> str:
    columns = {
        "subject": [found.place.subject for found in prepared],
        "voxels": [times(found.size) for found in prepared],
        "mm": [times(found.spacing, 4) for found in prepared],
        "SHA-256 of the voxels": [found.voxel_hash for found in prepared],
    }
    if any(found.lesions for found in prepared):
        columns["lesions"] = [str(found.lesions or NOTHING) for found in prepared]
    return markdown_table(list(columns), zip(*columns.values(), strict=True))
