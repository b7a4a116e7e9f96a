"""Synthetic lesions: small dark ellipsoids in the white matter of a T1-weighted brain, the same at every run.

They stand in for lesions where no patient is at hand, and test one thing: how much of something small and dark survives
coarse voxels and their upsampling. They do not look like the lesions of a disease, and no table calls them so.

Each is an ellipsoid of random direction with semi-axes of 2 to 8 mm, small ones more often, inside which the
intensities are lowered by a quarter to a half, as in chronic lesions of multiple sclerosis; the texture stays. Its edge
is a cosine 2 mm wide, so that the volume holds no more detail beyond its Nyquist frequency than before.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial.transform import Rotation

from ArSSRLib.errors import InputError
from ArSSRLib.evaluation.lesions import SURROUND
from ArSSRLib.metrics import Mask

Array = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]

# Raised when the same volume gets other lesions than before, so that no finished cell is taken for one of these.
GENERATOR = 1
COUNT, TRIES = 12, 20
RADII, DARKENING, EDGE = (2.0, 8.0), (0.25, 0.5), 2.0
# How deep in white matter a center lies, in parts of the mean semi-axis: most of a lesion is inside then.
DEPTH = 0.8
# Noise is smoothed over so many mm before tissues are told apart.
SMOOTHING = 1.0
TISSUES = 3
ITERATIONS = 30


def with_synthetic_lesions(
    array: Array, anatomy: Mask, spacing: tuple[float, float, float], seed: int
) -> tuple[Array, Mask, Mask]:
    """Return a volume with up to 12 synthetic lesions, as many as find room, where they are, and its white matter.

    Args:
        array: Intensities of a T1-weighted brain, shape (k, j, i); air is 0.
        anatomy: Voxels of the brain, same shape.
        spacing: Along i, j, k, in mm.
        seed: Of all that is random; the same seed and volume give the same lesions.

    Returns:
        The volume, float32, the mask of the ellipsoids, and that of the white matter before, all of shape (k, j, i).

    Raises:
        InputError: If there is no room for any.
    """
    generator = np.random.default_rng(seed)
    steps = np.array(spacing[::-1])
    white = white_matter(array, anatomy, spacing)
    places, white_depth, border_depth = _places(white, anatomy, spacing)
    changed, lesions = array.astype(np.float64), np.zeros(array.shape, dtype=bool)
    taken: list[tuple[FloatArray, float]] = []
    for _ in range(COUNT * TRIES):
        axes, darkening = _drawn(generator)
        rotation = Rotation.from_quat(generator.normal(size=4)).as_matrix()
        free = (white_depth >= DEPTH * axes.mean()) & (border_depth >= axes[0] + SURROUND)
        for center, longest in taken:
            # Further apart than both need for a surround of their own.
            free &= np.linalg.norm(places - center, axis=1) >= axes[0] + longest + SURROUND
        if not free.any():
            continue
        center = places[generator.choice(np.flatnonzero(free))]
        box, distance = _distances(array.shape, steps, center, (axes, rotation))
        changed[box] *= 1 - darkening * _profile(distance)
        lesions[box] |= distance <= 0
        taken.append((center, axes[0]))
        if len(taken) == COUNT:
            break
    if not taken:
        msg = (
            f"There is no room for a synthetic lesion in {int(anatomy.sum())} voxels of anatomy: they go into the "
            "brightest tissue, away from the border. Crop less, or switch them off with --set lesions=."
        )
        raise InputError(msg)
    return changed.astype(np.float32), lesions, white


def white_matter(array: Array, anatomy: Mask, spacing: tuple[float, float, float]) -> Mask:
    """Return the brightest of three tissues, told apart by intensity alone, shape (k, j, i).

    Args:
        array: Intensities, shape (k, j, i).
        anatomy: Voxels that belong to a tissue, same shape.
        spacing: Along i, j, k, in mm.
    """
    smooth = ndimage.gaussian_filter(array.astype(np.float64), [SMOOTHING / step for step in spacing[::-1]])
    values = smooth[anatomy]
    # From percentiles, or a few bright vessels would be a tissue of their own.
    means = np.percentile(values, [100 * (n + 0.5) / TISSUES for n in range(TISSUES)])
    for _ in range(ITERATIONS):
        nearest = np.digitize(values, (means[1:] + means[:-1]) / 2)
        means = np.array([values[nearest == n].mean() if (nearest == n).any() else means[n] for n in range(TISSUES)])
    return np.asarray(anatomy & (smooth > (means[-1] + means[-2]) / 2))


def _places(
    white: Mask, anatomy: Mask, spacing: tuple[float, float, float]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return where a center may be, shape (N, 3), and how deep in white matter and in the anatomy that is, in mm."""
    # Padded, or the end of the volume would be no border.
    depths = [ndimage.distance_transform_edt(np.pad(part, 1), sampling=spacing[::-1]) for part in (white, anatomy)]
    white_depth, border_depth = (depth[1:-1, 1:-1, 1:-1] for depth in depths)
    place = (white_depth >= DEPTH * RADII[0]) & (border_depth >= RADII[0] + SURROUND)
    return np.argwhere(place) * np.array(spacing[::-1]), white_depth[place], border_depth[place]


def _drawn(generator: np.random.Generator) -> tuple[FloatArray, float]:
    """Return semi-axes in mm, the longest first, and the part of the intensity that is taken away."""
    least, most = RADII
    longest = least * (most / least) ** generator.random()
    others = np.maximum(least, longest * generator.uniform(0.5, 1.0, size=2))
    return np.array([longest, *others]), float(generator.uniform(*DARKENING))


def _distances(
    shape: tuple[int, ...], steps: FloatArray, center: FloatArray, ellipsoid: tuple[FloatArray, FloatArray]
) -> tuple[tuple[slice, ...], FloatArray]:
    """Return the box around an ellipsoid, and how far outside its surface each voxel of it lies, in mm, about."""
    axes, rotation = ellipsoid
    reach = axes[0] + EDGE
    first = np.maximum(0, np.ceil((center - reach) / steps)).astype(int)
    stop = np.minimum(shape, np.floor((center + reach) / steps) + 1).astype(int)
    box = tuple(slice(a, b) for a, b in zip(first, stop, strict=True))
    grid = np.meshgrid(*[np.arange(a, b) * step for a, b, step in zip(first, stop, steps, strict=True)], indexing="ij")
    inside = (np.stack(grid, axis=-1) - center) @ rotation
    # Of first order: exact on the surface, and for a sphere.
    size, slope = (np.linalg.norm(inside / power, axis=-1) for power in (axes, axes**2))
    distance = size * (size - 1) / np.maximum(slope, 1e-9)
    return box, np.where(size < 1e-9, -axes.min(), distance)


def _profile(distance: FloatArray) -> FloatArray:
    """Return 1 inside, 0 outside, and a cosine of width `EDGE` between."""
    return np.asarray(0.5 - 0.5 * np.sin(np.pi * np.clip(distance / EDGE, -0.5, 0.5)))
