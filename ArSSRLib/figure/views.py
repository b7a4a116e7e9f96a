"""The planes of a figure, and their sampling: planes through the patient, by position.

Everything is in LPS mm, so that volumes on different grids show the same points. Nothing here draws.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.volume import Volume

FloatArray = npt.NDArray[np.float64]
Image = npt.NDArray[np.float64]
Box = tuple[float, float, float, float]
Window = tuple[float, float]

# Samples along the larger edge of a view: about twice the pixels of a panel, so that voxel edges stay sharp in print.
SAMPLES = 900
#: Edge of the enlarged detail, as a fraction of the larger edge of a view.
DETAIL = 0.14
#: Magnification of the detail, and the largest fraction of the smaller edge of the view that it may cover.
ENLARGEMENT, COVERED = 2.5, 0.42
# Fraction of the range between background and bright tissue; lower values are air.
_FOREGROUND = 0.12


@dataclass(frozen=True)
class View:
    """A rectangle in the patient in radiological orientation.

    Attributes:
        name: Name of the plane.
        corner: Upper left corner, in LPS mm.
        right: Unit vector along its upper edge, in LPS.
        down: Unit vector along its left edge, in LPS.
        width: Width in mm.
        height: Height in mm.
        letters: Patient directions at the left, right, upper and lower edge.
    """

    name: str
    corner: FloatArray
    right: FloatArray
    down: FloatArray
    width: float
    height: float
    letters: str


def orthogonal_views(volumes: Sequence[Volume]) -> list[View]:
    """Return the axial, coronal and sagittal plane through the center of the anatomy."""
    geometry = volumes[0].geometry
    left, posterior, superior = _anatomical_axes(geometry)
    focus = _snapped(_anatomy(volumes[0]).mean(axis=0), _finest_grid(volumes))
    center = geometry.corners().mean(axis=0)
    directions = {
        "Axial": (left, posterior, "RLAP"),
        "Coronal": (left, -superior, "RLSI"),
        "Sagittal": (posterior, -superior, "APSI"),
    }
    # The same width for all, which leaves space for a detail beside narrow anatomy.
    width = max(_reach(geometry, left), _reach(geometry, posterior))
    planes = []
    for name, (right, down, letters) in directions.items():
        height = _reach(geometry, down)
        normal = np.cross(right, down)
        middle = center + normal * ((focus - center) @ normal)
        planes.append(View(name, middle - right * width / 2 - down * height / 2, right, down, width, height, letters))
    return planes


def parallel_views(volumes: Sequence[Volume], count: int) -> list[list[View]]:
    """Return ``count`` planes parallel to each of `orthogonal_views`, evenly distributed over the anatomy."""
    ends = _anatomy(volumes[0])
    stacks = []
    for view in orthogonal_views(volumes):
        normal = np.cross(view.right, view.down)
        low, high = sorted(float(end @ normal) for end in ends)
        places = [low + (n + 0.5) / count * (high - low) for n in range(count)]
        points = [_snapped(_at(view, place), _finest_grid(volumes)) for place in places]
        stacks.append([replace(view, corner=_at(view, float(point @ normal))) for point in points])
    return stacks


def _at(view: View, position: float) -> FloatArray:
    """Return the corner of a view after moving it along its normal to a position in mm."""
    normal = np.cross(view.right, view.down)
    return np.asarray(view.corner + normal * (position - view.corner @ normal))


def _finest_grid(volumes: Sequence[Volume]) -> VolumeGeometry:
    return volumes[finest(volumes)].geometry


def _reach(geometry: VolumeGeometry, axis: FloatArray) -> float:
    """Return the length of the field of view along one of its axes, in mm."""
    return float(np.ptp(geometry.corners() @ axis))


def _anatomical_axes(geometry: VolumeGeometry) -> FloatArray:
    """Return the grid axes that are closest to left, posterior and superior, shape (3, 3), in LPS."""
    axes = np.reshape(geometry.direction, (3, 3)).T
    order = max(itertools.permutations(range(3)), key=lambda p: sum(abs(axes[p[n], n]) for n in range(3)))
    return np.stack([axes[p] * (1.0 if axes[p, n] > 0 else -1.0) for n, p in enumerate(order)])


def _anatomy(volume: Volume) -> FloatArray:
    """Return two corners of the bounding box of the anatomy, robust against bright spots, shape (2, 3), in LPS mm."""
    every = 2 if min(volume.array.shape) > 16 else 1  # an eighth of a large volume describes it as well
    array = np.nan_to_num(volume.array[::every, ::every, ::every].astype(np.float64), posinf=0, neginf=0)
    low, high = np.percentile(array, [1, 99.5])
    inside = array > low + _FOREGROUND * (high - low)
    index = []
    for axis in (2, 1, 0):
        # A line of voxels counts if it contains more than a speck.
        amount = inside.sum(axis=tuple(n for n in range(3) if n != axis))
        filled = np.flatnonzero(amount > 0.02 * amount.max()) if amount.max() else np.arange(array.shape[axis])
        index.append((every * filled[0], every * filled[-1]))
    affine = volume.geometry.affine
    return np.asarray(np.transpose(index) @ affine[:3, :3].T + affine[:3, 3])


def finest(volumes: Sequence[Volume]) -> int:
    """Return the number of the volume with the smallest voxels; of equals, the last, which is usually the reference."""
    return min(range(len(volumes)), key=lambda n: (np.round(np.prod(volumes[n].geometry.spacing), 9), -n))


def _snapped(point: FloatArray, geometry: VolumeGeometry) -> FloatArray:
    """Return the nearest voxel center, also on a continuation of the grid beyond its field of view.

    A plane then never lies midway between two slices of the finest grid, where rounding would select one.
    """
    index = np.round(np.linalg.solve(geometry.affine, [*point, 1.0])[:3])
    return np.asarray((geometry.affine @ [*index, 1.0])[:3])


def pixel_centers(view: View, pixel: float | None = None) -> tuple[FloatArray, FloatArray]:
    """Return the distances of pixel rows and columns from the corner of a view, in mm, for an approximate size."""
    edge = pixel or max(view.width, view.height) / SAMPLES
    counts = ((length, max(1, round(length / edge))) for length in (view.height, view.width))
    rows, columns = ((np.arange(count) + 0.5) * length / count for length, count in counts)
    return rows, columns


def sample(volume: Volume, view: View, pixel: float | None = None) -> Image:
    """Return the voxels in a view, shape (rows, columns); NaN outside of the volume.

    The edge of a pixel is in mm; by default, there are `SAMPLES` along the longer edge of the view.
    """
    rows, columns = pixel_centers(view, pixel)
    to_index = np.linalg.inv(volume.geometry.affine)
    start = to_index[:3, :3] @ view.corner + to_index[:3, 3]
    right, down = to_index[:3, :3] @ view.right, to_index[:3, :3] @ view.down
    # Rounded first, so that the last bit of a position midway between two slices has no effect.
    points = start + rows[:, None, None] * down + columns[None, :, None] * right
    index = np.floor(np.round(points, 6) + 0.5).astype(np.int64)
    inside = ((index >= 0) & (index < volume.geometry.size)).all(axis=-1)
    i, j, k = np.moveaxis(index.clip(0, np.subtract(volume.geometry.size, 1)), -1, 0)
    image = np.where(inside, volume.array[k, j, i].astype(np.float64), np.nan)
    return np.where(np.isfinite(image), image, np.nan)


def gray_window(images: Sequence[Sequence[Image]]) -> Window:
    """Return the intensities drawn black and white, the same for all images."""
    values = np.concatenate([picture[::4, ::4].ravel() for pictures in images for picture in pictures])
    low, high = np.percentile(values[np.isfinite(values)], [1.0, 99.6]) if np.isfinite(values).any() else (0.0, 1.0)
    return (float(low), float(high) if high > low else float(low) + max(1.0, 0.1 * abs(float(low))))


def detail(image: Image, view: View, window: Window) -> Box | None:
    """Return the position of a detail to enlarge: the square with the strongest structure inside the anatomy.

    Returns:
        Left, top, width and height in mm from the corner of the view; None if the view is too narrow.
    """
    side = DETAIL * max(view.width, view.height)
    if side > min(view.width, view.height):
        return None
    pixel = view.width / image.shape[1]
    count = max(2, round(side / pixel))
    gray = np.nan_to_num((image - window[0]) / (window[1] - window[0])).clip(0, 1)
    step = np.abs(np.gradient(gray)).sum(axis=0)
    tissue = _box_mean((gray > _FOREGROUND).astype(np.float64), count)
    # Only tissue: otherwise, the outline of the head would be selected, which is the easiest part to reconstruct.
    score = _box_mean(step, count) * (tissue >= min(0.98, float(tissue.max())))
    row, column = np.unravel_index(int(np.argmax(score)), score.shape)
    return (float(column) * pixel, float(row) * pixel, side, side)


def _box_mean(values: FloatArray, n: int) -> FloatArray:
    """Return the mean over every square of ``n`` pixels along an edge, indexed by its upper left pixel."""
    total = np.pad(values.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    return np.asarray((total[n:, n:] - total[:-n, n:] - total[n:, :-n] + total[:-n, :-n]) / n**2)


def quiet_corner(images: Sequence[Image], box: Box, view: View, window: Window) -> Box:
    """Return the corner in mm where an enlarged detail hides the least anatomy, and not the detail itself."""
    side = min(ENLARGEMENT * box[2], COVERED * min(view.width, view.height))
    gap = 0.012 * max(view.width, view.height)
    lefts, tops = (gap, view.width - side - gap), (gap, view.height - side - gap)

    def _hidden(corner: Box) -> float:
        left, top = corner[:2]
        overlaps = left < box[0] + box[2] and box[0] < left + side and top < box[1] + box[3] and box[1] < top + side
        per_mm = images[0].shape[1] / view.width
        rows = slice(round(top * per_mm), round((top + side) * per_mm))
        columns = slice(round(left * per_mm), round((left + side) * per_mm))
        gray = [(np.nan_to_num(image[rows, columns]) - window[0]) / (window[1] - window[0]) for image in images]
        return float(np.mean([(g > _FOREGROUND).mean() for g in gray])) + 10 * overlaps

    return min(((left, top, side, side) for left in reversed(lefts) for top in reversed(tops)), key=_hidden)
