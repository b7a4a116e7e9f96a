"""The effect of removing brightness differences between slices: a page of two tables, and their rows.

    python Testing/benchmarks/slice_gains_table.py FOLDER [THICK ...]

FOLDER contains volumes that were not used for any fit. Each is resampled to 1.2 mm, its acquisition in slices of 4.8 mm
is simulated, and the slices are multiplied by known gains. THICK are real thick-slice volumes, in whose results the
slices are more or less visible. Rows in the CSV files are not computed again.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from profile_samples import SPACING, noisy
from row_files import read_rows, write_rows

from ArSSRLib.acquisition.matrices import coarse_shape, profile_matrices
from ArSSRLib.acquisition.profile import UNKNOWN, AxisProfile, SliceProfile
from ArSSRLib.acquisition.ripple import slice_ripple
from ArSSRLib.acquisition.slice_gains import SLOWEST_PERIOD, SliceGains, estimate_slice_gains
from ArSSRLib.checkpoint import load_model
from ArSSRLib.checkpoint.bundled import DEFAULT_MODEL
from ArSSRLib.evaluation.markdown import NOTHING, markdown_table
from ArSSRLib.geometry import scale_for_isotropic
from ArSSRLib.interpolation import apply_matrices, cubic_upsample
from ArSSRLib.io import read_volume
from ArSSRLib.metrics import brain_mask, psnr
from ArSSRLib.model.interface import SuperResolutionModel
from ArSSRLib.normalization import IntensityRange
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.resampling import resample_isotropic
from ArSSRLib.training.dataset import load_normalized
from ArSSRLib.training.validation import predict
from ArSSRLib.upsampling import carry_out, plan_upsampling
from ArSSRLib.volume import Volume

OUTPUT = Path(__file__).resolve().parents[2] / "Resources" / "Evaluation"
SIMULATED, REAL = "slice_gains", "slice_gains_real"
FACTOR, NOISE = 4, 0.01
PROFILE = AxisProfile("gaussian", 1.0)
GAINS = ("interleaved 2 %", "random 1 %", "none")
# Edge of the crop that is upsampled, in fine voxels.
CROP = 96
# Slices with anatomy: fraction of the median slice brightness of a volume, and of the range.
LEAST_TISSUE = 0.15

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Simulated:
    """One acquisition with known gains.

    Attributes:
        subject: Name of the volume.
        gains: One of `GAINS`.
        found: Whether gains were detected.
        before: Root mean square of the true gains over the slices with anatomy, without slow changes, in percent.
        after: The same for the remaining gains.
        unknown_off: PSNR in dB in the mask of the crop, for the network without the slice profile, on the scan.
        unknown_on: The same with even slices.
        told_off: PSNR for the network with the profile, whose result agrees with the scan.
        told_on: The same with even slices.
    """

    subject: str
    gains: str
    found: bool
    before: float
    after: float
    unknown_off: float
    unknown_on: float
    told_off: float
    told_on: float


@dataclass(frozen=True)
class Real:
    """One real volume.

    Attributes:
        subject: Name of the volume.
        spacing: Slice distance, in mm.
        rms: Root mean square of the detected gains, in percent; 0 if there are none.
        cubic: Ripple at the slice distance after cubic interpolation.
        off: The same with the network, without the correction.
        on: The same with the correction.
    """

    subject: str
    spacing: float
    rms: float
    cubic: float
    off: float
    on: float


def simulated_rows(path: Path, model: SuperResolutionModel) -> Iterator[Simulated]:
    """Yield the rows of a volume."""
    whole = resample_isotropic(load_normalized(path), SPACING).array.astype(np.float32)
    truth = np.ascontiguousarray(whole[: len(whole) // FACTOR * FACTOR])
    coarse = coarse_shape(truth.shape, (float(FACTOR), 1.0, 1.0))
    along = SliceProfile((PROFILE,) * 3)
    acquired: Array = apply_matrices(torch.from_numpy(truth), profile_matrices(truth.shape, coarse, along)).numpy()
    rng = np.random.default_rng([*path.name.encode()])
    for gains in GAINS:
        true = _gains(gains, len(acquired), rng)
        scan = noisy((acquired * true[:, None, None]).astype(np.float32), NOISE, rng)
        intensities = IntensityRange.of(scan)
        found = estimate_slice_gains(scan, 0, intensities)
        even = scan if found is None else found.removed_from(scan, intensities.floor).astype(np.float32)
        scores = [_quality(truth, array, model, profile) for profile in (UNKNOWN, along) for array in (scan, even)]
        before, after = (_left(g, true, scan) for g in (None, found))
        yield Simulated(path.name, gains, found is not None, before, after, *scores)


def _gains(name: str, count: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    if name == "none":
        return np.ones(count)
    return np.asarray(
        1 + (0.02 * (-1.0) ** np.arange(count) if "interleaved" in name else 0.01 * rng.normal(size=count))
    )


def _left(found: SliceGains | None, true: npt.NDArray[np.float64], scan: Array) -> float:
    """Return the root mean square of the remaining gains in slices with anatomy, in percent.

    Slow changes do not count: they cannot be distinguished from anatomy or coil profiles, and are preserved.
    """
    factors = np.ones(len(true)) if found is None else np.array(found.factors)
    tissue = (scan > 0.2 * np.percentile(scan, 99)).sum((1, 2))
    inside = tissue > LEAST_TISSUE * tissue.max()
    n = np.arange(len(true))
    slow = np.cos(np.pi * np.arange(int(2 * len(n) / SLOWEST_PERIOD) + 1) * (n[:, None] + 0.5) / len(n))[inside]
    left = np.log(true / factors)[inside]
    return 100 * float(np.sqrt(np.mean((left - slow @ np.linalg.lstsq(slow, left, rcond=None)[0]) ** 2)))


def _quality(truth: Array, scan: Array, model: SuperResolutionModel, profile: SliceProfile) -> float:
    """Return the PSNR in dB, in the brain mask, of the center of a volume."""
    first = [max(0, n // 2 - CROP // 2) // FACTOR * FACTOR for n in truth.shape]
    fine = truth[tuple(slice(f, f + CROP) for f in first)]
    depth = slice(first[0] // FACTOR, (first[0] + len(fine)) // FACTOR)
    crop = torch.from_numpy(np.ascontiguousarray(scan[(depth, *(slice(f, f + CROP) for f in first[1:]))]))
    return psnr(fine, predict(model, crop, fine.shape, torch.device("cpu"), profile), brain_mask(fine))


def real_row(path: Path, model: SuperResolutionModel) -> Real:
    """Return the row of a real volume."""
    volume = read_volume(path)
    thick = int(np.argmax(volume.geometry.spacing))
    scale = scale_for_isotropic(volume.geometry)
    on, rms = _result(volume, model, scale, "auto")
    # Without gains, both are identical, as a test verifies.
    off, _ = _result(volume, model, scale, "off") if rms else (on, rms)
    cubic = cubic_upsample(torch.from_numpy(volume.array.astype(np.float32)), off.array.shape).numpy()
    period = volume.geometry.spacing[thick] / off.geometry.spacing[thick]
    ripples = [slice_ripple(array, 2 - thick, period) for array in (cubic, off.array, on.array)]
    return Real(path.name, volume.geometry.spacing[thick], rms, *ripples)


def _result(
    volume: Volume, model: SuperResolutionModel, scale: Sequence[float], even_slices: str
) -> tuple[Volume, float]:
    """Return the result of a network for a volume, and the root mean square of the gains in percent."""
    plan = plan_upsampling(volume, model, scale, UpsamplingOptions(device="cpu", even_slices=even_slices))
    outcome = carry_out(plan, volume, model)
    return outcome.volume, 0.0 if outcome.gains is None else outcome.gains.summary().rms


def report(simulated: Sequence[Simulated], real: Sequence[Real]) -> str:
    """Return the page."""
    head = ("gains", "cases", "found", "gains, RMS %", "left, RMS %")
    scores = ("unknown, off", "unknown, even", "lowest", "given, off", "given, even", "lowest")
    groups = [[row for row in simulated if row.gains == gains] for gains in GAINS]
    return (
        "\n\n".join(
            [
                "# Brightness differences between slices",
                f"Simulated acquisitions of {len({row.subject for row in simulated})} volumes: slices of "
                f"{FACTOR * SPACING:g} mm, Gaussian profile of that width, noise of {100 * NOISE:g} % of the range, "
                f"known gains; a crop of {CROP} voxels is upsampled by {DEFAULT_MODEL}.",
                "- Left: gains that remain after the correction, without changes over more than "
                f"{SLOWEST_PERIOD:g} slices, which are never removed.\n"
                "- Off, even: mean PSNR in dB in the brain mask, without and with the correction.\n"
                "- Unknown, given: without the slice profile, and with the profile and agreement with the scan.\n"
                "- Lowest: lowest gain in PSNR by the correction.",
                markdown_table((*head, *scores), [_line(rows) for rows in groups if rows]),
                f"Real volumes, made isotropic by {DEFAULT_MODEL}: ripple at the slice distance. Smaller is better. If "
                "no gains are found, both results are the same.",
                markdown_table(
                    ("volume", "mm", "gains, RMS %", "cubic", "off", "even"),
                    [
                        [
                            row.subject.removesuffix(".nii.gz"),
                            f"{row.spacing:g}",
                            f"{row.rms:.2f}" if row.rms else NOTHING,
                            *(f"{x:.3f}" for x in (row.cubic, row.off, row.on)),
                        ]
                        for row in real
                    ],
                ),
                "Made by `python Testing/benchmarks/slice_gains_table.py data/val data/thick_slice/*`; every case is "
                f"in [{SIMULATED}.csv]({SIMULATED}.csv) and [{REAL}.csv]({REAL}.csv).",
            ]
        )
        + "\n"
    )


def _line(rows: Sequence[Simulated]) -> list[str]:
    """Return the cells of a row of the first table."""
    unknown = [row.unknown_on - row.unknown_off for row in rows]
    told = [row.told_on - row.told_off for row in rows]
    return [
        rows[0].gains,
        str(len(rows)),
        str(sum(row.found for row in rows)),
        *(f"{np.mean(x):.2f}" for x in ([row.before for row in rows], [row.after for row in rows])),
        *(f"{np.mean(x):.2f}" for x in ([row.unknown_off for row in rows], [row.unknown_on for row in rows])),
        f"{min(unknown):+.2f}",
        *(f"{np.mean(x):.2f}" for x in ([row.told_off for row in rows], [row.told_on for row in rows])),
        f"{min(told):+.2f}",
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Compute the missing rows, and write all files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("thick", type=Path, nargs="*")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    tables = [args.output / f"{name}.csv" for name in (SIMULATED, REAL)]
    simulated, real = read_rows(tables[0], Simulated), read_rows(tables[1], Real)
    model = load_model(DEFAULT_MODEL).eval()
    with torch.inference_mode():
        for path in sorted(args.folder.glob("*.nii.gz")):
            if path.name not in {row.subject for row in simulated}:
                simulated += simulated_rows(path, model)
                write_rows(tables[0], simulated)
    for path in args.thick:
        if path.name not in {row.subject for row in real}:
            real.append(real_row(path, model))
            write_rows(tables[1], real)
    (args.output / f"{SIMULATED}.md").write_text(report(simulated, real), encoding="utf-8")


if __name__ == "__main__":
    main()
