"""PSI and LPC-SI agree with their definitions, computed pixel by pixel, and with known results."""

from __future__ import annotations

import cmath
import math

import numpy as np
import pytest
from scipy import ndimage

from ArSSRLib.errors import InputError
from ArSSRLib.evaluation.perceptual import lpc_si, psi
from ArSSRLib.evaluation.perceptual.edge_widths import edge_pixels, edge_widths, psi_of_slice
from ArSSRLib.evaluation.perceptual.phase_coherence import lpc_si_of_slice
from ArSSRLib.evaluation.perceptual.slices import counted_slices, mean_over_slices

# A step over four pixels, steepest in the middle.
STEP = np.array([0, 0.1, 0.5, 0.9, 1.0])


def texture(shape: tuple[int, ...], smoothness: float, seed: int = 0) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), smoothness, mode="wrap")
    return (noise - noise.min()) / (noise.max() - noise.min())


def step_at(length: int, place: int) -> np.ndarray:
    return np.interp(np.arange(length) - place, np.arange(len(STEP)) - 2, STEP)


def head(side: int = 40) -> np.ndarray:
    """Return a bright ball with dark holes and sharp edges on a dark background."""
    k, j, i = np.meshgrid(*[np.arange(side) - side / 2] * 3, indexing="ij")
    ball = k**2 + j**2 + i**2 < (0.4 * side) ** 2
    return np.where(ball, 1000.0 - 600 * ((np.abs(k) < 3) | (np.abs(j - 5) < 3)), 20.0).astype(np.float32)


# --- PSI


def climb(image: np.ndarray, row: int, column: int, step: int, sign: float) -> int | None:
    """Return the number of pixels over which the intensity is monotonic from a pixel; None if the image ends first."""
    count = 0
    while 0 <= row + (count + 1) * step < len(image):
        here, there = image[row + count * step, column], image[row + (count + 1) * step, column]
        if sign * (there - here) <= 0:
            return count
        count += 1
    return None


def width_by_hand(image: np.ndarray, row: int, column: int) -> float:
    """Return the width of a horizontal edge between its two ends; zero if it cannot be measured."""
    vertical, horizontal = (np.gradient(image, axis=axis)[row, column] for axis in (0, 1))
    lean = math.degrees(math.atan2(abs(horizontal), abs(vertical)))
    if vertical == 0 or lean >= 8:
        return 0.0
    sign = math.copysign(1, vertical)
    ends = climb(image, row, column, -1, -sign), climb(image, row, column, 1, sign)
    if None in ends or sum(ends) == 0:
        return 0.0
    width = sum(ends) / math.cos(math.radians(lean))
    contrast = abs(image[row + ends[1], column] - image[row - ends[0], column])
    return width - contrast / width if width >= 3 else width


@pytest.mark.parametrize("smoothness", [1.0, 2.5])
def test_an_edge_is_as_wide_as_a_walk_across_it(smoothness):
    image = ndimage.gaussian_filter(texture((96, 60), smoothness), (0, 4))  # most of its edges are along the rows
    expected = np.zeros(image.shape)
    for row, column in np.argwhere(edge_pixels(image)):
        expected[row, column] = width_by_hand(image, row, column)

    assert np.count_nonzero(expected) > 10
    np.testing.assert_allclose(edge_widths(image), expected, rtol=0, atol=1e-12)


def test_edge_pixels_are_the_ridges_of_a_strong_gradient():
    image = np.zeros((20, 20))
    image[10:] = 1.0
    image[:, 9] += 0.05  # a line too faint to count

    edges = edge_pixels(ndimage.gaussian_filter(image, 1.0))

    rows = np.unique(np.argwhere(edges)[:, 0])
    assert edges.any(axis=0).all()
    assert set(rows) <= {9, 10}


def test_the_sharpest_fifth_of_the_inner_blocks_decides():
    image = np.zeros((96 + 32, 96 + 128))  # 2 x 5 inner blocks with one step each: narrow, narrow, wide...
    image[:] = step_at(len(image), 48)[:, None]
    wide = np.interp(np.arange(len(image)), [38, 47, 49, 58], [0, 0.4, 0.6, 1])
    image[:, 96:192] = wide[:, None]  # blocks 3 to 5

    # Three of the blocks 1 to 5 contain the wide step, two the narrow one; 22 % of five is two.
    assert psi_of_slice(image) == pytest.approx(1 / (4 - 1 / 4), rel=0.02)
    image[:, 64:96] = wide[:, None]
    expected = 2 / ((4 - 1 / 4) + (20 - 1 / 20))
    assert psi_of_slice(image) == pytest.approx(expected, rel=0.02)


def test_psi_of_a_step_of_known_width_has_a_closed_form():
    volume = np.broadcast_to(step_at(96, 48)[:, None, None], (96, 96, 96)).astype(np.float32)

    assert psi(volume) == pytest.approx(1 / (4 - 1 / 4), rel=1e-5)


def test_a_volume_too_small_for_psi_has_none():
    assert math.isnan(psi(head(95)))


# --- LPC-SI


