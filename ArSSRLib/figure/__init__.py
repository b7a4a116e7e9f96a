"""Figures of volumes side by side, for judging the effect of upsampling by eye.

Every panel shows the same points of the patient, regardless of its grid: three planes in radiological orientation,
along the axes of the first volume, in true proportions and in one gray window; voxels are drawn without interpolation.
`views` selects the planes; only this file uses matplotlib. Nothing here measures quality.
"""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import io
import os
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from ArSSRLib.errors import InputError, OutputError
from ArSSRLib.figure.views import (
    Box,
    Image,
    View,
    Window,
    detail,
    finest,
    gray_window,
    orthogonal_views,
    quiet_corner,
    sample,
)
from ArSSRLib.leftovers import write_whole
from ArSSRLib.volume import Volume

FOOTER = "For research, not for diagnosis"
_BACKGROUND, _TEXT, _MUTED, _ACCENT = "#000000", "#f4f4f4", "#9aa1ab", "#ffb300"
_DPI = 150
_COLUMN_INCHES, _MAXIMUM_INCHES = 3.2, 13.0
_GAP, _LEFT, _TOP, _BOTTOM = 0.06, 0.34, 0.62, 0.36  # inches


def save_comparison(
    path: str | os.PathLike[str],
    panels: Sequence[tuple[str, Volume]],
    *,
    difference_to: int | None = None,
    overwrite: bool = False,
) -> Path:
    """Draw volumes side by side, with one column per volume and one row per plane, and a detail of each enlarged.

    Args:
        path: A PNG file.
        panels: Titles and volumes; the first volume defines the axes and the field of view.
        difference_to: Number of the panel, from 0, with which an additional row compares the others: the absolute
            difference in the plane where it is largest.
        overwrite: Replace an existing file.

    Returns:
        ``path``.

    Raises:
        InputError: If there is no panel, ``difference_to`` is not a panel, or a volume is elsewhere in the patient.
        OutputError: If the file cannot be written. Nothing is left behind.
    """
    path = Path(path)
    _refuse(path, panels, difference_to, overwrite)
    volumes = [volume for _, volume in panels]
    planes = orthogonal_views(volumes)
    images = [[sample(volume, plane) for volume in volumes] for plane in planes]
    _require_overlap(panels, images)
    window = gray_window(images)
    differences = None if difference_to is None else _largest_difference(images, difference_to)
    figure, grid = _canvas([*planes, *([planes[differences]] if differences is not None else [])], panels)
    for plane, pictures, row in zip(planes, images, grid, strict=False):
        box = detail(pictures[finest(volumes)], plane, window)
        corner = quiet_corner(pictures, box, plane, window) if box else None
        for picture, axes in zip(pictures, row, strict=True):
            axes.imshow(picture, cmap="gray", vmin=window[0], vmax=window[1], **_placed(plane))
            axes.set(xlim=(0, plane.width), ylim=(plane.height, 0))
            if box and corner:
                _draw_inset(axes, picture, plane, window, (box, corner))
        _annotate(row[0], plane)
    _draw_scale_bar(grid[0][0], planes[0])
    if differences is not None and difference_to is not None:
        _draw_differences(grid[-1], planes[differences], images[differences], (difference_to, panels[difference_to][0]))
    return save_figure(figure, path)


def _refuse(path: Path, panels: Sequence[object], difference_to: int | None, overwrite: bool) -> None:
    if not panels:
        msg = "A comparison needs at least one volume, but got none."
        raise InputError(msg)
    if difference_to is not None and not 0 <= difference_to < len(panels):
        msg = f"difference_to must be the number of a panel, 0 to {len(panels) - 1}, got {difference_to}."
        raise InputError(msg)
    if path.suffix.lower() != ".png":
        msg = f"{path}: pictures are saved as PNG; choose a name that ends in .png."
        raise OutputError(msg)
    if path.is_dir() or (path.exists() and not overwrite):
        msg = f"{path}: already exists; choose another name, or allow overwriting it."
        raise OutputError(msg)


def _require_overlap(panels: Sequence[tuple[str, Volume]], images: Sequence[Sequence[Image]]) -> None:
    for number, (title, _) in enumerate(panels):
        if not any(np.isfinite(pictures[number]).any() for pictures in images):
            msg = (
                f'The volume "{title}" shows nothing at the position of "{panels[0][0]}": it lies elsewhere or is '
                "not finite; compare volumes of the same examination."
            )
            raise InputError(msg)


def _canvas(rows: Sequence[View], panels: Sequence[tuple[str, Volume]]) -> tuple[Figure, list[list[Axes]]]:
    """Return an empty figure and its axes by row and column, all at the same scale of mm to inches."""
    widest, total = max(view.width for view in rows), sum(view.height for view in rows)
    scale = min(_COLUMN_INCHES / widest, _MAXIMUM_INCHES / total)
    # With space for a title even if the anatomy is narrow.
    column = max(widest * scale, 0.6 * _COLUMN_INCHES)
    width = _LEFT + len(panels) * (column + _GAP) + _GAP
    height = _TOP + total * scale + len(rows) * _GAP + _BOTTOM
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor=_BACKGROUND)
    grid, top = [], _TOP
    for view in rows:
        box = [column / width, view.height * scale / height]
        bottom = 1 - (top + view.height * scale) / height
        lefts = [(_LEFT + n * (column + _GAP)) / width for n in range(len(panels))]
        grid.append([figure.add_axes((left, bottom, box[0], box[1]), facecolor=_BACKGROUND) for left in lefts])
        top += view.height * scale + _GAP
    for axes in (axes for row in grid for axes in row):
        axes.set_axis_off()
    for n, (title, volume) in enumerate(panels):
        center = (_LEFT + n * (column + _GAP) + column / 2) / width
        spacing = " \N{MULTIPLICATION SIGN} ".join(f"{x:.3g}" for x in volume.geometry.spacing)
        heading = _short(title, int(column * 9))
        _write(figure, (center, 1 - 0.27 / height), heading, size=13, weight="bold", ha="center", va="center")
        _write(figure, (center, 1 - 0.49 / height), f"{spacing} mm", size=9, color=_MUTED, ha="center", va="center")
    _write(figure, (0.5, 0.16 / height), FOOTER, size=9, color=_MUTED, ha="center", va="center")
    return figure, grid


