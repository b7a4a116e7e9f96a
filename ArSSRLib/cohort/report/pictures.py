"""The pictures of a result: the same slices of scan, interpolation, result, difference and uncertainty.

A layer of a plane is one WebP picture with all of its slices, one below the other, so that a page has few pictures and
selects a slice by moving its picture.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image as Picture

from ArSSRLib.figure.views import View, Window, gray_window, parallel_views, pixel_centers, sample
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.interpolation import centered_positions, spline_coefficients, spline_on_grid
from ArSSRLib.volume import Volume

FloatArray = npt.NDArray[np.float64]
# Slices per plane, pixels along the longer edge of a slice, and WebP quality; the first that fits the page is used.
GRADES = ((9, 384, 82), (9, 320, 74), (7, 256, 66), (5, 208, 58), (3, 160, 50))
# Axes may have rounding errors; a larger angle between two grids is a different orientation.
ALIGNED = 1e-3
# Largest distance between the corners of two fields of view, in mm, for comparing their voxels one by one.
SAME_VIEW_MM = 0.05
# Colors of a difference from negative to positive, and of an uncertainty from zero, in sRGB.
DIVERGING = ((86, 180, 255), (30, 84, 160), (0, 0, 0), (176, 78, 0), (255, 176, 64))
SEQUENTIAL = ((0, 0, 0), (84, 24, 110), (190, 55, 82), (249, 142, 9), (252, 255, 164))
OUTSIDE = 0


@dataclass(frozen=True)
class Line:
    """The positions of the slices of another plane, by its number, in a plane, as fractions of its edge."""

    plane: int
    places: tuple[float, ...]


@dataclass(frozen=True)
class Plane:
    """A stack of parallel slices.

    Attributes:
        view: The first slice.
        count: Number of slices.
        layers: Representations of the slices, by name, such as "scan": one below the other, as "data:" addresses.
        columns: Other plane whose slices appear as vertical lines.
        rows: Other plane whose slices appear as horizontal lines.
    """

    view: View
    count: int
    layers: Mapping[str, str]
    columns: Line
    rows: Line


@dataclass(frozen=True)
class Pictures:
    """All pictures of a result.

    Attributes:
        planes: Axial, coronal and sagittal, at the same scale in mm.
        window: Intensities drawn black and white, in scanner units.
        difference: Difference drawn in the brightest colors, in scanner units; 0 without that layer.
        uncertainty: Standard deviation drawn in the brightest color, in scanner units; 0 without that layer.
        mean_difference: Mean absolute difference, in percent of the window; None without that layer.
    """

    planes: tuple[Plane, ...]
    window: Window
    difference: float = 0.0
    uncertainty: float = 0.0
    mean_difference: float | None = None

    @property
    def size(self) -> int:
        """Size of all pictures in a page, in bytes."""
        return sum(len(picture) for plane in self.planes for picture in plane.layers.values())


@dataclass(frozen=True)
class Shown:
    """The volumes to draw, each read once; the scan, or an uncertainty on the grid of the result, may be missing."""

    result: Volume
    scan: Volume | None = None
    uncertainty: Volume | None = None


def pictures_of(shown: Shown, largest: int) -> Pictures:
    """Return the pictures of a result, in the best of `GRADES` that needs at most ``largest`` bytes.

    Only the slices in the pictures are computed, whatever the size of the volumes.
    """
    coefficients = None
    if shown.scan is not None and comparable(shown.scan.geometry, shown.result.geometry):
        array = np.nan_to_num(shown.scan.array.astype(np.float32), posinf=0, neginf=0)
        coefficients = spline_coefficients(torch.from_numpy(array)[None])[0]
    for count, edge, quality in GRADES:
        found = _drawn(*_layers(shown, coefficients, count, edge), quality)
        if found.size <= largest:
            break
    return found


def comparable(scan: VolumeGeometry, result: VolumeGeometry) -> bool:
    """Return whether two grids divide the same field of view along the same axes."""
    turned = np.abs(np.subtract(scan.direction, result.direction)).max() > ALIGNED
    return not turned and bool(np.abs(scan.corners() - result.corners()).max() <= SAME_VIEW_MM)


def _layers(
    shown: Shown, coefficients: torch.Tensor | None, count: int, edge: int
) -> tuple[list[list[View]], dict[str, list[FloatArray]]]:
    """Return views by plane and slice, and layers by name and plane.

    Layers have the shape (slices, rows, columns), in scanner units; NaN outside.
    """
    views = parallel_views([shown.result] if shown.scan is None else [shown.scan, shown.result], count)
    pixel = max(max(stack[0].width, stack[0].height) for stack in views) / edge
    pixel = max(pixel, min(shown.result.geometry.spacing))  # finer pixels would not show more

    def cut(volume: Volume) -> list[FloatArray]:
        """Return the voxels of a volume in every view."""
        return [np.stack([sample(volume, view, pixel) for view in stack]) for stack in views]

    layers = {} if shown.scan is None else {"scan": cut(shown.scan)}
    if shown.scan is not None and coefficients is not None:
        grids = shown.scan.geometry, shown.result.geometry
        layers["cubic"] = [
            np.stack([_interpolated(coefficients, grids, view, pixel) for view in stack]) for stack in views
        ]
    layers["result"] = cut(shown.result)
    if "cubic" in layers:
        layers["difference"] = [a - b for a, b in zip(layers["result"], layers["cubic"], strict=True)]
    if shown.uncertainty is not None:
        layers["uncertainty"] = cut(shown.uncertainty)
    return views, layers


def _interpolated(
    coefficients: torch.Tensor, grids: tuple[VolumeGeometry, VolumeGeometry], view: View, pixel: float
) -> FloatArray:
    """Return the cubic interpolation of the scan in a view along its axes, at the voxel centers of the result.

    ``coefficients`` are those of its spline, shape (k, j, i); ``grids`` those of scan and result; ``pixel`` is in mm.
    """
    scan, result = grids
    to_index = np.linalg.inv(result.affine)
    start = to_index[:3, :3] @ view.corner + to_index[:3, 3]
    ways = [np.abs(to_index[:3, :3] @ edge).argmax() for edge in (view.down, view.right)]
    index = [np.array([value]) for value in start]
    for way, edge, places in zip(ways, (view.down, view.right), pixel_centers(view, pixel), strict=True):
        index[way] = start[way] + places * (to_index[:3, :3] @ edge)[way]
    voxels = [np.floor(np.round(values, 6) + 0.5).astype(np.int64) for values in index]
    positions = [
        torch.from_numpy(centered_positions(old, new)[v.clip(0, new - 1)])
        for v, old, new in zip(voxels, scan.size, result.size, strict=True)
    ]
    values = spline_on_grid(coefficients, positions[::-1]).numpy().astype(np.float64)
    for axis, (v, new) in enumerate(zip(reversed(voxels), reversed(result.size), strict=True)):
        outside = np.flatnonzero((v < 0) | (v >= new))
        np.moveaxis(values, axis, 0)[outside] = np.nan
    # The axes of the array are (k, j, i); the axis across the view has a single position.
    order = [2 - ways[0], 2 - ways[1], 2 - (3 - ways[0] - ways[1])]
    return np.asarray(values.transpose(order)[..., 0])


def _drawn(views: Sequence[Sequence[View]], layers: dict[str, list[FloatArray]], quality: int) -> Pictures:
    """Return the slices as pictures, in one gray window."""
    window = gray_window([list(stack) for name in ("scan", "result") for stack in layers.get(name, ())])
    limits = {name: _limit(layers[name]) if name in layers else 0.0 for name in ("difference", "uncertainty")}
    mean = None
    if "difference" in layers:
        inside = np.concatenate([np.abs(stack[np.isfinite(stack)]) for stack in layers["difference"]])
        mean = 100 * float(inside.mean()) / (window[1] - window[0]) if inside.size else None
    planes = []
    for number, stack in enumerate(views):
        drawn = {
            name: _address(_colored(name, slices[number], window, limits), quality) for name, slices in layers.items()
        }
        planes.append(Plane(stack[0], len(stack), drawn, *_lines(views, number)))
    return Pictures(tuple(planes), window, limits["difference"], limits["uncertainty"], mean)


def _lines(views: Sequence[Sequence[View]], number: int) -> Iterator[Line]:
    """Return the intersections of the other planes with a plane: first those seen as columns, then as rows."""
    view = views[number][0]
    for edge, length in ((view.right, view.width), (view.down, view.height)):
        for other, stack in enumerate(views):
            if other != number and abs(np.cross(stack[0].right, stack[0].down) @ edge) > 0.5:
                places = [(slice_.corner - view.corner) @ edge / length for slice_ in stack]
                yield Line(other, tuple(round(float(place), 4) for place in places))


def _limit(stacks: Sequence[FloatArray]) -> float:
    """Return the value drawn in the brightest color: a round number that few voxels exceed."""
    values = np.concatenate([np.abs(stack[:, ::2, ::2]).ravel() for stack in stacks])
    values = values[np.isfinite(values)]
    highest = float(np.percentile(values, 99.5)) if values.size else 0.0
    return float(f"{highest:.2g}") or 1.0


def _colored(name: str, stack: FloatArray, window: Window, limits: dict[str, float]) -> npt.NDArray[np.uint8]:
    """Return slices as colors, one below the other, shape (slices * rows, columns, 3), or without the last if gray."""
    values = stack.reshape(-1, stack.shape[-1])
    if name == "difference":
        return _through(DIVERGING, (values / limits[name] + 1) / 2)
    if name == "uncertainty":
        return _through(SEQUENTIAL, values / limits[name])
    gray = (values - window[0]) / (window[1] - window[0])
    return np.asarray(np.nan_to_num(255 * gray.clip(0, 1), nan=OUTSIDE).round().astype(np.uint8))


def _through(colors: Sequence[Sequence[int]], values: FloatArray) -> npt.NDArray[np.uint8]:
    """Map values from 0 to 1 to interpolated colors; missing values are black."""
    places = np.linspace(0, 1, len(colors))
    table = np.stack([np.interp(np.linspace(0, 1, 256), places, [c[n] for c in colors]) for n in range(3)], axis=-1)
    index = np.nan_to_num(255 * values.clip(0, 1), nan=0).round().astype(np.int64)
    return np.asarray(np.where(np.isfinite(values)[..., None], table[index], 0).round().astype(np.uint8))


def _address(colors: npt.NDArray[np.uint8], quality: int) -> str:
    content = io.BytesIO()
    Picture.fromarray(colors).save(content, "WEBP", quality=quality, method=4)
    return "data:image/webp;base64," + base64.b64encode(content.getvalue()).decode("ascii")
