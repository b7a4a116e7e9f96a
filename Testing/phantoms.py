"""Synthetic volumes with known answers; nothing is downloaded.

A phantom is defined in millimeters, so it can be sampled on any grid: the correct result of upsampling is the same
phantom on the finer grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ArSSRLib.acquisition.profile import AxisProfile, SliceProfile
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.volume import Volume


@dataclass(frozen=True)
class Blob:
    """A Gaussian in the patient.

    Attributes:
        center: Position in LPS mm.
        sigma: Standard deviation, in mm.
        height: Intensity at the center, in scanner units.
    """

    center: tuple[float, float, float]
    sigma: float
    height: float


def rotation(*degrees: float) -> tuple[float, ...]:
    """Return the 3x3 row-major matrix of rotations about x, y and z, one after the other."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        turn = np.eye(3)
        a, b = [n for n in range(3) if n != axis]
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return tuple(float(x) for x in matrix.ravel())


def positions(geometry: VolumeGeometry) -> np.ndarray:
    """Return the center of every voxel, shape (k, j, i, 3), in LPS mm."""
    k, j, i = np.meshgrid(*[np.arange(n) for n in geometry.shape], indexing="ij")
    index = np.stack([i, j, k], axis=-1)
    return index @ geometry.affine[:3, :3].T + geometry.affine[:3, 3]


def point_at(geometry: VolumeGeometry, fraction: Sequence[float]) -> tuple[float, float, float]:
    """Return the point at a fraction of the field of view along i, j, k, in LPS mm; 0 and 1 are outer faces."""
    index = np.multiply(fraction, geometry.size) - 0.5
    x, y, z = geometry.affine[:3, :3] @ index + geometry.affine[:3, 3]
    return (float(x), float(y), float(z))


def blobs_in(geometry: VolumeGeometry) -> tuple[Blob, ...]:
    """Return three blobs that are well resolved by a grid, at positions that distinguish all axes."""
    sigma = max(geometry.spacing) * 1.6
    fractions = ((0.50, 0.46, 0.55), (0.35, 0.62, 0.42), (0.66, 0.40, 0.60))
    heights = (900.0, 500.0, 300.0)
    return tuple(
        Blob(point_at(geometry, fraction), sigma, height) for fraction, height in zip(fractions, heights, strict=True)
    )


def sample(blobs: Sequence[Blob], geometry: VolumeGeometry, *, background: float = 0.0) -> Volume:
    """Return the blobs on a grid, float32."""
    points = positions(geometry)
    array = np.full(geometry.shape, background)
    for blob in blobs:
        array += blob.height * np.exp(-0.5 * ((points - blob.center) ** 2).sum(-1) / blob.sigma**2)
    return Volume(array.astype(np.float32), geometry)


def centroid(volume: Volume) -> np.ndarray:
    """Return the center of mass of a volume, shape (3,), in LPS mm."""
    weights = volume.array.astype(np.float64)
    return (positions(volume.geometry) * weights[..., None]).sum(axis=(0, 1, 2)) / weights.sum()


def labels(geometry: VolumeGeometry) -> Volume:
    """Return a segmentation of four regions, int16."""
    k, j, _ = np.meshgrid(*[np.arange(n) for n in geometry.shape], indexing="ij")
    array = (2 * (k >= geometry.shape[0] // 2) + (j >= geometry.shape[1] // 2)).astype(np.int16)
    return Volume(array, geometry)


def texture(edge: int = 96, *, steepness: float = 1.3, seed: int = 0) -> np.ndarray:
    """Return a ball of random texture with detail up to Nyquist, shape (edge, edge, edge), float32, about 0 to 5.

    edge: Voxels along each axis.
    steepness: Exponent of the decrease of the amplitude with frequency; about 1.5 for anatomy.
    seed: Seed of the texture.
    """
    frequency = np.meshgrid(np.fft.fftfreq(edge), np.fft.fftfreq(edge), np.fft.rfftfreq(edge), indexing="ij")
    radius = np.maximum(np.sqrt(sum(f**2 for f in frequency)), 1 / edge)
    noise = np.fft.rfftn(np.random.default_rng(seed).standard_normal((edge, edge, edge)))
    field = np.fft.irfftn(noise * radius**-steepness, s=(edge, edge, edge), axes=(0, 1, 2))
    axes = np.meshgrid(*[np.linspace(-1, 1, edge)] * 3, indexing="ij")
    ball = 1 / (1 + np.exp(40 * (sum(x**2 for x in axes) - 0.8)))
    return (np.clip(2 + 0.6 * field / field.std(), 0.3, 5) * ball).astype(np.float32)


def everywhere_bright() -> np.ndarray:
    """Return anatomy that reaches the edge of the field of view."""
    rng = np.random.default_rng(6)
    return 650 + 350 * np.tanh(9 * ndimage.gaussian_filter(rng.normal(size=(10, 44, 40)), 1.2))


def padded(array: np.ndarray, value: float) -> tuple[np.ndarray, np.ndarray]:
    """Return a volume with a cylindrical field of view, and the mask of the cylinder."""
    _, j, i = np.meshgrid(*[np.arange(n) - (n - 1) / 2 for n in array.shape], indexing="ij")
    inside = np.hypot(j / array.shape[1], i / array.shape[2]) < 0.45
    return np.where(inside, array, value), inside


def texture_in_slices(grid: VolumeGeometry, axis: AxisProfile) -> np.ndarray:
    """Return a texture that was acquired on a grid with a profile along k, shape (K, J, I), float32."""
    import torch  # noqa: PLC0415 - most tests with phantoms need none

    from ArSSRLib.acquisition.matrices import profile_matrices  # noqa: PLC0415
    from ArSSRLib.interpolation import apply_matrices  # noqa: PLC0415

    fine = torch.from_numpy(texture())
    acquired = apply_matrices(fine, profile_matrices(fine.shape, grid.shape, SliceProfile((None, None, axis))))
    return np.ascontiguousarray(acquired.numpy(), np.float32)
