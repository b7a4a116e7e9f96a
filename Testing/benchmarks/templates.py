"""Volumes that are smooth by nature, for training: averages of aligned volumes, as in templates, and a random field.

    python Testing/benchmarks/templates.py TRAINING_FOLDER OUTPUT --group ds002748_ --group ds000011_

Volumes whose names begin with the same ``--group`` are averaged; they must show the same part of the head. OUTPUT also
receives `training.csv`, which lists the averages and the training volumes: pass it to `arssr train` as training_data.
No other data are used, so a network trained on them remains untouched by the validation subjects.

A network trained on sharp volumes alone adds edges to smooth ones. Blurring a sharp volume does not teach it better,
because the result looks exactly like a sharp volume acquired with thick slices; an average does not.

The alignment differs slightly in every run, even with one thread: the averages of two runs had a correlation of 0.999.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813 - the name everyone knows it by

from ArSSRLib.io import find_volumes

# Spacing of the averages, and of the grids for alignment and warping, in mm.
SPACING, ALIGNED, WARPED = 1.0, 3.0, 1.5
# Spacing of coarser copies, in mm.
COARSE, HALFWAY = 2.0, 1.5
# Volumes that are averaged after an affine alignment, one average per range of the sorted names.
FEW, MORE = slice(0, 6), slice(10, 22)
# Volumes that are warped onto the average of all, which keeps more detail.
WARPED_VOLUMES = slice(0, 16)
DEMONS, DEMONS_SIGMA = 25, 1.5
# Edges of the random field in voxels, its standard deviations in voxels and their weights, and its spacing in mm.
FIELD, FIELD_WIDTHS, FIELD_SPACING = (96, 112, 96), ((2.0, 1.0), (6.0, 1.5)), 2.0
# Stored intensity of 1.
UNIT = 1000

Array = npt.NDArray[np.float32]


def averages(paths: Sequence[Path]) -> dict[str, tuple[sitk.Image, float]]:
    """Return averages of volumes of the same part of the head by name, each with the spacing to store it at, in mm."""
    volumes = [_normalized(path) for path in paths]
    reference = _grid(volumes[0], SPACING)
    aligned = [_aligned(volumes[0], volume, reference) for volume in volumes]
    whole = _mean(aligned)
    found = {"mean": (whole, SPACING), "mean-coarse": (whole, COARSE)}
    if len(aligned) >= MORE.stop:
        warped = _mean([_warped(whole, volume) for volume in aligned[WARPED_VOLUMES]])
        found |= {
            "mean-few": (_mean(aligned[FEW]), SPACING),
            "mean-more": (_mean(aligned[MORE]), HALFWAY),
            "warped": (warped, SPACING),
            "warped-coarse": (warped, COARSE),
        }
    return found


def random_field(seed: int = 0) -> sitk.Image:
    """Return a smooth random field inside an ellipsoid, similar to a statistical map."""
    rng = np.random.default_rng(seed)
    total = np.zeros(FIELD)
    for deviation, weight in FIELD_WIDTHS:
        noise = sitk.GetImageFromArray(rng.standard_normal(FIELD))
        smooth = sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(noise, deviation))
        total += weight * smooth / smooth.std()
    places = [(index - n / 2) / (0.44 * n) for index, n in zip(np.indices(FIELD), FIELD, strict=True)]
    inside = sum(place**2 for place in places) < 1
    total = np.where(inside, total - total.min(), 0)
    image = sitk.GetImageFromArray((total / total.max()).astype(np.float32))
    image.SetSpacing((FIELD_SPACING,) * 3)
    return image


def write(image: sitk.Image, spacing: float, path: Path) -> None:
    """Store a volume at a spacing in mm, without aliasing."""
    if spacing > image.GetSpacing()[0]:
        image = sitk.Resample(sitk.SmoothingRecursiveGaussian(image, spacing / 2.5), _grid(image, spacing))
    sitk.WriteImage(sitk.Cast(image * UNIT, sitk.sitkInt16), str(path))


def _normalized(path: Path) -> sitk.Image:
    """Return a volume in a common orientation, with the intensity 1 for its brightest tissue."""
    image = sitk.DICOMOrient(sitk.ReadImage(str(path), sitk.sitkFloat32), "LPS")
    voxels = sitk.GetArrayViewFromImage(image)
    # Division by a number returns 64-bit voxels, which HistogramMatching refuses beside 32-bit ones.
    return sitk.Cast(image / float(np.percentile(voxels[voxels > 0], 99)), sitk.sitkFloat32)


def _grid(image: sitk.Image, spacing: float) -> sitk.Image:
    """Return an empty volume with the field of view of another, and cubic voxels."""
    size = [round(n * s / spacing) for n, s in zip(image.GetSize(), image.GetSpacing(), strict=True)]
    grid = sitk.Image(size, sitk.sitkFloat32)
    grid.SetSpacing((spacing,) * 3)
    grid.SetDirection(image.GetDirection())
    grid.SetOrigin(tuple(np.array(grid.GetOrigin()) + _center(image) - _center(grid)))
    return grid


def _center(image: sitk.Image) -> npt.NDArray[np.float64]:
    return np.array(image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()]))


def _aligned(fixed: sitk.Image, moving: sitk.Image, grid: sitk.Image) -> sitk.Image:
    """Return a volume after its affine alignment with another, on a grid."""
    coarse, other = (sitk.Resample(image, _grid(image, ALIGNED)) for image in (fixed, moving))
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsCorrelation()
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(0.2)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, 60)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([2, 1])
    method.SetSmoothingSigmasPerLevel([2, 1])
    moments = sitk.CenteredTransformInitializerFilter.MOMENTS
    first = sitk.CenteredTransformInitializer(coarse, other, sitk.AffineTransform(3), moments)
    method.SetInitialTransform(first, inPlace=False)
    return sitk.Resample(moving, grid, method.Execute(coarse, other), sitk.sitkBSpline)


def _warped(target: sitk.Image, volume: sitk.Image) -> sitk.Image:
    """Return a volume warped onto the average of all."""
    small = sitk.Resample(target, _grid(target, WARPED))
    demons = sitk.DiffeomorphicDemonsRegistrationFilter()
    demons.SetNumberOfIterations(DEMONS)
    demons.SetStandardDeviations(DEMONS_SIGMA)
    field = demons.Execute(small, sitk.HistogramMatching(sitk.Resample(volume, small), small))
    moved = sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64))
    return sitk.Resample(volume, target, moved, sitk.sitkBSpline)


def _mean(images: Sequence[sitk.Image]) -> sitk.Image:
    voxels = np.mean([np.maximum(sitk.GetArrayViewFromImage(image), 0) for image in images], axis=0)
    mean = sitk.GetImageFromArray(voxels.astype(np.float32))
    mean.CopyInformation(images[0])
    return mean


def main() -> None:
    parser = argparse.ArgumentParser(description="Average training volumes, so that networks learn smooth volumes.")
    parser.add_argument("training", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--group", action="append", required=True, help="first letters of the names to be averaged")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    originals = find_volumes(args.training)
    written = []
    for group in args.group:
        paths = [path for path in originals if path.name.startswith(group)]
        if not paths:
            parser.error(f'No volume in {args.training} has a name that begins with "{group}".')
        for name, (image, spacing) in averages(paths).items():
            written.append(args.output / f"{group}{name}.nii.gz")
            write(image, spacing, written[-1])
    written.append(args.output / "field.nii.gz")
    write(random_field(), FIELD_SPACING, written[-1])
    with (args.output / "training.csv").open("w", newline="", encoding="utf-8") as file:
        rows = [(path.resolve(), "train") for path in (*originals, *written)]
        csv.writer(file).writerows([("path", "split"), *rows])


if __name__ == "__main__":
    main()