def _placed(view: View) -> dict[str, Any]:
    extent = (0, view.width, view.height, 0)
    return {"extent": extent, "aspect": "equal", "interpolation": "antialiased", "interpolation_stage": "data"}


def _draw_inset(axes: Axes, picture: Image, view: View, window: Window, boxes: tuple[Box, Box]) -> None:
    """Mark a box in an image, and draw its content enlarged into another box."""
    (left, top, width, height), (at_left, at_top, large, tall) = boxes
    axes.add_patch(Rectangle((left, top), width, height, fill=False, edgecolor=_ACCENT, linewidth=1.3))
    bottom = 1 - (at_top + tall) / view.height
    closer = axes.inset_axes((at_left / view.width, bottom, large / view.width, tall / view.height))
    closer.imshow(picture, cmap="gray", vmin=window[0], vmax=window[1], **_placed(view))
    closer.set(xlim=(left, left + width), ylim=(top + height, top), xticks=[], yticks=[], facecolor=_BACKGROUND)
    for spine in closer.spines.values():
        spine.set(edgecolor=_ACCENT, linewidth=1.6)


def _annotate(axes: Axes, view: View) -> None:
    """Write the name of the plane beside the first image, and the patient directions of its edges."""
    box = axes.get_position()
    figure = axes.get_figure(root=True)
    if figure is not None:
        place = (_LEFT * 0.45 / figure.get_figwidth(), (box.y0 + box.y1) / 2)
        _write(figure, place, view.name, size=11, color=_MUTED, rotation=90, ha="center", va="center")
    places = {(0.02, 0.5): "left", (0.98, 0.5): "right", (0.5, 0.985): "top", (0.5, 0.015): "bottom"}
    for letter, ((x, y), side) in zip(view.letters, places.items(), strict=True):
        across, along = (side, "center") if side in ("left", "right") else ("center", side)
        _write(axes, (x, y), letter, size=9, ha=across, va=along, transform=axes.transAxes)


def _draw_scale_bar(axes: Axes, view: View) -> None:
    length = max(n for n in (1, 2, 5, 10, 20, 50, 100) if n == 1 or n < view.width / 3)
    x, y = 0.04 * view.width, view.height - 0.05 * view.height
    axes.plot([x, x + length], [y, y], color=_TEXT, linewidth=2, solid_capstyle="butt")
    _write(axes, (x, y - 0.015 * view.height), f"{length} mm", size=8, va="bottom")


def _largest_difference(images: Sequence[Sequence[Image]], reference: int) -> int:
    """Return the number of the view in which the panels differ most from the reference."""
    means = [
        sum(float(np.nan_to_num(np.abs(picture - pictures[reference])).mean()) for picture in pictures)
        for pictures in images
    ]
    return int(np.argmax(means))


def _draw_differences(row: Sequence[Axes], view: View, pictures: Sequence[Image], to: tuple[int, str]) -> None:
    """Draw absolute differences from a panel, given by number and title; the color scale is drawn in its place."""
    reference, title = to
    differences = [np.abs(picture - pictures[reference]) for picture in pictures]
    finite = np.concatenate([d[np.isfinite(d)] for n, d in enumerate(differences) if n != reference] or [np.zeros(1)])
    highest = float(np.percentile(finite, 99.7)) if finite.size else 0.0
    for axes, difference in zip(row, differences, strict=True):
        drawn = axes.imshow(difference, cmap="inferno", vmin=0, vmax=highest or 1.0, **_placed(view))
        axes.set(xlim=(0, view.width), ylim=(view.height, 0))
    _annotate(row[0], replace(view, name=f"Difference, {view.name.lower()}"))
    place, figure = row[reference], row[reference].get_figure(root=True)
    place.clear()
    place.set_axis_off()
    bar = place.inset_axes((0.14, 0.47, 0.72, 0.06))
    if figure is not None:
        colors = figure.colorbar(drawn, cax=bar, orientation="horizontal")
        colors.outline.set_edgecolor(_MUTED)
    bar.tick_params(colors=_MUTED, labelsize=8)
    bar.set_title(f"|difference to {_short(title, 16)}|", color=_TEXT, fontsize=10, pad=8, parse_math=False)


def _short(title: str, letters: int) -> str:
    words = " ".join(title.split())
    return words if len(words) <= letters else words[: letters - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"


def _write(on: Figure | Axes, place: tuple[float, float], text: str, *, size: float, **style: Any) -> None:  # noqa: ANN401 - matplotlib's own
    """Write text literally: a dollar sign in a title does not start a formula."""
    style.setdefault("color", _TEXT)
    outline = withStroke(linewidth=1.8, foreground=_BACKGROUND)  # readable on bright tissue, too
    on.text(*place, text, fontsize=size, parse_math=False, path_effects=[outline], **style)


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG, completely or not at all, and return ``path``; an existing file is replaced.

    Raises:
        OutputError: If the file cannot be written.
    """
    content = io.BytesIO()
    with warnings.catch_warnings():
        # Characters that the font lacks are drawn as boxes, without warnings on the standard error.
        warnings.simplefilter("ignore")
        FigureCanvasAgg(figure).print_png(content, metadata={"Software": None})
    write_whole(path, content.getvalue())
    return path
