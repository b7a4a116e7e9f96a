"""The effect of each option of an upsampling, without training: a page of two tables, and their rows.

    python Testing/benchmarks/choices_table.py FOLDER

FOLDER contains volumes that were not used for any fit. Each is resampled to 1.2 mm and cropped, and its acquisition is
simulated. The second table is about synthetic lesions. Rows in the CSV files are not computed again.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from row_files import read_rows, write_rows

from ArSSRLib.checkpoint import DEFAULT_MODEL
from ArSSRLib.evaluation.cases import Case, cases_of
from ArSSRLib.evaluation.degradation import Array
from ArSSRLib.evaluation.ground_truth import GroundTruth, prepare_ground_truth
from ArSSRLib.evaluation.lesions import contrast_recovery
from ArSSRLib.evaluation.markdown import NOTHING, markdown_table
from ArSSRLib.evaluation.methods import apply_method
from ArSSRLib.evaluation.protocol import Protocol
from ArSSRLib.evaluation.protocol_methods import TRUE, Method
from ArSSRLib.geometry import scale_label
from ArSSRLib.io.sources import find_sources
from ArSSRLib.metrics import psnr
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.volume import Volume

OUTPUT = Path(__file__).resolve().parents[2] / "Resources" / "Evaluation"
MODEL = DEFAULT_MODEL
CHOICES_FILE, LESIONS_FILE = "choices", "choices_lesions"
# Spacing in mm, and the edge of the crop in voxels, a multiple of two, three and four.
SPACING, EDGE = 1.2, 96
THICK = (1.0, 1.0, 4.0)
SCALES = ((2.0,) * 3, (3.0,) * 3, (4.0,) * 3, THICK)
LESION_SCALES = ((2.0,) * 3, (4.0,) * 3)
DEGRADATIONS = ("point", "gaussian")
# The fraction by which every other slice is brighter, and the others darker, in the last column.
GAIN = 0.02
UNEVEN = "gaussian, uneven"
# The wrong profile is that of the other acquisition.
WRONG = "wrong"


def _ours(profile: str = TRUE, **options: str) -> Method:
    return Method("", "model", MODEL, profile=profile, options=UpsamplingOptions(**options))  # type: ignore[arg-type]


CHOICES = {
    "profile unknown": _ours("", slice_thickness="unknown"),
    "profile estimated where that is safe": _ours(""),
    "profile given, consistency off": _ours(consistency="off"),
    "profile given": _ours(),
    "profile given, even slices off": _ours(even_slices="off"),
    "profile given, mirror images": _ours(quality="best"),
    "wrong profile given": _ours(WRONG),
    "wrong profile given, consistency off": _ours(WRONG, consistency="off"),
}
CUBIC, BACK = "cubic", "cubic + back-projection"
BASELINES = {CUBIC: Method(CUBIC, "cubic"), BACK: Method(BACK, "back_projection")}
LESION_CHOICES = ("profile unknown", "profile given", "profile given, mirror images")


@dataclass(frozen=True)
class Score:
    """One result.

    Attributes:
        subject: Name of the volume.
        setting: Scale and degradation.
        choice: One of `CHOICES`, or a baseline.
        psnr: In dB, in the mask.
        contrast: Fraction of the lesions' contrast that is preserved; NaN without lesions.
    """

    subject: str
    setting: str
    choice: str
    psnr: float
    contrast: float


def settings_of(truth: GroundTruth, protocol: Protocol) -> Iterator[tuple[str, Case]]:
    """Yield the acquisitions of a truth by name; with one thick axis, also with slices of different brightness."""
    for case in cases_of(truth, protocol):
        label = scale_label(case.scale)
        yield f"{label if 'x' in label else f'{label}x'} {case.degradation}", case
        if case.scale == THICK and case.degradation == "gaussian":
            yield f"{label} {UNEVEN}", replace(case, coarse=uneven(case.coarse))


def uneven(volume: Volume) -> Volume:
    """Return a volume with every other slice brighter, and the others darker."""
    gains = 1 + GAIN * (-1.0) ** np.arange(volume.array.shape[0])
    return volume.with_array((volume.array * gains[:, None, None]).astype(np.float32))


def answer(choice: str, case: Case) -> Array:
    """Return the result of an option or a baseline for a case."""
    method = BASELINES.get(choice) or CHOICES[choice]
    if method.profile == WRONG:
        method = replace(method, profile="gaussian" if case.degradation == "point" else "point")
    return apply_method(method, case, device="cpu", precision="fp32").array


def scores_of(
    truth: GroundTruth, protocol: Protocol, choices: Sequence[str], known: Sequence[Score]
) -> Iterator[Score]:
    """Yield the missing scores of a truth."""
    done = {(score.subject, score.setting, score.choice) for score in known}
    for setting, case in settings_of(truth, protocol):
        for choice in (*BASELINES, *choices):
            if (truth.subject, setting, choice) in done:
                continue
            array = answer(choice, case)
            kept = math.nan if truth.lesions is None else contrast_recovery(truth.volume.array, array, truth.lesions)
            yield Score(truth.subject, setting, choice, psnr(truth.volume.array, array, truth.mask), kept)


def protocol_of(folder: Path, limit: int, *, lesions: bool) -> Protocol:
    """Return the truths, with or without lesions."""
    return Protocol(
        title="Choices",
        output=folder,
        methods=tuple(BASELINES.values()),
        subjects=folder,
        subject_limit=limit,
        scales=LESION_SCALES if lesions else SCALES,  # type: ignore[arg-type]
        degradations=DEGRADATIONS,
        spacing=SPACING,
        crop_size=(EDGE, EDGE, EDGE),
        lesions="synthetic" if lesions else "",
    )


def gain_table(scores: Sequence[Score]) -> str:
    """Return the mean gains over the floor, the better of the baselines of each case, in dB."""
    settings = list(dict.fromkeys(score.setting for score in scores))
    by_case = {(s.subject, s.setting, s.choice): s.psnr for s in scores}
    subjects = list(dict.fromkeys(score.subject for score in scores))
    lines = []
    for choice in CHOICES:
        cells = []
        for setting in settings:
            cases = [[by_case.get((who, setting, name), math.nan) for name in (choice, *BASELINES)] for who in subjects]
            gain = np.mean([found - max(floors) for found, *floors in cases])
            cells.append(NOTHING if np.isnan(gain) else f"{gain:+.2f}")
        lines.append([choice, *cells])
    return markdown_table(["choice", *settings], lines)


def lesion_table(scores: Sequence[Score]) -> str:
    """Return the mean fraction of the lesions' contrast that is preserved."""
    settings = list(dict.fromkeys(score.setting for score in scores))
    lines = []
    for choice in (*BASELINES, *LESION_CHOICES):
        kept = [[s.contrast for s in scores if (s.setting, s.choice) == (setting, choice)] for setting in settings]
        lines.append([choice, *(f"{np.mean(numbers):.2f}" if numbers else NOTHING for numbers in kept)])
    return markdown_table(["method", *settings], lines)


