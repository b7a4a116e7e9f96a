"""What a stated slice thickness costs if it is wrong, and how often the volume contradicts it: a table and its rows.

    python Testing/benchmarks/stated_table.py FOLDER TRAINING

FOLDER contains volumes that neither the estimate nor the network was fitted to; TRAINING contains the volumes on which
the criterion was chosen. The acquisitions are those of `profile_table`. Each is upsampled without a profile, and then
made to agree with the scan as if Gaussian slices of several thicknesses were stated. A subject that has rows in the CSV
files is not computed again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from profile_samples import PROFILES, SMOOTH_WIDTH, SPACING, Acquired, NamedAcquisition, acquisitions, along
from profile_table import tables

from ArSSRLib.acquisition.consistency import Agreement
from ArSSRLib.acquisition.estimate import EXCESS, predicted_axes
from ArSSRLib.acquisition.profile import AxisProfile
from ArSSRLib.checkpoint.bundled import DEFAULT_MODEL
from ArSSRLib.evaluation.markdown import markdown_table
from ArSSRLib.metrics import brain_mask, psnr
from ArSSRLib.model.interface import UNTRAINED_STRENGTH, SuperResolutionModel
from ArSSRLib.normalization import IntensityRange
from ArSSRLib.training.validation import predict

NAME, CHOICE = "stated_profile", "stated_profile_choice"
# Stated thicknesses in distances of slices, and criteria that are compared.
STATED = tuple(AxisProfile("gaussian", width) for width in (0.5, 0.7, 1.0, 1.3))
EXCESSES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3)
# Gain in dB below which a stated thickness is harmful.
HARM = -0.5


@dataclass(frozen=True)
class Row(NamedAcquisition):
    """One simulated acquisition and one stated thickness.

    Attributes:
        stated: Full width at half maximum of the stated Gaussian in coarse voxels.
        excess: Difference of the predicted contrast at Nyquist to that of the stated profile, minus the expected error;
            the largest of the coarsened axes.
        gain: PSNR with the stated profile over that without one, in dB, in the brain mask of the crop.
    """

    stated: float
    excess: float
    gain: float

    def kept(self, largest: float = EXCESS) -> float:
        """Return the gain if a stated profile with a larger excess is ignored."""
        return 0.0 if self.excess > largest else self.gain


def rows_of(path: Path, model: SuperResolutionModel) -> Iterator[Row]:
    """Yield the rows of a volume."""
    for acquired in acquisitions(path):
        predicted = predicted_axes(acquired.scan, [s * SPACING for s in acquired.scale])
        found = [prediction for prediction, s in zip(predicted, acquired.scale, strict=True) if prediction and s > 1]
        for stated, gain in zip(STATED, gains_of(acquired, model), strict=True):
            yield Row(
                **acquired.named(path.name),
                stated=stated.width,
                excess=max((prediction.excess(stated) for prediction in found), default=-1.0),
                gain=gain,
            )


def gains_of(acquired: Acquired, model: SuperResolutionModel) -> Iterator[float]:
    """Yield for each of `STATED` the PSNR in dB of the result that agrees with the scan, over that of the network."""
    shape, mask = acquired.truth.shape, brain_mask(acquired.truth)
    result = predict(model, torch.from_numpy(acquired.coarse), shape, torch.device("cpu"))
    intensities, whole = IntensityRange.of(acquired.coarse), (slice(None),) * 3
    fine, scan = (torch.from_numpy(intensities.normalize(array)) for array in (result, acquired.coarse))
    base = psnr(acquired.truth, result, mask)
    for stated in STATED:
        agreement = Agreement.of(shape, acquired.coarse.shape, along(stated))
        correction = agreement.correction(scan - agreement.simulated(fine, whole), UNTRAINED_STRENGTH)
        agreeing = fine + agreement.interpolated(correction, whole)
        yield psnr(acquired.truth, intensities.restore(agreeing.numpy()), mask) - base


def _cell(rows: Sequence[Row]) -> str:
    """Return the gain if the stated profile is always used, the fraction of cases that ignore it, and the gain then."""
    ignored = 100 * np.mean([row.excess > EXCESS for row in rows])
    always, checked = np.mean([row.gain for row in rows]), np.mean([row.kept() for row in rows])
    return f"{always:+.2f}, {ignored:.0f} %, {checked:+.2f}"


def _table(rows: Sequence[Row]) -> str:
    lines = []
    kinds = [(profile.kind, profile.width, False) for profile in PROFILES] + [("point", 1.0, True)]
    for kind, width, smooth in kinds:
        name = kind if kind == "point" else f"{kind} {width:g}"
        some = [row for row in rows if (row.kind, row.width, row.smooth) == (kind, width, smooth)]
        cells = [_cell([row for row in some if row.stated == stated.width]) for stated in STATED]
        lines.append([f"{name}, smooth" if smooth else name, *cells])
    return markdown_table(["true profile", *(f"stated {stated.width:g}" for stated in STATED)], lines)


def _choices(rows: Sequence[Row]) -> str:
    """Return the table by which the criterion was chosen."""
    right = [row for row in rows if not row.smooth and (row.kind, row.width) == ("gaussian", row.stated)]
    wrong = [row for row in rows if row.gain < HARM]
    lines = []
    for excess in EXCESSES:
        cells = (
            f"{100 * np.mean([row.excess > excess for row in right]):.0f} %",
            f"{np.mean([row.kept(excess) for row in right]):+.3f}",
            f"{100 * np.mean([row.excess > excess for row in wrong]):.0f} %",
            f"{np.mean([row.kept(excess) for row in rows]):+.3f}",
        )
        lines.append([f"{excess:g}", *cells])
    head = ("largest excess", "right, ignored", "right, gain", f"costs more than {-HARM:g} dB, ignored", "all, gain")
    return markdown_table(head, lines)


def report(rows: Sequence[Row], choice: Sequence[Row]) -> str:
    """Return the page.

    Args:
        rows: Rows of the volumes to judge by.
        choice: Rows of the volumes that the criterion was chosen on.
    """
    parts = [
        "# A wrong slice thickness",
        f"Simulated acquisitions of {len({row.subject for row in rows})} volumes of {SPACING:g} mm, for each of which "
        f"Gaussian slices of several thicknesses are stated, right or wrong; upsampled by {DEFAULT_MODEL}. Thicknesses "
        "are full widths at half maximum, in distances of slices.",
        "Each cell has the gain in PSNR over the result without a thickness, in dB, if the stated thickness is always "
        "used; the part of the cases in which it is ignored, because it does not match the detail in the volume; and "
        "the gain that remains with this check.",
        _table(rows),
        f"Smooth: the truth was blurred by a Gaussian of {SMOOTH_WIDTH:g} voxels before the acquisition.",
        "A stated thickness is ignored if the predicted contrast at Nyquist differs from that of the stated slices by "
        f"more than {EXCESS:g} and the expected error of the prediction. That was chosen on "
        f"{len({row.subject for row in choice})} volumes of the training:",
        _choices(choice),
        "Made by `python Testing/benchmarks/stated_table.py data/val data/train`; every case is in "
        f"[{NAME}.csv]({NAME}.csv) and [{CHOICE}.csv]({CHOICE}.csv).",
    ]
    return "\n\n".join(parts) + "\n"


def main(argv: Sequence[str] | None = None) -> None:
    """Compute the rows of every subject without rows, and write all files."""
    output, rows, choice = tables(argv, __doc__, (NAME, CHOICE), Row, rows_of)
    (output / f"{NAME}.md").write_text(report(rows, choice), encoding="utf-8")


if __name__ == "__main__":
    main()
