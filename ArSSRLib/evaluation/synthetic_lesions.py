"""Synthetic lesions: small dark ellipsoids in the white matter of a T1-weighted brain, reproducible.

They replace real lesions where no patient data are available, for a single purpose: to test how much of a small dark
structure survives coarse voxels and upsampling. They do not look like the lesions of a disease, and tables always call
them synthetic.

Each is an ellipsoid of random direction with semi-axes of 2 to 8 mm, small ones more often, inside which the
intensities are reduced by a quarter to a half, as in chronic lesions of multiple sclerosis; the texture is preserved.
Its edge is a cosine with a width of 2 mm, which adds no detail beyond the Nyquist frequency of the volume.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial.transform import Rotation

from ArSSRLib.errors import InputError
from ArSSRLib.evaluation.lesions import SURROUND, Array
from ArSSRLib.metrics import Mask

FloatArray = npt.NDArray[np.float64]

# Increased when the same volume gets different lesions, so that finished cells are not reused.
GENERATOR = 1
COUNT, TRIES = 12, 20
RADII, DARKENING, EDGE = (2.0, 8.0), (0.25, 0.5), 2.0
# Depth of a center in white matter, as a fraction of the mean semi-axis, so that most of a lesion is inside.
DEPTH = 0.8
# Smoothing of the noise before tissues are distinguished, in mm.
SMOOTHING = 1.0
TISSUES = 3
ITERATIONS = 30


def with_synthetic_lesions(
    array: Array, anatomy: Mask, spacing: tuple[float, float, float], seed: int
) -> tuple[Array, Mask, Mask]:
    """Return a volume with up to 12 synthetic lesions, as space permits, with their mask and the white matter.

    Args:
        array: Intensities of a T1-weighted brain, shape (k, j, i); air is 0.
        anatomy: Voxels of the brain, same shape.
        spacing: Spacing along i, j, k, in mm.
        seed: Seed of all random values; the same seed and volume result in the same lesions.

    Returns:
        The volume, float32, the mask of the ellipsoids, and the mask of the original white matter, all of shape (k, j,
        i).

    Raises:
        InputError: If there is no space for a lesion.
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
            # Far enough apart for separate surrounds.
            free &= np.linalg.norm(places - center, axis=1) >= axes[0] + longest + SURROUND
        if not free.any():
            continue
        center = places[generator.choice(np.flatnonzero(free))]
        box, distance = _distances(array.shape, steps, center, (axes, rotation))
        # 1 inside, 0 outside, and a cosine of width `EDGE` in between.
        profile = 0.5 - 0.5 * np.sin(np.pi * np.clip(distance / EDGE, -0.5, 0.5))
        changed[box] *= 1 - darkening * profile
        lesions[box] |= distance <= 0
        taken.append((center, axes[0]))
        if len(taken) == COUNT:
            break
    if not taken:
        msg = (
            f"There is no space for a synthetic lesion in {int(anatomy.sum())} voxels of anatomy: lesions are placed "
            "in the brightest tissue, away from the border. Crop less, or disable them with --set lesions=."
        )
        raise InputError(msg)
    return changed.astype(np.float32), lesions, white


def white_matter(array: Array, anatomy: Mask, spacing: tuple[float, float, float]) -> Mask:
    """Return the brightest of three tissues inside the anatomy, distinguished by intensity alone, shape (k, j, i)."""
    smooth = ndimage.gaussian_filter(array.astype(np.float64), [SMOOTHING / step for step in spacing[::-1]])
    values = smooth[anatomy]
    # From percentiles; otherwise, a few bright vessels would count as a tissue.
    means = np.percentile(values, [100 * (n + 0.5) / TISSUES for n in range(TISSUES)])
    for _ in range(ITERATIONS):
        nearest = np.digitize(values, (means[1:] + means[:-1]) / 2)
        means = np.array([values[nearest == n].mean() if (nearest == n).any() else means[n] for n in range(TISSUES)])
    return np.asarray(anatomy & (smooth > (means[-1] + means[-2]) / 2))


def _places(
    white: Mask, anatomy: Mask, spacing: tuple[float, float, float]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return candidate centers, shape (N, 3), and their depth in white matter and in the anatomy, in mm."""
    # Padded, because the end of the volume is also a border.
    depths = [ndimage.distance_transform_edt(np.pad(part, 1), sampling=spacing[::-1]) for part in (white, anatomy)]
    white_depth, border_depth = (depth[1:-1, 1:-1, 1:-1] for depth in depths)
    place = (white_depth >= DEPTH * RADII[0]) & (border_depth >= RADII[0] + SURROUND)
    return np.argwhere(place) * np.array(spacing[::-1]), white_depth[place], border_depth[place]


def _drawn(generator: np.random.Generator) -> tuple[FloatArray, float]:
    """Return semi-axes in mm, the longest first, and the fraction by which the intensity is reduced."""
    least, most = RADII
    longest = least * (most / least) ** generator.random()
    others = np.maximum(least, longest * generator.uniform(0.5, 1.0, size=2))
    return np.array([longest, *others]), float(generator.uniform(*DARKENING))


def _distances(
    shape: tuple[int, ...], steps: FloatArray, center: FloatArray, ellipsoid: tuple[FloatArray, FloatArray]
) -> tuple[tuple[slice, ...], FloatArray]:
    """Return the bounding box of an ellipsoid, and the approximate distance of its voxels from the surface, in mm."""
    axes, rotation = ellipsoid
    reach = axes[0] + EDGE
    first = np.maximum(0, np.ceil((center - reach) / steps)).astype(int)
    stop = np.minimum(shape, np.floor((center + reach) / steps) + 1).astype(int)
    box = tuple(slice(a, b) for a, b in zip(first, stop, strict=True))
    grid = np.meshgrid(*[np.arange(a, b) * step for a, b, step in zip(first, stop, steps, strict=True)], indexing="ij")
    inside = (np.stack(grid, axis=-1) - center) @ rotation
    # First order: exact on the surface, and for a sphere.
    size, slope = (np.linalg.norm(inside / power, axis=-1) for power in (axes, axes**2))
    distance = size * (size - 1) / np.maximum(slope, 1e-9)
    return box, np.where(size < 1e-9, -axes.min(), distance)
