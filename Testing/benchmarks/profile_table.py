"""Accuracy of the estimated slice profile, and its effect on the result: a table and its rows.

    python Testing/benchmarks/profile_table.py FOLDER TRAINING

FOLDER contains volumes to which neither the estimate nor the network was fitted; TRAINING contains those that show
which width the network's own result indicates (every tenth volume). Each volume is resampled to 1.2 mm, and its
acquisition is simulated with one of three noise levels. The profile is estimated from the whole acquisition, and a crop
is upsampled without a profile, with the estimate, and with the true profile. A subject that has rows in the CSV files
is not computed again.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import torch
from profile_samples import (
    CROP,
    JUDGED_NOISE,
    JUDGED_SCALES,
    PROFILES,
    SMOOTH_WIDTH,
    SPACING,
    NamedAcquisition,
    acquisitions,
    along,
)
from row_files import read_rows, write_rows

from ArSSRLib.acquisition.decision import decide
from ArSSRLib.acquisition.estimate import gaussian_width
from ArSSRLib.acquisition.profile import UNKNOWN, AxisProfile
from ArSSRLib.checkpoint import load_model
from ArSSRLib.checkpoint.bundled import DEFAULT_MODEL
from ArSSRLib.evaluation.markdown import NOTHING, markdown_table
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.metrics import brain_mask, psnr
from ArSSRLib.model.interface import SuperResolutionModel
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.training.validation import predict
from ArSSRLib.upsampling.blind import WIDTHS, BlindEstimate, tried_scale
from ArSSRLib.volume import Volume

OUTPUT = Path(__file__).resolve().parents[2] / "Resources" / "Evaluation"
NAME, CHOICE = "slice_profile", "slice_profile_choice"
# Every n-th training volume is used.
EVERY = 10
# The scale that coarsens one axis alone.
THICK = "1x1x4"


class SubjectRow(Protocol):
    """A row of a table."""

    @property
    def subject(self) -> str:
        """Name of the volume."""


AnyRow = TypeVar("AnyRow", bound=SubjectRow)


@dataclass(frozen=True)
class Row(NamedAcquisition):
    """One simulated acquisition.

    Attributes:
        kept: Contrast that the true profile preserves at Nyquist.
        estimated: The same for the estimates along the coarsened axes, on average; NaN if one of them is unknown.
        tried: Width with which the network's own result reproduces the acquisition, in coarse voxels; 0 for points.
        unknown: PSNR in dB of the result without a profile, in the brain mask of the crop.
        gain_estimated: PSNR with the estimate over that, in dB; NaN without one.
        gain_told: PSNR with the true profile over that, in dB.
    """

    kept: float
    estimated: float
    tried: float
    unknown: float
    gain_estimated: float
    gain_told: float

    @property
    def error(self) -> float:
        """Estimated minus true contrast at Nyquist; NaN without an estimate."""
        return self.estimated - self.kept

    @property
    def known(self) -> bool:
        """Whether there is an estimate."""
        return not np.isnan(self.estimated)

    @property
    def true_width(self) -> float:
        """Width of the Gaussian that preserves the same contrast, in coarse voxels; 0 for points."""
        return gaussian_width(self.kept) if self.kept < 1 else 0.0


def rows_of(path: Path, model: SuperResolutionModel) -> Iterator[Row]:
    """Yield the rows of a volume."""
    blind = BlindEstimate(model, torch.device("cpu"))
    for acquired in acquisitions(path):
        factors = [float(s) for s in reversed(acquired.scale)]
        grid = VolumeGeometry(acquired.scan.shape[::-1], tuple(s * SPACING for s in factors))
        volume = Volume(acquired.scan, grid)
        estimate = decide(volume, UpsamplingOptions(), factors, estimate=blind).profile
        mask, crop = brain_mask(acquired.truth), torch.from_numpy(acquired.coarse)
        base, estimated, told = (
            psnr(acquired.truth, predict(model, crop, acquired.truth.shape, torch.device("cpu"), known), mask)
            for known in (UNKNOWN, estimate, along(acquired.profile))
        )
        covered = estimate.covers(factors)
        guesses = [_kept(axis) for axis, s in zip(estimate.axes, factors, strict=True) if s > 1]
        yield Row(
            **acquired.named(path.name),
            kept=_kept(acquired.profile),
            estimated=float(np.mean(guesses)) if covered else float("nan"),
            tried=blind.tried_width(acquired.scan, tried_scale(grid.spacing)[::-1]) or 0.0,
            unknown=base,
            gain_estimated=estimated - base if covered else float("nan"),
            gain_told=told - base,
        )


def _kept(axis: AxisProfile | None) -> float:
    return float("nan") if axis is None else axis.transfer()[1]


def _line(rows: Sequence[Row]) -> list[str]:
    """Return the cells of a row of the table."""
    known = [row for row in rows if row.known]
    error, gains = np.abs([row.error for row in known]), [row.gain_estimated for row in known]
    cells = [
        str(len(rows)),
        f"{100 * (1 - len(known) / len(rows)):.0f} %",
        *(f"{np.quantile(error, part):.3f}" if known else NOTHING for part in (0.5, 0.9)),
        f"{np.mean([row.gain_told for row in rows]):+.2f}",
        f"{sum(gains) / len(rows):+.2f}",
    ]
    return [*cells, *(f"{np.quantile(gains, part):+.2f}" if known else NOTHING for part in (0.05, 0.0))]


HEAD = ("cases", "unknown", "error, median", "error, 90 %", "given", "estimated", "lowest 5 %", "worst")
Group = tuple[str, Callable[[Row], bool]]


def _table(first: str, groups: Sequence[Group], rows: Sequence[Row]) -> str:
    chosen = [(name, [row for row in rows if belongs(row)]) for name, belongs in groups]
    return markdown_table((first, *HEAD), [[name, *_line(some)] for name, some in chosen if some])


def _indicated(rows: Sequence[Row]) -> str:
    """Return the table of the true widths for each tried width."""
    lines = []
    for tried, indicated in WIDTHS.items():
        cells = ["points" if tried is None else f"{tried:g}"]
        for thick, used in zip((False, True), indicated, strict=True):
            widths = [r.true_width for r in rows if (r.scale == THICK) == thick and r.tried == (tried or 0)]
            spread = " / ".join(f"{np.quantile(widths, part):.2f}" for part in (0.1, 0.5, 0.9)) if widths else NOTHING
            cells += [str(len(widths)), spread, "unknown" if used is None else f"{used:g}"]
        lines.append(cells)
    axes = [f"{text}, {axes}" for axes in ("all axes", "thick axis") for text in ("cases", "true width", "estimate")]
    return markdown_table(("tried", *axes), lines)


def report(rows: Sequence[Row], choice: Sequence[Row], model: str) -> str:
    """Return the page.

    Args:
        rows: Rows of the volumes for the evaluation.
        choice: Rows of training volumes.
        model: Name of the network.
    """
    sharp = [row for row in rows if not row.smooth]
    by_profile: list[Group] = [
        (
            p.kind if p.kind == "point" else f"{p.kind} {p.width:g}",
            lambda row, p=p: (row.kind, row.width) == (p.kind, p.width),  # type: ignore[misc]
        )
        for p in PROFILES
    ]
    by_noise: list[Group] = [(f"{100 * n:g} %", lambda row, n=n: row.noise == n) for n in JUDGED_NOISE]  # type: ignore[misc]
    names = ["x".join(str(s) for s in reversed(scale)) for scale in JUDGED_SCALES]
    by_scale: list[Group] = [(name, lambda row, name=name: row.scale == name) for name in names]  # type: ignore[misc]
    subjects = sorted({row.subject for row in rows})
    return (
        "\n\n".join(
            [
                "# The estimated slice profile",
                f"Simulated acquisitions of {len(subjects)} volumes of {SPACING:g} mm. The profile is estimated from "
                f"the whole acquisition, and a crop of {CROP} voxels is upsampled by {model}.",
                "- Widths are full widths at half maximum, in slice distances.\n"
                "- Unknown: percentage of the cases in which the profile of a coarsened axis is unknown, so that "
                "nothing is corrected.\n"
                "- Error: error of the contrast that the profile preserves at Nyquist (1 is all of it), if known.\n"
                "- Given, estimated: gain in PSNR in the brain mask, in dB, with the true and with the estimated "
                "profile; mean over all cases.\n"
                "- Lowest 5 %, worst: quantiles of the gain with an estimate, if there is one.",
                _table("profile", [*by_profile, ("all", lambda _: True)], sharp),
                "By noise, as a percentage of the range:",
                _table("noise", by_noise, sharp),
                "By scale along i, j, k:",
                _table("scale", by_scale, sharp),
                f"Point sampling of volumes smoothed by a Gaussian of {SMOOTH_WIDTH:g} voxels before the acquisition:",
                _table("scale", by_scale, [row for row in rows if row.smooth]),
                "The network upsamples the center of a volume without a profile. The result is acquired again with "
                "profiles of several widths, and the table shows the true widths (10 % / median / 90 % of the cases) "
                "where each tried width reproduces the volume best, and the estimate that is made, on "
                f"{len({row.subject for row in choice})} training volumes. With 0.7 or more along all axes, "
                "nothing is estimated: volumes that are smooth by nature show the same, and would become worse.",
                _indicated(choice),
                "Made by `python Testing/benchmarks/profile_table.py data/val data/train`; every case is in "
                f"[{NAME}.csv]({NAME}.csv) and [{CHOICE}.csv]({CHOICE}.csv).",
            ]
        )
        + "\n"
    )


def tables(
    argv: Sequence[str] | None,
    description: str | None,
    names: tuple[str, str],
    kind: type[AnyRow],
    rows_of: Callable[[Path, SuperResolutionModel], Iterable[AnyRow]],
) -> tuple[Path, list[AnyRow], list[AnyRow]]:
    """Compute the rows of every subject without rows, and write them.

    Args:
        argv: Arguments of the program; if None, those of the process.
        description: Help text of the program.
        names: Names of the two tables, for the evaluation and for the choice.
        kind: Dataclass of a row, with the name of the volume as ``subject``.
        rows_of: Computes the rows of a volume.

    Returns:
        The folder of the tables, the rows for the evaluation, and those for the choice.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("training", type=Path)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    model = load_model(DEFAULT_MODEL).eval()

    def filled(name: str, paths: Sequence[Path]) -> list[AnyRow]:
        table = args.output / f"{name}.csv"
        rows = read_rows(table, kind)
        for path in paths:
            if path.name not in {row.subject for row in rows}:
                rows += rows_of(path, model)
                write_rows(table, rows)
        return rows

    chosen = filled(names[1], sorted(args.training.glob("*.nii.gz"))[::EVERY])
    return args.output, filled(names[0], sorted(args.folder.glob("*.nii.gz"))), chosen


def main(argv: Sequence[str] | None = None) -> None:
    """Compute the rows of every subject without rows, and write all files."""
    output, rows, choice = tables(argv, __doc__, (NAME, CHOICE), Row, rows_of)
    (output / f"{NAME}.md").write_text(report(rows, choice, DEFAULT_MODEL), encoding="utf-8")


if __name__ == "__main__":
    main()
