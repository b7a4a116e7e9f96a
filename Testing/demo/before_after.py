"""Renders the picture at the top of the README: a scan with thick slices, seen from the side, before and after.

    python Testing/demo/before_after.py INPUT

INPUT is a volume with thick axial slices; the README shows the in-plane T2-weighted scan of subject 02 of OpenNeuro
ds000011. Its central sagittal plane is shown as acquired, after cubic interpolation, and after ArSSR with the default
model, at half the finest spacing of the input. Only the slab around that plane is computed. For another input, choose
the visible part of the plane and the enlarged detail with --crop and --detail.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ArSSRLib import Volume, load_model, read_volume, upsample
from ArSSRLib.checkpoint.bundled import DEFAULT_MODEL
from ArSSRLib.figure import FOOTER, save_figure
from ArSSRLib.figure.views import Box, Image, View, gray_window, orthogonal_views, sample
from ArSSRLib.interpolation import cubic_upsample

PICTURE = Path(__file__).parents[2] / "Resources" / "Screenshots" / "before_after.png"
# Left, top, width and height of the visible part, and of the enlarged detail, in mm from the corner of the plane.
CROP, DETAIL = (4.0, 2.0, 190.0, 126.0), (98.0, 50.0, 64.0, 48.0)
# GitHub shows the picture at about half of this size: letters must be large.
WIDTH, DPI, TITLE, NOTE = 12.0, 150, 21, 13
GAP, TOP, BOTTOM = 0.08, 0.95, 0.38  # inches
# Fine voxels on each side of the plane that are computed, too.
MARGIN = 2
ACCENT, BRIGHT, MUTED = "#ffb300", "#ffffff", "#b4bac2"


def slab_of(volume: Volume, plane: View, model: str | Path) -> tuple[Volume, Volume]:
    """Return cubic interpolation and ArSSR in a slab around a sagittal plane, at half the finest spacing."""
    spacing = min(volume.geometry.spacing) / 2
    scale = [length / spacing for length in volume.geometry.spacing]
    fine = volume.geometry.upsampled(scale)
    normal = np.cross(plane.right, plane.down)
    axis = int(np.argmax(np.abs(np.reshape(fine.direction, (3, 3)).T @ normal)))
    index = round(float(np.linalg.solve(fine.affine, [*plane.corner, 1.0])[axis]))
    region = [(0, count) for count in fine.size]
    region[axis] = (max(0, index - MARGIN), min(fine.size[axis], index + MARGIN + 1))
    result = upsample(volume, load_model(model), scale, region=region)
    whole = cubic_upsample(torch.from_numpy(volume.array.astype(np.float32)), fine.shape).numpy()
    i, j, k = (slice(*ends) for ends in region)
    return result.with_array(whole[k, j, i]), result


def drawn(images: list[tuple[str, str, Image]], plane: View, crop: Box, closer: Box) -> Figure:
    """Return a figure with one column for each image, and the enlarged detail below."""
    column = (WIDTH - GAP * (len(images) + 1)) / len(images)
    heights = [column * box[3] / box[2] for box in (crop, closer)]
    height = TOP + sum(heights) + GAP + BOTTOM
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor="black")
    window = gray_window([[cut(image, plane, crop) for _, _, image in images]])
    for number, (title, note, image) in enumerate(images):
        left = GAP + number * (column + GAP)
        center, top = (left + column / 2) / WIDTH, TOP
        figure.text(center, 1 - 0.32 / height, title, color=BRIGHT, size=TITLE, weight="bold", ha="center", va="center")
        figure.text(center, 1 - 0.7 / height, note, color=MUTED, size=NOTE, ha="center", va="center")
        for box, tall in zip((crop, closer), heights, strict=True):
            axes = figure.add_axes((left / WIDTH, 1 - (top + tall) / height, column / WIDTH, tall / height))
            axes.imshow(image, cmap="gray", vmin=window[0], vmax=window[1], extent=(0, plane.width, plane.height, 0))
            axes.set(xlim=(box[0], box[0] + box[2]), ylim=(box[1] + box[3], box[1]), xticks=[], yticks=[])
            axes.spines[:].set(color=ACCENT if box is closer else "black", linewidth=2)
            if box is crop:
                axes.add_patch(Rectangle(closer[:2], *closer[2:], fill=False, edgecolor=ACCENT, linewidth=2))
            top += tall + GAP
    figure.text(0.5, 0.18 / height, FOOTER, color=MUTED, size=NOTE - 1, ha="center", va="center")
    return figure


def cut(image: Image, plane: View, box: Box) -> Image:
    """Return the pixels of an image in a box, given in mm."""
    per_mm = image.shape[1] / plane.width
    left, top, width, height = (round(length * per_mm) for length in box)
    return image[top : top + height, left : left + width]


def main(arguments: list[str] | None = None) -> Path:
    """Render the picture."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", maxsplit=1)[0])
    parser.add_argument("input", type=Path, help="volume with thick axial slices")
    box = {"type": float, "nargs": 4, "metavar": ("LEFT", "TOP", "WIDTH", "HEIGHT")}
    parser.add_argument("--crop", default=CROP, help="visible part of the plane, in mm", **box)
    parser.add_argument("--detail", default=DETAIL, help="enlarged detail, in mm", **box)
    parser.add_argument("--output", type=Path, default=PICTURE, help="PNG file (default: the picture in the README)")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="model name or weights file (default: %(default)s)")
    args = parser.parse_args(arguments)
    volume = read_volume(args.input)
    plane = next(view for view in orthogonal_views([volume]) if view.name == "Sagittal")
    cubic, result = slab_of(volume, plane, args.model)
    shown = [("As acquired", volume), ("Cubic interpolation", cubic), ("ArSSR", result)]
    images = [(title, size_of(each), sample(each, plane)) for title, each in shown]
    save_figure(drawn(images, plane, tuple(args.crop), tuple(args.detail)), args.output)
    print(args.output)
    return args.output


def size_of(volume: Volume) -> str:
    """Return the voxel size as text."""
    return " \N{MULTIPLICATION SIGN} ".join(f"{length:.2g}" for length in volume.geometry.spacing) + " mm"


if __name__ == "__main__":
    main()
