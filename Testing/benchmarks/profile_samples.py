"""Simulated acquisitions with a known slice profile, to which the estimate of the profile is fitted."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ArSSRLib.acquisition.matrices import coarse_shape, gaussian_kernel, kernel_matrix, profile_matrices
from ArSSRLib.acquisition.profile import AxisProfile, Kind, SliceProfile
from ArSSRLib.acquisition.spectra import features_of
from ArSSRLib.interpolation import apply_matrices
from ArSSRLib.resampling import resample_isotropic
from ArSSRLib.training.dataset import load_normalized
from ArSSRLib.training.synthesis import tissue_curves, tone_curves

FloatArray = npt.NDArray[np.float64]

# The probability of each kind.
KINDS: dict[Kind, float] = {"point": 0.27, "gaussian": 0.4, "box": 0.23, "kspace": 0.1}
# Widths of Gaussians and boxes, and of truncated k-space. They extend slightly beyond those of the evaluation, where
# the fit would otherwise end.
WIDTHS, KSPACE_WIDTHS = (0.4, 1.5), (1.0, 1.5)
LARGEST_NOISE = 0.02
# Fraction of the acquisitions with another contrast, and fraction with one thick axis instead of three.
OTHER_CONTRAST, THICK = 0.4, 0.55
# Fraction of the volumes that are smooth by nature, like templates, and their full widths at half maximum in fine
# voxels. Without them, smoothness would be mistaken for a wide profile.
SMOOTH, SMOOTH_WIDTHS = 0.15, (1.0, 3.0)
# Factors along all axes, and along one thick axis.
SCALES, THICK_SCALES = (1.5, 4.25), (1.5, 6.0)
# Spacing of the second grid on which a volume is coarsened, in mm; the first is its own grid.
SPACING = 1.2
# Widths and profiles, and levels of noise, for the evaluation instead of the fit.
JUDGED = (0.5, 0.7, 1.0, 1.3)
PROFILES = (
    AxisProfile("point"),
    *(AxisProfile("gaussian", width) for width in JUDGED),
    *(AxisProfile("box", width) for width in JUDGED),
)
JUDGED_NOISE = (0.0, 0.01, 0.02)
# Factors along k, j, i. They are integers, so that a crop of the fine volume is aligned with the coarse grid.
JUDGED_SCALES = ((2, 2, 2), (3, 3, 3), (4, 1, 1))
# Edge of the crop that is upsampled, a multiple of every factor; and full width at half maximum of the blur of smooth
# truths, both in fine voxels.
CROP, SMOOTH_WIDTH = 48, 2.0

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Sample:
    """One axis of one simulated acquisition.

    Attributes:
        subject: Name of the volume.
        features: Of one axis, from `spectra.features_of`, shape (`FEATURES`,).
        profile: The true profile.
    """

    subject: str
    features: FloatArray
    profile: AxisProfile


@dataclass(frozen=True)
class Acquired:
    """One simulated acquisition.

    Attributes:
        profile: The true profile, along all axes.
        smooth: Whether the truth was blurred before.
        scale: Factors along k, j, i.
        noise: Standard deviation as a fraction of the range.
        scan: The whole acquisition, shape (k', j', i').
        truth: A crop of the truth, shape (`CROP`, `CROP`, `CROP`).
        coarse: The same crop of the acquisition.
    """

    profile: AxisProfile
    smooth: bool
    scale: tuple[int, int, int]
    noise: float
    scan: Array
    truth: Array
    coarse: Array

    def named(self, subject: str) -> dict[str, Any]:
        """Return the fields of a `NamedAcquisition`."""
        scale = "x".join(map(str, reversed(self.scale)))
        return asdict(NamedAcquisition(subject, scale, self.profile.kind, self.profile.width, self.smooth, self.noise))


@dataclass(frozen=True)
class NamedAcquisition:
    """A simulated acquisition as it is named in a row of a table.

    Attributes:
        subject: Name of the volume.
        scale: Factors along i, j, k, such as "2x2x2".
        kind: Kind of the true profile.
        width: Its full width at half maximum in coarse voxels.
        smooth: Whether the truth was blurred before.
        noise: Standard deviation as a fraction of the range.
    """

    subject: str
    scale: str
    kind: str
    width: float
    smooth: bool
    noise: float


def acquisitions(path: Path) -> Iterator[Acquired]:
    """Yield the simulated acquisitions of a volume."""
    whole = resample_isotropic(load_normalized(path), SPACING).array.astype(np.float32)
    sharp = torch.from_numpy(np.ascontiguousarray(whole[tuple(slice(0, n // 12 * 12) for n in whole.shape)]))
    blur = gaussian_kernel(SMOOTH_WIDTH)
    soft = apply_matrices(sharp, [kernel_matrix(n, blur) for n in sharp.shape])
    cases = [(False, sharp, profile) for profile in PROFILES] + [(True, soft, PROFILES[0])]
    rng = np.random.default_rng([*path.name.encode()])
    first = [(n // 2 - CROP // 2) // 12 * 12 for n in sharp.shape]
    for (smooth, truth, profile), scale in itertools.product(cases, JUDGED_SCALES):
        noise = float(rng.choice(JUDGED_NOISE))
        coarse = coarse_shape(truth.shape, scale)
        scan = noisy(apply_matrices(truth, profile_matrices(truth.shape, coarse, along(profile))).numpy(), noise, rng)
        fine = truth.numpy()[tuple(slice(f, f + CROP) for f in first)]
        crop = scan[tuple(slice(f // s, (f + CROP) // s) for f, s in zip(first, scale, strict=True))]
        yield Acquired(profile, smooth, scale, noise, scan, fine, np.ascontiguousarray(crop))


def along(profile: AxisProfile) -> SliceProfile:
    """Return the same profile along all axes."""
    return SliceProfile((profile, profile, profile))


def samples_of(path: Path, count: int, seed: int) -> Iterator[Sample]:
    """Yield the coarsened axes of simulated acquisitions of a volume, each with and without noise.

    Args:
        path: The volume.
        count: Acquisitions on each of the two grids.
        seed: Random seed.
    """
    rng = np.random.default_rng(seed)
    native = load_normalized(path)
    for volume in (native, resample_isotropic(native, SPACING)):
        fine = torch.from_numpy(np.ascontiguousarray(volume.array, dtype=np.float32))
        for _ in range(count):
            truth = other_contrast(fine, rng) if rng.random() < OTHER_CONTRAST else fine
            if rng.random() < SMOOTH:
                blur = gaussian_kernel(rng.uniform(*SMOOTH_WIDTHS))
                truth = apply_matrices(truth, [kernel_matrix(n, blur) for n in truth.shape])
            scale, axis = drawn_scale(rng), drawn_profile(rng)
            coarse = coarse_shape(truth.shape, scale)
            down = profile_matrices(truth.shape, coarse, SliceProfile((axis,) * 3))
            measured = apply_matrices(truth, down).numpy()
            spacing = [s * n / m for s, n, m in zip(volume.geometry.spacing[::-1], truth.shape, coarse, strict=True)]
            for noise in (0.0, rng.uniform(0, LARGEST_NOISE)):
                found = features_of(noisy(measured, noise, rng), spacing)
                if found is None:
                    continue
                for factor, features in zip(scale, found.axes, strict=True):
                    if factor > 1:
                        yield Sample(path.name, features, axis)


def noisy(array: npt.NDArray[np.float32], noise: float, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return the magnitude of an array with complex noise, whose standard deviation is a fraction of the range."""
    if noise == 0:
        return array
    real, imaginary = noise * rng.standard_normal((2, *array.shape)).astype(np.float32)
    return np.hypot(array + real, imaginary)


def other_contrast(fine: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Return a volume with different intensities of its tissues, in any order."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**30)))
    heights = tissue_curves(torch.rand((1, 8), generator=generator))
    return tone_curves(fine[None], heights)[0]


def drawn_scale(rng: np.random.Generator) -> Sequence[float]:
    """Return factors along k, j, i."""
    if rng.random() >= THICK:
        return [rng.uniform(*SCALES)] * 3
    scale = [1.0, 1.0, 1.0]
    scale[rng.integers(3)] = rng.uniform(*THICK_SCALES)
    return scale


def drawn_profile(rng: np.random.Generator) -> AxisProfile:
    """Return a profile; every fourth Gaussian or box is as wide as the voxel spacing."""
    kinds = list(KINDS)
    kind = kinds[rng.choice(len(kinds), p=list(KINDS.values()))]
    width = rng.uniform(*(KSPACE_WIDTHS if kind == "kspace" else WIDTHS))
    if kind != "kspace" and rng.random() < 0.25:
        width = 1.0
    return AxisProfile(kind, width)
