"""PSI: the narrowness of the sharpest edges of a volume, without a reference.

The width of an edge is the distance over which the intensities change monotonically across it. Only edges along the
rows of a slice are measured, as published; slices in three directions cover the axes of the volume.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ArSSRLib.evaluation.perceptual.slices import FloatArray, Indices, mean_over_slices, one_by_one, stretched
from ArSSRLib.metrics import Mask

BLOCK = 32  # edge length in pixels
SHARPEST = 0.22  # fraction of the blocks, the sharpest ones, that are averaged
ANGLE = np.radians(8.0)  # largest deviation of a gradient from the vertical
NOTICEABLE = 3.0  # width above which blur is noticeable, in pixels; contrast hides part of it
LEAST_WIDTH = 2.0  # smallest sum of the widths in a block that counts, in pixels


def psi(volume: FloatArray) -> float:
    """Return the perceptual sharpness index, unitless; larger is sharper.

    Args:
        volume: Intensities on any scale, shape (k, j, i).

    Returns:
        The reciprocal mean width in pixels of the edges in the sharpest 22 % of the blocks of 32 x 32 pixels of a
        slice, averaged over the slices as described in `slices`. The outermost blocks of a slice are ignored, so slices
        need at least 96 pixels per side; slices without edges are ignored. NaN if no slice counts.

    Raises:
        InputError: If the volume is not 3-D, or has a voxel that is not finite.

    Source:
        Feichtenhofer, Fassold and Schallauer 2013, https://doi.org/10.1109/LSP.2013.2248711
    """
    judge = one_by_one(stretched(volume) / 255, psi_of_slice)
    return mean_over_slices("PSI", volume, judge, least_side=3 * BLOCK)


def psi_of_slice(image: FloatArray) -> float:
    """Return the index of one slice with intensities in [0, 1], shape (rows, columns); NaN without an edge."""
    widths = edge_widths(image)
    rows, columns = (side // BLOCK for side in image.shape)
    tiled = widths[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK)
    blocks = tiled.transpose(0, 2, 1, 3)[1:-1, 1:-1].reshape(-1, BLOCK * BLOCK)
    totals = blocks.sum(axis=1)
    blocks, totals = blocks[totals >= LEAST_WIDTH], totals[totals >= LEAST_WIDTH]
    if not totals.size:
        return float("nan")
    means = np.sort(totals / np.count_nonzero(blocks, axis=1))
    return float(1 / means[: int(np.ceil(SHARPEST * means.size))].mean())


def edge_widths(image: FloatArray) -> FloatArray:
    """Return the width in pixels across the edge at each pixel, shape (rows, columns); zero without a measurable edge.

    Intensities are in [0, 1]. Wide edges are reduced by their slope, in intensity per pixel, because contrast makes an
    edge look sharper.
    """
    vertical, horizontal = np.gradient(image)
    # Angle between the gradient and the vertical, regardless of its sign.
    lean = np.arctan2(np.abs(horizontal), np.abs(vertical))
    measured = edge_pixels(image) & (lean < ANGLE) & (vertical != 0)
    widths = np.zeros(image.shape)
    for rising in (True, False):
        profile = image if rising else -image
        chosen = measured & ((vertical > 0) == rising)
        above, below = _steps_down(profile), _steps_down(-profile[::-1])[::-1]
        row, column = np.nonzero(chosen & (above >= 0) & (below >= 0))
        up, down = above[row, column], below[row, column]
        width = (up + down) / np.cos(lean[row, column])
        contrast = profile[row + down, column] - profile[row - up, column]
        slope = np.divide(contrast, width, out=np.zeros_like(width), where=width > 0)
        widths[row, column] = np.where(width >= NOTICEABLE, width - slope, width)
    return widths


def edge_pixels(image: FloatArray) -> Mask:
    """Return the pixels on an edge: ridges of the Sobel gradient whose square exceeds four times its mean square."""
    down, right = (np.asarray(ndimage.sobel(image, axis=axis, mode="nearest")) for axis in (0, 1))
    power = down**2 + right**2
    # A ridge is a maximum across the edge, along the axis with the steeper gradient.
    ridge = (np.abs(down) >= np.abs(right)) & _is_peak(power, 0) | (np.abs(right) >= np.abs(down)) & _is_peak(power, 1)
    return np.asarray(ridge & (power > 4 * power.mean()))


def _is_peak(power: FloatArray, axis: int) -> Mask:
    rising = np.diff(power, axis=axis, prepend=-np.inf) >= 0
    falling = np.diff(power, axis=axis, append=-np.inf) < 0
    return np.asarray(rising & falling)


def _steps_down(profile: FloatArray) -> Indices:
    """Return the number of descending steps upward from each pixel, row by row; -1 if the image ends first."""
    rows = np.arange(len(profile))[:, None]
    stops = np.diff(profile, axis=0, prepend=-np.inf) <= 0
    last = np.maximum.accumulate(np.where(stops, rows, -1), axis=0)
    return np.where(last >= 0, rows - last, -1)