def report(scores: Sequence[Score], lesions: Sequence[Score]) -> str:
    """Return the page."""
    subjects = dict.fromkeys(score.subject for score in scores)
    parts = [
        "# Effect of each option",
        f"The bundled {MODEL} on {', '.join(subjects)}: truths of {SPACING} mm, cropped to the middle {EDGE} voxels "
        "along each axis. Mean PSNR in the mask, in dB over the better of cubic interpolation and back-projection, "
        "which knows the slice profile. Nothing was trained for this.",
        gain_table(scores),
        "- Profile given: the network, and the step that makes its result agree with the scan, receive the slice "
        "profile; without consistency, only the network receives it.\n"
        "- A wrong profile: Gaussian for points, and points for a Gaussian; it is ignored where it contradicts the "
        "volume.\n"
        f"- Uneven: every other slice is {100 * GAIN:g} % brighter, and the others are {100 * GAIN:g} % darker.\n"
        "- Mirror images: the mean of eight predictions.",
    ]
    if lesions:
        parts += [
            "## Lesions",
            "Part of the contrast of synthetic lesions that is kept; 1 is all; mean over the same volumes.",
            lesion_table(lesions),
        ]
    files = " and ".join(f"[{name}.csv]({name}.csv)" for name in (CHOICES_FILE, LESIONS_FILE)[: 1 + bool(lesions)])
    made = f"Made by `python Testing/benchmarks/choices_table.py data/val`; every case is in {files}."
    return "\n\n".join([*parts, made]) + "\n"


def main(argv: Sequence[str] | None = None) -> None:
    """Compute the missing rows, and write all files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=3, help="volumes at most (default: 3)")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    tables = {}
    for name, choices in ((CHOICES_FILE, tuple(CHOICES)), (LESIONS_FILE, LESION_CHOICES)):
        protocol = protocol_of(args.folder, args.limit, lesions=name == LESIONS_FILE)
        path = args.output / f"{name}.csv"
        tables[name] = rows = read_rows(path, Score)
        for source in find_sources(args.folder, "test")[: args.limit]:
            for score in scores_of(prepare_ground_truth(source, protocol), protocol, choices, tuple(rows)):
                rows.append(score)
                write_rows(path, rows)
    page = report(tables[CHOICES_FILE], tables[LESIONS_FILE])
    (args.output / f"{CHOICES_FILE}.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
