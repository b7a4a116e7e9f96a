"""Simulated scans and smooth volumes, to which the recognition of smooth volumes is fitted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from profile_samples import SPACING, along, drawn_profile, drawn_scale, noisy, other_contrast
from scipy import ndimage

from ArSSRLib.acquisition.matrices import coarse_shape, profile_matrices
from ArSSRLib.acquisition.profile import FWHM_TO_SIGMA, AxisProfile
from ArSSRLib.acquisition.smoothness import as_vector
from ArSSRLib.acquisition.spectra import features_of
from ArSSRLib.interpolation import apply_matrices
from ArSSRLib.resampling import resample_isotropic
from ArSSRLib.training.dataset import load_normalized

Array = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]

POINT, NOMINAL = AxisProfile("point"), AxisProfile("gaussian", 1.0)
# Factors along k, j, i of half of the scans, which the validation uses; the others are drawn as for the estimate.
VALIDATED = ((2.0,) * 3, (3.0,) * 3, (4.0,) * 3, (4.0, 1.0, 1.0), (1.0, 1.0, 4.0))
# Profiles of acquired smooth volumes, which have little effect on them.
SMOOTH_PROFILES = (POINT, AxisProfile("box", 1.0), NOMINAL)
OTHER_CONTRAST, CROPPED, MAPS, ROUNDED = 0.35, 0.5, 0.25, 0.3
# Edges of crops in voxels, largest noise of scans and of smooth volumes, and levels of rounded intensities.
EDGES, NOISE, SMOOTH_NOISE, LEVELS = (24, 72), 0.02, 0.004, 255
# In mm, full widths at half maximum: the smallest blur in a smooth volume, and of statistical maps; what averages of
# brains have at least. The blur of a volume varies by up to this factor, over a distance of so many voxels.
BLURS, MAP_BLURS, AVERAGE_BLUR = (2.2, 6.0), (4.0, 9.0), 3.5
VARIATION, DISTANCE = 2.2, 14
# Factors of the first and the second acquisition of a smooth volume; below the smallest, the volume stays as it is.
FACTORS, SMALLEST = ((1.0, 2.0), (1.0, 4.0)), 1.15
# A volume counts as smooth if its blur is at least this number of voxels wide, so that slices cannot explain it.
WIDE, WIDE_BLUR = 1.0, 1.2


@dataclass(frozen=True)
class Judged:
    """Features of one volume, shape (F,), whether it is smooth, and what it is."""

    features: FloatArray
    smooth: bool
    label: str


def scans(path: Path, count: int, seed: int) -> Iterator[Judged]:
    """Yield a sharp volume on two grids: as it is, and ``count`` times acquired by simulation."""
    rng = np.random.default_rng(seed)
    native = load_normalized(path)
    for volume in (native, resample_isotropic(native, SPACING)):
        fine = torch.from_numpy(np.ascontiguousarray(volume.array, dtype=np.float32))
        spacing = volume.geometry.spacing[::-1]
        yield from _judged(fine.numpy(), spacing, rng, "as it is")
        for number in range(count):
            truth = other_contrast(fine, rng) if rng.random() < OTHER_CONTRAST else fine
            scale, profile = drawn_scale(rng), drawn_profile(rng)
            if number % 2:
                scale, profile = VALIDATED[rng.integers(len(VALIDATED))], (POINT, NOMINAL)[rng.integers(2)]
            coarse, spacings = _acquired(truth.numpy(), spacing, scale, profile)
            noise = float(rng.choice([0.0, rng.uniform(0, NOISE)]))
            kind = "nominal" if profile in {POINT, NOMINAL} else f"{profile.kind} of {profile.width:.1f}"
            yield from _judged(noisy(coarse, noise, rng), spacings, rng, kind)


def smooth_volumes(path: Path, count: int, seed: int, *, average: bool) -> Iterator[Judged]:
    """Yield smooth volumes made from a sharp one, or from an ``average`` of many, as it is and coarser."""
    rng = np.random.default_rng(seed)
    native = load_normalized(path)
    spacing, array = native.geometry.spacing[::-1], np.ascontiguousarray(native.array, dtype=np.float32)
    for _ in range(count):
        volume = other_contrast(torch.from_numpy(array), rng).numpy() if rng.random() < OTHER_CONTRAST else array
        blur, needed, label = AVERAGE_BLUR, WIDE, "average of brains"
        if not average and rng.random() < MAPS:
            volume, blur, label = *_map(array, spacing, rng), "statistical map"
        elif not average:
            volume, blur = _unevenly_blurred(volume, spacing, rng)
            needed, label = WIDE_BLUR, "blurred"
        for limits in FACTORS:
            factor = rng.uniform(*limits)
            if blur < needed * factor * np.mean(spacing):
                continue
            coarse, spacings = volume, spacing
            if factor > SMALLEST:
                profile = SMOOTH_PROFILES[rng.integers(len(SMOOTH_PROFILES))]
                coarse, spacings = _acquired(volume, spacing, (factor,) * 3, profile)
            coarse = noisy(coarse, float(rng.choice([0.0, rng.uniform(0, SMOOTH_NOISE)])), rng)
            if rng.random() < ROUNDED:
                coarse = np.round(coarse * LEVELS / coarse.max())
            yield from _judged(coarse, spacings, rng, label, smooth=True)


def _judged(
    array: npt.NDArray[Any], spacing: Sequence[float], rng: np.random.Generator, label: str, *, smooth: bool = False
) -> Iterator[Judged]:
    """Yield the features of a volume or of a crop of it, unless it is too short or without contrast."""
    if rng.random() < CROPPED:
        array = _crop(array, rng)
    features = features_of(array, spacing)
    if features is not None:
        yield Judged(as_vector(features), smooth, label)


def _crop(array: npt.NDArray[Any], rng: np.random.Generator) -> npt.NDArray[Any]:
    """Return a crop near the center."""
    box = []
    for length in array.shape:
        edge = min(length, int(rng.integers(*EDGES)))
        first = length // 2 + int(rng.integers(-(length // 8), length // 8 + 1)) - edge // 2
        first = min(max(first, 0), length - edge)
        box.append(slice(first, first + edge))
    return array[tuple(box)]


def _acquired(
    truth: Array, spacing: Sequence[float], scale: Sequence[float], profile: AxisProfile
) -> tuple[Array, list[float]]:
    """Return a simulated acquisition and its spacing along k, j, i."""
    coarse = coarse_shape(truth.shape, scale)
    matrices = profile_matrices(truth.shape, coarse, along(profile))
    found = apply_matrices(torch.from_numpy(np.ascontiguousarray(truth)), matrices).numpy()
    return found, [s * n / m for s, n, m in zip(spacing, truth.shape, coarse, strict=True)]


def _gaussian(array: Array, width: float, spacing: Sequence[float]) -> Array:
    """Return a volume blurred by a Gaussian of this full width at half maximum in mm."""
    return np.asarray(ndimage.gaussian_filter(array, [width * FWHM_TO_SIGMA / step for step in spacing]))


def _unevenly_blurred(array: Array, spacing: Sequence[float], rng: np.random.Generator) -> tuple[Array, float]:
    """Return a volume with a blur that varies as in an average of brains, and the smallest width of the blur in mm."""
    least = rng.uniform(*BLURS)
    widths = np.linspace(least, least * rng.uniform(1, VARIATION), 3)
    field = ndimage.gaussian_filter(rng.standard_normal(array.shape).astype(np.float32), DISTANCE)
    place = 2 * np.clip(0.5 + 0.5 * (field - field.mean()) / field.std(), 0, 1)
    blurred = np.zeros_like(array)
    for number, width in enumerate(widths):
        blurred += _gaussian(array, width, spacing) * np.clip(1 - np.abs(place - number), 0, 1)
    return blurred, least


def _map(array: Array, spacing: Sequence[float], rng: np.random.Generator) -> tuple[Array, float]:
    """Return a random field inside the head as a statistical map, and its full width at half maximum in mm."""
    width = rng.uniform(*MAP_BLURS)
    field = _gaussian(rng.standard_normal(array.shape).astype(np.float32), width, spacing)
    field /= field.std()
    head = ndimage.gaussian_filter((array > 0.25).astype(np.float32), rng.uniform(0.5, 3))
    masked = field * head if rng.random() < 0.5 else np.maximum(field, 0) * (head > 0.5)
    return masked.astype(np.float32), width
