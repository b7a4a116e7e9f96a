"""How well the slice profile of a volume is estimated, and what the estimate is worth: a table and its rows.

    python Testing/benchmarks/profile_table.py FOLDER TRAINING

FOLDER holds volumes that neither the estimate nor the network was fitted to; TRAINING those on which the largest
expected error with which an estimate is used was chosen, of which every tenth is taken. Each volume is resampled to
1.2 mm and acquired again by simulation; the whole acquisition is estimated, and a crop of it upsampled without a
profile, with the estimate, trusted or not, and told the truth. The noise is drawn from three levels. A subject whose
rows are in the CSV files already is not computed again.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from profile_samples import SPACING, noisy
from row_files import read_rows, write_rows

from ArSSRLib.acquisition.estimate import LARGEST_ERROR, fitted, profile_of
from ArSSRLib.acquisition.matrices import coarse_shape, gaussian_kernel, kernel_matrix, profile_matrices
from ArSSRLib.acquisition.profile import UNKNOWN, AxisProfile, SliceProfile
from ArSSRLib.acquisition.spectra import axis_features
from ArSSRLib.checkpoint import load_model
from ArSSRLib.checkpoint.bundled import DEFAULT_MODEL
from ArSSRLib.evaluation.markdown import NOTHING, markdown_table
from ArSSRLib.interpolation import apply_matrices
from ArSSRLib.metrics import brain_mask, psnr
from ArSSRLib.model.interface import SuperResolutionModel
from ArSSRLib.resampling import resample_isotropic
from ArSSRLib.training.dataset import load_normalized
from ArSSRLib.training.validation import predict

OUTPUT = Path(__file__).resolve().parents[2] / "Resources" / "Evaluation"
NAME, CHOICE = "slice_profile", "slice_profile_choice"
# Every which volume of the training is taken, and the errors that are compared on them.
EVERY, ERRORS = 10, (0.05, 0.06, 0.07, 0.08, 0.1)
# Estimates that keep more contrast were points when the choice was made; they have been unknown since.
POINTS = 0.9
WIDTHS = (0.5, 0.7, 1.0, 1.3)
PROFILES = (
    AxisProfile("point"),
    *(AxisProfile("gaussian", width) for width in WIDTHS),
    *(AxisProfile("box", width) for width in WIDTHS),
)
NOISE = (0.0, 0.01, 0.02)
# Factors along k, j, i: whole numbers, so that a crop of the fine volume lies on the coarse grid.
SCALES = ((2, 2, 2), (3, 3, 3), (4, 1, 1))
# Edge of the crop that is upsampled, a multiple of every factor; and full width at half maximum of the blur of the
# truths that are smooth, both in fine voxels.
CROP, SMOOTH_WIDTH = 48, 2.0


@dataclass(frozen=True)
class Row:
    """One simulated acquisition.

    Attributes:
        subject: Name of the volume.
        scale: Factors along i, j, k, as "2x2x2".
        kind: Of the true profile.
        width: Its full width at half maximum in coarse voxels.
        smooth: Whether the truth was blurred before.
        noise: Standard deviation as a part of the range.
        kept: Contrast that the true profile keeps at Nyquist.
        estimated: The same of the estimates along the coarsened axes, their mean, whether they are trusted or not; NaN
            if there is none, or if it is impossible.
        expected: The largest of their expected errors.
        unknown: PSNR in dB of the result without a profile, in the brain mask of the crop.
        gain_estimated: PSNR with the estimate over that, in dB; NaN without one.
        gain_told: PSNR with the true profile over that, in dB.
    """

    subject: str
    scale: str
    kind: str
    width: float
    smooth: bool
    noise: float
    kept: float
    estimated: float
    expected: float
    unknown: float
    gain_estimated: float
    gain_told: float

    @property
    def error(self) -> float:
        """Estimated minus true contrast at Nyquist; NaN without an estimate."""
        return self.estimated - self.kept

    def trusted(self, largest: float = LARGEST_ERROR) -> bool:
        """Tell whether the estimate is used if its expected error may be so large."""
        return not np.isnan(self.estimated) and self.expected <= largest


def rows_of(path: Path, model: SuperResolutionModel) -> Iterator[Row]:
    """Yield the rows of a volume."""
    whole = resample_isotropic(load_normalized(path), SPACING).array.astype(np.float32)
    sharp = torch.from_numpy(np.ascontiguousarray(whole[tuple(slice(0, n // 12 * 12) for n in whole.shape)]))
    blur = gaussian_kernel(SMOOTH_WIDTH)
    soft = apply_matrices(sharp, [kernel_matrix(n, blur) for n in sharp.shape])
    cases = [(False, sharp, profile) for profile in PROFILES] + [(True, soft, PROFILES[0])]
    rng = np.random.default_rng([*path.name.encode()])
    for (smooth, truth, profile), scale in itertools.product(cases, SCALES):
        noise = float(rng.choice(NOISE))
        acquired = _acquired(truth, scale, profile)
        scan = noisy(acquired, noise, rng)
        estimate, expected = _estimated(scan, scale)
        kept, guess, gains = _judged(truth.numpy(), scan, scale, _along(profile), estimate, model)
        yield Row(
            subject=path.name,
            scale="x".join(str(s) for s in reversed(scale)),
            kind=profile.kind,
            width=profile.width,
            smooth=smooth,
            noise=noise,
            kept=kept,
            estimated=guess,
            expected=expected,
            unknown=gains[0],
            gain_estimated=gains[1],
            gain_told=gains[2],
        )


def _along(profile: AxisProfile) -> SliceProfile:
    return SliceProfile((profile, profile, profile))


def _estimated(scan: npt.NDArray[np.float32], scale: Sequence[int]) -> tuple[SliceProfile, float]:
    """Return the estimates, however unsure, and the largest expected error along the coarsened axes."""
    features = axis_features(scan, [s * SPACING for s in scale])
    if any(vector is None for vector in features):
        return UNKNOWN, float("inf")
    predicted = [fitted().predicted(vector) for vector in features if vector is not None]
    k, j, i = (profile_of(kept, 0.0) for kept, _ in predicted)
    return SliceProfile((i, j, k)), max(error for (_, error), s in zip(predicted, scale, strict=True) if s > 1)


def _acquired(truth: torch.Tensor, scale: Sequence[int], profile: AxisProfile) -> npt.NDArray[np.float32]:
    coarse = coarse_shape(truth.shape, [float(s) for s in scale])
    acquired: npt.NDArray[np.float32] = apply_matrices(
        truth, profile_matrices(truth.shape, coarse, _along(profile))
    ).numpy()
    return acquired


def _judged(
    truth: npt.NDArray[np.float32],
    scan: npt.NDArray[np.float32],
    scale: Sequence[int],
    profile: SliceProfile,
    estimate: SliceProfile,
    model: SuperResolutionModel,
) -> tuple[float, float, tuple[float, float, float]]:
    """Return true and estimated contrast, and PSNR without a profile with the gains of the estimate and the truth."""
    first = [(n // 2 - CROP // 2) // 12 * 12 for n in truth.shape]
    fine = truth[tuple(slice(f, f + CROP) for f in first)]
    coarse = scan[tuple(slice(f // s, (f + CROP) // s) for f, s in zip(first, scale, strict=True))]
    mask, crop = brain_mask(fine), torch.from_numpy(np.ascontiguousarray(coarse))

    def quality(known: SliceProfile) -> float:
        return psnr(fine, predict(model, crop, fine.shape, torch.device("cpu"), known), mask)

    factors = [float(s) for s in reversed(scale)]
    base, told = quality(UNKNOWN), quality(profile)
    covered = estimate.covers(factors)
    gain = quality(estimate) - base if covered else float("nan")
    guesses = [_kept(axis) for axis, s in zip(estimate.axes, factors, strict=True) if s > 1]
    return _kept(profile.axes[0]), float(np.mean(guesses)) if covered else float("nan"), (base, gain, told - base)


def _kept(axis: AxisProfile | None) -> float:
    return float("nan") if axis is None else axis.transfer()[1]


def _line(rows: Sequence[Row]) -> list[str]:
    """Return the cells of a row of the table."""
    known = [row for row in rows if row.trusted()]
    error, gains = np.abs([row.error for row in known]), [row.gain_estimated for row in known]
    cells = [
        str(len(rows)),
        f"{100 * (1 - len(known) / len(rows)):.0f} %",
        *(f"{np.quantile(error, part):.3f}" if known else NOTHING for part in (0.5, 0.9)),
        f"{np.mean([row.gain_told for row in rows]):+.2f}",
        f"{sum(gains) / len(rows):+.2f}",
    ]
    return [*cells, *(f"{np.quantile(gains, part):+.2f}" if known else NOTHING for part in (0.05, 0.0))]


HEAD = ("cases", "unknown", "error, median", "error, 90 %", "told", "estimated", "lowest 5 %", "worst")
Group = tuple[str, Callable[[Row], bool]]


def _table(first: str, groups: Sequence[Group], rows: Sequence[Row]) -> str:
    chosen = [(name, [row for row in rows if belongs(row)]) for name, belongs in groups]
    return markdown_table((first, *HEAD), [[name, *_line(some)] for name, some in chosen if some])


def _choices(rows: Sequence[Row]) -> str:
    """Return the table by which the largest expected error was chosen, with and without estimates of points."""
    lines = []
    for points, largest in itertools.product((True, False), ERRORS):
        gains = [row.gain_estimated for row in rows if row.trusted(largest) and (points or row.estimated < POINTS)]
        worst = f"{min(gains):+.2f}" if gains else NOTHING
        known = 100 * len(gains) / len(rows)
        cells = ("used" if points else "unknown", f"{largest:g}", f"{100 - known:.0f} %")
        lines.append([*cells, f"{sum(gains) / len(rows):+.3f}", worst])
    return markdown_table(("points", "largest expected error", "unknown", "estimated", "worst"), lines)


def report(rows: Sequence[Row], choice: Sequence[Row], model: str) -> str:
    """Return the page.

    Args:
        rows: Of the volumes to judge by.
        choice: Of the volumes that the largest expected error was chosen on.
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
    by_noise: list[Group] = [(f"{100 * n:g} %", lambda row, n=n: row.noise == n) for n in NOISE]  # type: ignore[misc]
    names = ["x".join(str(s) for s in reversed(scale)) for scale in SCALES]
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
                "- Told, estimated: gain in PSNR in the brain mask, in dB, with the true and with the estimated "
                "profile; mean over all cases.\n"
                "- Lowest 5 %, worst: quantiles of the gain with an estimate, if there is one.",
                _table("profile", [*by_profile, ("all", lambda _: True)], sharp),
                "By noise, as a percentage of the range:",
                _table("noise", by_noise, sharp),
                "By scale along i, j, k:",
                _table("scale", by_scale, sharp),
                f"Point sampling of volumes smoothed by a Gaussian of {SMOOTH_WIDTH:g} voxels before the acquisition:",
                _table("scale", by_scale, [row for row in rows if row.smooth]),
                f"An estimate is used if its expected error is at most {LARGEST_ERROR:g}, and if it is not a point, "
                "because points cannot be distinguished from narrow slices. Both rules were chosen on "
                f"{len({row.subject for row in choice})} training volumes, including smooth ones:",
                _choices(choice),
                "Made by `python Testing/benchmarks/profile_table.py data/val data/train`; every case is in "
                f"[{NAME}.csv]({NAME}.csv) and [{CHOICE}.csv]({CHOICE}.csv).",
            ]
        )
        + "\n"
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Compute the rows of every subject that has none yet, and write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("training", type=Path)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    model, found = load_model(DEFAULT_MODEL).eval(), []
    for name, paths in (
        (CHOICE, sorted(args.training.glob("*.nii.gz"))[::EVERY]),
        (NAME, sorted(args.folder.glob("*.nii.gz"))),
    ):
        table = args.output / f"{name}.csv"
        rows = read_rows(table, Row)
        for path in paths:
            if path.name not in {row.subject for row in rows}:
                rows += rows_of(path, model)
                write_rows(table, rows)
        found.append(rows)
    (args.output / f"{NAME}.md").write_text(report(found[1], found[0], DEFAULT_MODEL), encoding="utf-8")


if __name__ == "__main__":
    main()
