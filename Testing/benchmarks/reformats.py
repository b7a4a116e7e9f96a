"""A figure of thick slices from the side: the scan and its results, with one image per plane.

    python Testing/benchmarks/reformats.py CACHE OUTPUT VOLUME [VOLUME ...]

Each volume is upsampled to its finest spacing. Only the drawn plane is computed, as a region of the result; the images
are stored in the folder CACHE, so that an interrupted figure can be continued. OUTPUT is a folder.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.figure import Figure

from ArSSRLib.checkpoint import DEFAULT_MODEL, DEFAULT_MODELS, load_model
from ArSSRLib.figure import FOOTER, save_figure
from ArSSRLib.figure.views import View, orthogonal_views, sample
from ArSSRLib.geometry import scale_for_isotropic
from ArSSRLib.interpolation import cubic_upsample
from ArSSRLib.io import read_volume
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.upsampling import upsample
from ArSSRLib.volume import Volume

# Edge of a pixel in mm, dots per inch, width of an image in inches.
PIXEL, DPI, INCHES = 0.6, 130, 2.9
# Percentile of the anatomy drawn white: fat and vessels are brighter. Fraction of the range that is anatomy.
WHITE, ANATOMY = 90, 0.15

Image = npt.NDArray[np.float64]


def plain(volume: Volume, _: Sequence[Sequence[int]]) -> Volume:
    """Return the scan, voxel by voxel."""
    return volume


def cubic(volume: Volume, _: Sequence[Sequence[int]]) -> Volume:
    """Return the cubic interpolation of the volume."""
    fine = volume.geometry.upsampled(scale_for_isotropic(volume.geometry))
    array = cubic_upsample(torch.from_numpy(volume.array.astype(np.float32)), fine.shape)
    return Volume(array.numpy(), fine, volume.header)


def network(volume: Volume, region: Sequence[Sequence[int]], *, model: str, quality: str = "standard") -> Volume:
    """Return a region of the result of a bundled model."""
    options = UpsamplingOptions(device="cpu", quality=quality)
    return upsample(volume, load_model(model), scale_for_isotropic(volume.geometry), options, region=region)


WAYS: dict[str, Callable[[Volume, Sequence[Sequence[int]]], Volume]] = {
    "scan": plain,
    "cubic": cubic,
    "arssr2": partial(network, model="arssr2"),
    DEFAULT_MODEL: partial(network, model=DEFAULT_MODEL),
    "best": partial(network, model=DEFAULT_MODELS["best"], quality="best"),
}


def pictures_of(path: Path, plane: str, cache: Path) -> list[Image]:
    """Return one image per way, shape (rows, columns)."""
    volume = read_volume(path)
    fine = volume.geometry.upsampled(scale_for_isotropic(volume.geometry))
    nothing = Volume(np.broadcast_to(np.float32(0), fine.shape), fine)
    view = next(view for view in orthogonal_views([volume, nothing]) if view.name == plane)
    region = _region(view, fine.affine, fine.size)
    images = []
    for name, way in WAYS.items():
        kept = cache / f"{path.name}-{plane}-{name}.npy"
        if not kept.is_file():
            np.save(kept, sample(way(volume, region), view, PIXEL))
        images.append(np.load(kept))
    return images


def _region(view: View, affine: npt.NDArray[np.float64], size: Sequence[int]) -> list[tuple[int, int]]:
    """Return the voxels, (first, stop) along i, j, k, of the slice in a view."""
    inverse = np.linalg.inv(affine)
    axis = int(np.argmax(np.abs(inverse[:3, :3] @ np.cross(view.right, view.down))))
    number = round(float((inverse @ [*view.corner, 1.0])[axis]))
    return [(number, number + 1) if n == axis else (0, length) for n, length in enumerate(size)]


def draw(rows: Sequence[Sequence[Image]], titles: Sequence[str], path: Path) -> None:
    """Draw one row per volume, each in its own window, and one column per way."""
    heights = [row[0].shape[0] / row[0].shape[1] for row in rows]
    size = (INCHES * len(WAYS), INCHES * sum(heights) + 0.25 * len(rows) + 0.5)
    figure = Figure(figsize=size, dpi=DPI, facecolor="black", layout="constrained")
    grid = figure.subplots(len(rows), len(WAYS), squeeze=False, height_ratios=heights)
    for axes, images, title in zip(grid, rows, titles, strict=True):
        low, high = _window(images[0])
        for place, image, name in zip(axes, images, WAYS, strict=True):
            place.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
            place.set_axis_off()
            place.set_title(f"{title}\n{name}" if name == "scan" else name, color="white", fontsize=8)
    figure.supxlabel(FOOTER, color="0.6", fontsize=8)
    save_figure(figure, path)


def _window(image: Image) -> tuple[float, float]:
    values = image[np.isfinite(image)]
    low, high = np.percentile(values, (1, 99))
    anatomy = values[values > low + ANATOMY * (high - low)]
    return float(low), float(np.percentile(anatomy, WHITE))


def main(argv: Sequence[str] | None = None) -> None:
    """Draw both planes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("volumes", type=Path, nargs="+")
    parser.add_argument("--plane", choices=("Sagittal", "Coronal"), action="append")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    args.cache.mkdir(parents=True, exist_ok=True)
    for plane in args.plane or ("Sagittal", "Coronal"):
        rows = [pictures_of(path, plane, args.cache) for path in args.volumes]
        titles = [path.name.removesuffix(".nii.gz") for path in args.volumes]
        draw(rows, titles, args.output / f"reformats_{plane.lower()}.png")


if __name__ == "__main__":
    main()
