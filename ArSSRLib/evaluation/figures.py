"""The figures of an evaluation: montages with error maps, intensity profiles, calibration, and real thick slices.

They are drawn from the stored volumes of the cells, so nothing is computed for them. `ArSSRLib.figure` draws the
montages, and `curves` the training curves.
"""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.lib.stride_tricks import sliding_window_view

from ArSSRLib.acquisition.ripple import slice_ripple
from ArSSRLib.evaluation.calibration import ERROR, curve
from ArSSRLib.evaluation.cases import REAL
from ArSSRLib.evaluation.results import Results, Row
from ArSSRLib.evaluation.runner import Cell
from ArSSRLib.figure import FOOTER, save_comparison, save_figure
from ArSSRLib.figure.views import View, gray_window, orthogonal_views, sample
from ArSSRLib.io import read_volume
from ArSSRLib.metrics import brain_mask
from ArSSRLib.volume import Volume

FOLDER = "figures"
# Voxels of an intensity profile: long enough for a few gyri, short enough to distinguish every voxel.
PROFILE_LENGTH = 48
DPI = 140

Panels = list[tuple[str, Volume]]


@dataclass(frozen=True)
class Line:
    """A row of voxels of an array along an axis: its first voxel (k, j, i) and its number of voxels."""

    axis: int
    start: tuple[int, int, int]
    length: int

    def of(self, array: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """Return the intensities on the line."""
        index: list[int | slice] = list(self.start)
        index[self.axis] = slice(self.start[self.axis], self.start[self.axis] + self.length)
        return np.asarray(array[tuple(index)])


def draw_figures(results: Results, folder: Path) -> list[Path]:
    """Draw every subject whose volumes were stored; existing figures are replaced.

    Returns:
        The files, in the order of the table.
    """
    groups: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in results.cells:
        if cell.picture is not None:
            groups.setdefault((cell.place.subject, cell.place.scale, cell.place.degradation), []).append(cell)
    drawn = []
    for (subject, scale, degradation), cells in groups.items():
        truth = "truth (synthetic lesions)" if results.protocol.lesions else "truth"
        panels = _panels(cells, "input" if degradation == REAL else truth)
        if len(panels) < 2:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{subject}_{scale}_{degradation}"
        if degradation == REAL:
            drawn.append(draw_reformat(panels, folder / f"{name}_reformat.png"))
            continue
        montage = folder / f"{name}_montage.png"
        drawn.append(save_comparison(montage, panels, difference_to=0, overwrite=True))
        drawn.append(draw_profile(panels, folder / f"{name}_profile.png", axis=_coarsest_axis(scale)))
    rows = results.rows()
    if any(row.metric == ERROR for row in rows):
        folder.mkdir(parents=True, exist_ok=True)
        drawn.append(draw_calibration(rows, folder / "calibration.png"))
    return drawn


def draw_calibration(rows: Sequence[Row], path: Path) -> Path:
    """Draw the mean absolute error over the mean uncertainty, with a point per decile; return ``path``.

    There is a line per setting with the numbers of `calibration` in its rows; other rows are ignored.
    """
    figure = Figure(figsize=(5.4, 4.4), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    settings = dict.fromkeys((row.method, row.scale, row.degradation) for row in rows if row.metric == ERROR)
    end = 0.0
    for setting in settings:
        here = [row for row in rows if (row.method, row.scale, row.degradation) == setting]
        points = curve([(row.metric, row.region, row.value) for row in here])
        method, scale, degradation = setting
        axes.plot(*zip(*points, strict=True), marker="o", markersize=4, label=f"{method}, {scale} {degradation}")
        end = max(end, *(x for x, _ in points))
    honest = math.sqrt(2 / math.pi)
    axes.plot([0, end], [0, honest * end], color="0.5", linestyle="--", label="standard deviation of a Gaussian error")
    axes.set_xlabel("mean uncertainty of a tenth of the voxels, % of the range")
    axes.set_ylabel("mean absolute error there, % of the range")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, frameon=False)
    return save_figure(figure, path)


def draw_profile(panels: Panels, path: Path, *, axis: int) -> Path:
    """Draw the intensities of all panels along a line, and its position, as in the paper's Figure 8; return ``path``.

    The volumes are on one grid, the truth first; ``axis`` is that of the arrays which the line follows.
    """
    truth = panels[0][1]
    line = detailed_line(truth.array, axis)
    figure = Figure(figsize=(11, 4.2), dpi=DPI, layout="constrained")
    where, curves = figure.subplots(1, 2, width_ratios=(1, 2.2))
    _draw_place(where, truth, line)
    spacing = truth.geometry.spacing[2 - axis]
    millimeters = np.arange(line.length) * spacing
    for number, (title, volume) in enumerate(panels):
        style = {"color": "black", "linewidth": 2.2} if number == 0 else {"color": f"C{number - 1}", "linewidth": 1.3}
        curves.plot(millimeters, line.of(volume.array), label=title, **style)
    curves.set_xlabel(f"mm along {'kji'[axis]}")
    curves.set_ylabel("intensity")
    curves.grid(alpha=0.25)
    curves.legend(fontsize=8, frameon=False)
    return save_figure(figure, path)


def detailed_line(array: npt.NDArray[np.floating], axis: int) -> Line:
    """Return the line with the largest total variation among those entirely inside the anatomy."""
    length = min(PROFILE_LENGTH, array.shape[axis])
    lines = np.moveaxis(array.astype(np.float64), axis, -1)
    inside = np.moveaxis(brain_mask(array), axis, -1)
    change = np.abs(np.diff(lines, axis=-1))
    variation = sliding_window_view(change, length - 1, axis=-1).sum(axis=-1)
    filled = sliding_window_view(inside, length, axis=-1).sum(axis=-1)
    score = np.where(filled >= filled.max(), variation, -1.0)
    found = np.unravel_index(int(np.argmax(score)), score.shape)
    start = [int(n) for n in found[:2]]
    start.insert(axis, int(found[2]))
    return Line(axis, (start[0], start[1], start[2]), length)


def draw_reformat(panels: Panels, path: Path) -> Path:
    """Draw thick slices from the side, in true proportions, and return ``path``.

    The first panel is the input, voxel by voxel, whose slice axis is its coarsest axis.
    """
    source = panels[0][1].geometry
    thick = int(np.argmax(source.spacing))
    normal = np.reshape(source.direction, (3, 3))[:, thick]
    views = [view for view in orthogonal_views([volume for _, volume in panels]) if _shows(view, normal)]
    pictures = [[sample(volume, view) for _, volume in panels] for view in views]
    low, high = gray_window(pictures)
    ratios = [view.height / view.width for view in views]
    size = (3.6 * len(panels), 3.6 * sum(ratios) + 0.7)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained", facecolor="black")
    grid = figure.subplots(len(views), len(panels), squeeze=False, height_ratios=ratios)
    for row, view, images in zip(grid, views, pictures, strict=True):
        for axes, image in zip(row, images, strict=True):
            axes.imshow(image, cmap="gray", vmin=low, vmax=high, extent=(0, view.width, view.height, 0))
            axes.set_axis_off()
    for axes, (title, volume) in zip(grid[0], panels, strict=True):
        axes.set_title(_with_ripple(title, volume, source.spacing[thick], thick), color="white", fontsize=11)
    figure.supxlabel(FOOTER, color="0.6", fontsize=8)
    return save_figure(figure, path)


def _panels(cells: Sequence[Cell], first: str) -> Panels:
    stored = ((cell.place.method or first, cell.picture) for cell in cells if cell.picture is not None)
    return [(title, read_volume(path)) for title, path in stored if path.exists()]


def _coarsest_axis(scale: str) -> int:
    """Return the array axis with the largest scale in a label; if several are equal, that of i."""
    factors = [float(part) for part in scale.split("x")]
    return 2 - int(np.argmax(factors)) if len(factors) == 3 else 2


def _shows(view: View, normal: npt.NDArray[np.float64]) -> bool:
    """Return whether a view cuts across the slices."""
    return max(abs(float(view.right @ normal)), abs(float(view.down @ normal))) > 0.9


def _with_ripple(title: str, volume: Volume, distance: float, thick: int) -> str:
    period = distance / volume.geometry.spacing[thick]
    if period < 1.05:
        return f"{title}\nslices {distance:.3g} mm apart"
    return f"{title}\nslice ripple {slice_ripple(volume.array, 2 - thick, period):.2f}"


def _draw_place(axes: Axes, truth: Volume, line: Line) -> None:
    """Draw the slice that contains a line, with the first axis of the slice upright, and mark the line."""
    across = next(axis for axis in (0, 1, 2) if axis != line.axis)
    upright, along = [axis for axis in (0, 1, 2) if axis != across]
    image = np.take(truth.array, line.start[across], axis=across)
    spacing = truth.geometry.spacing[::-1]
    axes.imshow(image, cmap="gray", origin="lower", aspect=spacing[upright] / spacing[along])
    width, height = (line.length if axis == line.axis else 1 for axis in (along, upright))
    corner = (line.start[along] - 0.5, line.start[upright] - 0.5)
    axes.add_patch(Rectangle(corner, width, height, fill=False, edgecolor="#ffb300", linewidth=1.6))
    axes.set_axis_off()
    axes.set_title("where the line lies", fontsize=9)
