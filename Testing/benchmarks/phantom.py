"""The input of every benchmark: a smooth phantom with noise, on any grid; nothing is downloaded."""

from __future__ import annotations

from functools import reduce

import numpy as np

from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.volume import Volume

SEED = 20260
NOISE = 20.0
# Height in scanner units, center along i, j, k and standard deviation, both as fractions of the field of view.
BLOBS = (
    (900.0, (0.50, 0.48, 0.52), 0.22),
    (400.0, (0.38, 0.60, 0.45), 0.08),
    (-300.0, (0.62, 0.42, 0.58), 0.06),
    (250.0, (0.55, 0.66, 0.40), 0.03),
)


def noisy_phantom(size: tuple[int, int, int]) -> Volume:
    """Return a magnitude image, float32, of ``size`` (i, j, k) voxels of 1 mm.

    Blobs are products of three vectors, so that creating a large phantom needs little additional memory.
    """
    geometry = VolumeGeometry(size=size, spacing=(1.0, 1.0, 1.0))
    array = np.random.default_rng(SEED).standard_normal(geometry.shape, dtype=np.float32)
    array *= NOISE
    for height, center, sigma in BLOBS:
        i, j, k = (_bell(n, c, sigma) for n, c in zip(size, center, strict=True))
        array += reduce(np.multiply.outer, (np.float32(height) * k, j, i))
    return Volume(np.abs(array, out=array), geometry)


def _bell(count: int, center: float, sigma: float) -> np.ndarray:
    position = (np.arange(count) + 0.5) / count
    return np.exp(-0.5 * ((position - center) / sigma) ** 2).astype(np.float32)
