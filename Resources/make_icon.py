"""Draw the pictures of the extension: its icon, and the thumbnail of its sample data set.

Run it from anywhere: ``python Resources/make_icon.py``. Everything is made of a few formulas, no volume is needed:
an axial slice of a brain that turns from coarse voxels on the left into a smooth picture on the right.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

Picture = npt.NDArray[np.float64]

RESOURCES = Path(__file__).resolve().parent
MODULE = RESOURCES.parent / "ArSSR" / "Resources"
# Drawn this many times larger, then averaged: smooth edges without any drawing library.
DETAIL = 8
SIZE = 128
# Dark navy, teal, ivory: from no signal to the strongest.
COLORS = [
    (0.0, (9, 19, 41)),
    (0.3, (22, 66, 104)),
    (0.62, (63, 171, 184)),
    (0.85, (206, 236, 226)),
    (1.0, (255, 253, 244)),
]
# Where voxels end, and how many of them fit across the picture: coarse, finer, then none to be seen.
BANDS = [(0.25, 8), (0.5, 16)]


def brain(pixels: int, *, slabs: int = 0) -> Picture:
    """Return the intensity of a brain slice in [0, 1], shape (pixels, pixels), and 0 outside the head.

    Args:
        pixels: Edge of the picture.
        slabs: Show the slice as so many thick rows, as a view across thick slices does; 0 for none.
    """
    y, x = (np.mgrid[:pixels, :pixels] + 0.5) / pixels * 2 - 1
    x, y = x / 0.80, (y + 0.01) / 0.93
    # Of one half; the other is its mirror image.
    angle, radius = np.arctan2(y, np.abs(x)), np.hypot(x, y)
    # The head narrows toward the front, which is up.
    head = radius / (1 - 0.045 * np.clip(-np.sin(angle), 0, 1) ** 2)
    picture = 0.60 * _inside(head, 0.99) - 0.56 * _inside(head, 0.93)
    # Folds of uneven width: the furrows are narrow where they open and wide in the depth, where white matter ends.
    furrow = 0.5 + 0.5 * np.cos(15 * angle + 1.1 * np.sin(3 * angle + 0.5) + 0.6 * np.sin(7 * angle))
    depth = 0.75 + 0.25 * np.cos(5 * angle + 0.8)
    cortex = 0.868 - 0.085 * depth * furrow**7
    white = 0.745 - 0.20 * depth * furrow**1.6
    picture += 0.46 * _inside(head, cortex) + 0.42 * _inside(head, white, softness=0.018)
    return np.clip(_details(picture, x, y) if not slabs else _rows(_details(picture, x, y), slabs), 0, 1)


def _details(picture: Picture, x: Picture, y: Picture) -> Picture:
    """Return a slice with the fissure between the halves, the ventricles and the deep gray matter."""
    side = np.abs(x)
    fissure = (np.abs(y) > 0.40) & (np.abs(y) < 0.875)
    picture = picture * (1 - 0.8 * np.exp(-((x / 0.02) ** 2)) * fissure)
    front = _ellipse(side, y, center=(0.115 - 0.22 * (y + 0.2), -0.19), axes=(0.062, 0.17))
    back = _ellipse(side, y, center=(0.150 + 0.30 * (y - 0.2), 0.26), axes=(0.058, 0.18))
    deep = _ellipse(side, y, center=(0.29 + 0.15 * y, 0.04), axes=(0.095, 0.21))
    return (picture - 0.34 * deep) * (1 - 0.93 * np.maximum(front, back))


def _ellipse(x: Picture, y: Picture, *, center: tuple[object, float], axes: tuple[float, float]) -> Picture:
    return _inside(np.hypot((x - center[0]) / axes[0], (y - center[1]) / axes[1]), 1.0, softness=0.06)


def _inside(distance: Picture, limit: Picture | float, softness: float = 0.012) -> Picture:
    """Return 1 within a limit and 0 beyond, with an edge of one pixel of a scanner, not of a screen."""
    return 1 / (1 + np.exp(np.clip((distance - limit) / softness, -40, 40)))


def _rows(picture: Picture, count: int) -> Picture:
    return np.repeat(_blocks(picture, (count, len(picture))), len(picture) // count, axis=0)


def _blocks(picture: Picture, shape: tuple[int, int]) -> Picture:
    """Return the means of equal blocks, as a scanner with such voxels would see it."""
    rows, columns = shape
    height, width = len(picture) // rows, picture.shape[1] // columns
    return picture.reshape(rows, height, columns, width).mean(axis=(1, 3))


def voxelized(picture: Picture) -> Picture:
    """Return a picture that is coarse on its left, finer toward its middle and smooth on its right."""
    pixels = len(picture)
    result = picture.copy()
    start = 0
    for end, count in BANDS:
        stop, edge = round(end * pixels), pixels // count
        coarse = np.kron(_blocks(picture, (count, count)), np.ones((edge, edge)))
        # A thin dark line between voxels, so that they read as voxels and not as blur.
        lines = np.arange(pixels) % edge < max(1, round(0.035 * edge))
        coarse[lines[:, None] | lines[None, :]] *= 0.72
        result[:, start:stop] = coarse[:, start:stop]
        start = stop
    return result


def colored(picture: Picture) -> Picture:
    """Return intensities in [0, 1] in the colors of ArSSR, shape (rows, columns, 3), 0 to 255."""
    stops = [stop for stop, _ in COLORS]
    return np.stack([np.interp(picture, stops, [color[n] for _, color in COLORS]) for n in range(3)], axis=-1)


def rounded(pixels: int, corner: float = 0.18) -> Picture:
    """Return the mask of a square with round corners, 0 to 255, shape (pixels, pixels, 1)."""
    y, x = np.abs((np.mgrid[:pixels, :pixels] + 0.5) / pixels * 2 - 1)
    beyond = np.hypot(np.clip(x - (1 - 2 * corner), 0, None), np.clip(y - (1 - 2 * corner), 0, None))
    return 255.0 * (beyond < 2 * corner)[..., None]


def save(picture: Picture, path: Path) -> None:
    """Write a picture, shape (rows, columns, 3 or 4), averaged down to its final size."""
    small = picture.reshape(-1, DETAIL, picture.shape[1] // DETAIL, DETAIL, picture.shape[2]).mean(axis=(1, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.rint(small).astype(np.uint8)).save(path, optimize=True)


def main() -> None:
    """Draw all pictures."""
    pixels = SIZE * DETAIL
    icon = np.concatenate([colored(voxelized(brain(pixels))), rounded(pixels)], axis=-1)
    for path in (RESOURCES / "ArSSR.png", MODULE / "Icons" / "ArSSR.png"):
        save(icon, path)
    save(colored(brain(pixels, slabs=32)), MODULE / "SampleData" / "ArSSRThickHead.png")


if __name__ == "__main__":
    main()