def filter_by_hand(frequency: tuple[float, float], wavelength: float, angle: float) -> float:
    """Return the response of one filter at a frequency (row, column), in cycles per pixel."""
    row, column = frequency
    radius = math.hypot(row, column)
    if radius == 0:
        return 0.0
    away = abs(cmath.phase(cmath.rect(1, math.atan2(-row, column) - angle)))
    radial = math.exp(-(math.log(radius * wavelength) ** 2) / (2 * math.log(0.75) ** 2))
    angular = math.exp(-(away**2) / (2 * (math.pi / 12) ** 2))
    return radial * angular / (1 + (radius / 0.45) ** 30)


def bands_by_hand(image: np.ndarray, angle: float) -> list[np.ndarray]:
    """Return an image filtered with one orientation, computed by sums over all frequencies."""
    rows, columns = image.shape
    to_rows, to_columns = (np.exp(-2j * np.pi * np.outer(np.arange(n), np.arange(n)) / n) for n in image.shape)
    spectrum = to_rows @ image @ to_columns
    signed = [[(n if n < side / 2 else n - side) / side for n in range(side)] for side in image.shape]
    bands = []
    for wavelength in (4, 6, 8):
        response = np.array([[filter_by_hand((v, u), wavelength, angle) for u in signed[1]] for v in signed[0]])
        bands.append(to_rows.conj() @ (spectrum * response) @ to_columns.conj() / (rows * columns))
    return bands


def lpc_si_by_hand(image: np.ndarray) -> float:
    border = round(min(image.shape) / 16)
    above, below = np.zeros(image.shape), np.zeros(image.shape)
    for orientation in range(8):
        fine, middle, coarse = bands_by_hand(image, orientation * math.pi / 8)
        inner = np.abs(fine)[border:-border, border:-border]
        energy = np.clip(np.abs(fine) - (inner.mean() + 2 * np.std(inner, ddof=1)), 0, None)
        coherence = np.cos(np.angle(fine) - 3 * np.angle(middle) + 2 * np.angle(coarse))
        above += np.clip(coherence, 0, None) * energy
        below += energy
    ranked = sorted((above / (below + 2))[border:-border, border:-border].ravel(), reverse=True)
    weights = [math.exp(-rank / (len(ranked) - 1) / 1e-4) for rank in range(len(ranked))]
    return sum(w * x for w, x in zip(weights, ranked, strict=True)) / sum(weights)


@pytest.mark.parametrize("smoothness", [0.8, 2.0])
def test_lpc_si_of_a_slice_is_its_definition(smoothness):
    image = 255 * texture((32, 36), smoothness, seed=3)

    assert lpc_si_of_slice(image.astype(np.float32)) == pytest.approx(lpc_si_by_hand(image), rel=1e-4)


def test_a_volume_too_small_for_lpc_si_has_none():
    assert math.isnan(lpc_si(head(31)))


# --- both


@pytest.mark.parametrize(("metric", "side"), [(psi, 96), (lpc_si, 40)])
def test_blur_lowers_sharpness(metric, side):
    volume = ndimage.gaussian_filter(head(side), 0.5)
    blurred = [metric(ndimage.gaussian_filter(volume, sigma)) for sigma in (0.0, 0.7, 1.4)]

    assert blurred == sorted(blurred, reverse=True)
    assert blurred[0] > 1.5 * blurred[-1] > 0


@pytest.mark.parametrize(("metric", "side"), [(psi, 96), (lpc_si, 40)])
def test_brightness_and_contrast_do_not_matter(metric, side):
    volume = ndimage.gaussian_filter(head(side), 1.0)

    assert metric(0.01 * volume - 7) == pytest.approx(metric(volume), rel=1e-3)


@pytest.mark.parametrize("metric", [psi, lpc_si])
def test_nonfinite_voxels_are_refused(metric):
    volume = head()
    volume[3, 3, 3] = np.nan

    with pytest.raises(InputError, match="finite"):
        metric(volume)


# --- which slices count


def test_air_does_not_count():
    volume = np.random.default_rng(0).uniform(0, 90, (12, 12, 12))  # noise of 9 % of the range
    volume[4:7, 3:5, 2] = [0, 1000]

    assert [list(counted_slices(volume, axis, 12)) for axis in range(3)] == [[4, 5, 6], [4], [2]]


def test_slices_that_are_too_small_do_not_count():
    volume = np.random.default_rng(0).uniform(size=(12, 20, 20))

    assert [counted_slices(volume, axis, 16).size for axis in range(3)] == [12, 0, 0]


def test_each_direction_has_the_same_weight():
    volume = np.random.default_rng(0).uniform(size=(10, 20, 30))
    values = {0: 1.0, 1: 2.0, 2: 6.0}

    mean = mean_over_slices("it", volume, lambda axis, n: np.full(n.size, values[axis]), least_side=10)

    assert mean == pytest.approx(3)


def test_a_slice_that_shows_nothing_to_judge_does_not_count():
    volume = np.random.default_rng(0).uniform(size=(8, 8, 8))

    mean = mean_over_slices("it", volume, lambda _, n: np.where(n == 2, 5.0, np.nan), least_side=8)

    assert mean == pytest.approx(5)
