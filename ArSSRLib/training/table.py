"""The validation table: every volume, scale and slice profile, with cubic interpolation and back-projection.

    python -m ArSSRLib.training.table arssr2 FOLDER --output table.md

Each volume of the folder serves as truth: it is coarsened, upsampled, and compared inside its mask.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from ArSSRLib.acquisition.decision import Estimate, decide
from ArSSRLib.acquisition.profile import UNKNOWN, SliceProfile
from ArSSRLib.checkpoint import load_model
from ArSSRLib.device import resolve_device
from ArSSRLib.geometry import VolumeGeometry, three, times
from ArSSRLib.io import find_volumes
from ArSSRLib.options import DEFAULT_OPTIONS
from ArSSRLib.resampling import resample_isotropic
from ArSSRLib.training.dataset import load_normalized
from ArSSRLib.training.validation import Case, Score, make_case, score_case, settings_for
from ArSSRLib.upsampling.blind import BlindEstimate
from ArSSRLib.volume import Volume

Known = Literal["given", "estimated", "unknown"]


def scores_of(
    model_name: str, folder: Path, *, spacing: float, device: str = "auto", known: Known = "given"
) -> list[Score]:
    """Evaluate a model on every volume of a folder in every setting.

    Volumes are first resampled to an isotropic ``spacing`` in mm; 0 keeps their grids. ``known`` tells how the slice
    profile is known: given, estimated as in upsampling, or unknown. If it is known, the result is made to agree with
    the coarse volume.
    """
    target = resolve_device(device)
    model = load_model(model_name).to(target)
    scores = []
    for path in find_volumes(folder):
        volume = resample_isotropic(load_normalized(path), spacing)
        for scale, profile in settings_for(model.config):
            case = make_case(path.name.partition(".")[0], volume.array, scale, profile)
            found = {"given": case.slice_profile, "unknown": UNKNOWN}.get(known)
            if found is None:
                found = _estimated(case, volume.geometry.spacing, BlindEstimate(model, target))
            scores.append(score_case(model, case, target, with_ssim=True, profile=found))
    return scores


def _estimated(case: Case, spacing: Sequence[float], estimate: Estimate) -> SliceProfile:
    """Return the profile that is estimated from the coarse volume; ``spacing`` of the truth along i, j, k, in mm."""
    factors, (k, j, i) = case.scale[::-1], case.coarse.shape
    grid = VolumeGeometry((i, j, k), three(np.multiply(spacing, factors)))
    return decide(Volume(case.coarse.numpy(), grid), DEFAULT_OPTIONS, factors, estimate=estimate).profile


def as_markdown(scores: Iterable[Score]) -> str:
    """Return scores as a Markdown table: PSNR in dB / SSIM per method, and the gain over the better baseline."""
    lines = [
        "| volume | scale | profile | cubic | cubic + 10 back-projections | ArSSR | gain over the floor, dB |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for score in scores:
        cells = [f"{score.psnr[method]:.2f} / {score.ssim[method]:.4f}" for method in score.psnr]
        row = [score.subject, times(score.scale[::-1]), score.profile, *cells, f"{score.gain:+.2f}"]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, and write it if an output is specified."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--spacing", type=float, default=1.2, help="spacing of the truth in mm; 0 keeps each grid")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--profile", choices=get_args(Known), default="given", help="how the slice profile is known")
    parser.add_argument("--output", type=Path)
    args = parser.parse_args(arguments)
    scores = scores_of(args.model, args.folder, spacing=args.spacing, device=args.device, known=args.profile)
    table = as_markdown(scores)
    print(table)
    if args.output:
        args.output.write_text(table, encoding="utf-8")


if __name__ == "__main__":
    main()
