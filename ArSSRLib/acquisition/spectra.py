"""Spectra, noise and edges along the axes of a volume, from which its slice profile is estimated.

All values are relative to the intensity range, so offset and gain have no effect. A limited number of lines and voxels
is sampled, so time and memory hardly depend on the size of the volume.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

# Bands of equal width between 0 and Nyquist.
BANDS = 8
FEATURES = 3 * (BANDS - 1) + 4
# The first features of an axis, which depend on this axis alone: its spectrum, its spacing and the noise.
OWN_FEATURES = BANDS + 1
# Smallest length of an axis; shorter axes have too few frequencies.
SHORTEST = 12
# Largest number of lines per axis that are transformed, and of voxels for the intensity range.
LINES, SAMPLED = 4096, 500_000
# Largest edge of the block for measuring the noise, in voxels.
NOISE_BLOCK = 80
# Range of a steep fall of a spectrum, as fractions of Nyquist, and the smallest number of frequencies for finding one.
FALL_FROM, FALL_WITHIN, LEAST_BINS = 0.3, 0.2, 13
# Quantile of the differences between neighboring voxels that represents edges.
EDGES = 0.99
# Fraction of the range above which a voxel is anatomy.
ANATOMY = 0.1
# Added before logarithms: power and noise relative to the range; smaller values are indistinguishable.
_LEAST_POWER, _LEAST_NOISE = 1e-12, 1e-4
# Ratio of the median absolute value to the standard deviation of a normal distribution.
_MEDIAN_OF_NORMAL = 0.6745


@dataclass(frozen=True)
class Anatomy:
    """The part of a volume, shape (k, j, i), with anatomy: a view, and the intensity ``low`` and range ``width``."""

    voxels: npt.NDArray[Any]
    low: float
    width: float

    def normalized(self, part: npt.NDArray[Any]) -> FloatArray:
        """Return voxels normalized to the range, in the same shape."""
        return np.asarray((part.astype(np.float64) - self.low) / self.width)


class Features(NamedTuple):
    """Features of a volume: for each of k, j, i a vector of logarithms, unitless.

    Attributes:
        axes: The spectrum of the axis in bands, relative to the lowest band; its spacing; the noise; and for the two
            other axes, the finer one first, the spectrum at the same frequencies per mm and the ratio of the spacings.
            Shape (3, `FEATURES`).
        edges: The robust standard deviation of second differences; relative to it, that over twice the distance, and
            the ordinary one; the 99th percentile of first differences; relative to it, that of second differences.
            Shape (3, 5).
        voxels: Number of voxels of the box around the anatomy.
        falls: The steepest fall of the spectrum within `FALL_WITHIN` of Nyquist, in dB; 0 for an axis with too few
            frequencies. Shape (3,).
    """

    axes: FloatArray
    edges: FloatArray
    voxels: int
    falls: FloatArray


def features_of(array: npt.NDArray[Any], spacing: Sequence[float]) -> Features | None:
    """Return the features of a volume; None if its anatomy is too short along an axis, or without contrast.

    Args:
        array: Finite intensities without padding, shape (k, j, i).
        spacing: Spacing along k, j, i, in mm.
    """
    anatomy = anatomy_of(array)
    if anatomy is None or min(anatomy.voxels.shape) < SHORTEST:
        return None
    spectra, center = [_spectrum(anatomy, axis) for axis in range(3)], _center(anatomy)
    noise = math.log(_noise(center) + _LEAST_NOISE)
    axes = [_axis_features(axis, spectra, spacing, noise) for axis in range(3)]
    edges = [_edge_features(center, axis) for axis in range(3)]
    falls = [_steepest_fall(spectrum) for spectrum in spectra]
    return Features(np.array(axes), np.array(edges), anatomy.voxels.size, np.array(falls))


def _axis_features(axis: int, spectra: Sequence[FloatArray], spacing: Sequence[float], noise: float) -> list[float]:
    frequency = (np.arange(BANDS) + 0.5) * 0.5 / BANDS
    values = [*_in_bands(spectra[axis], frequency), math.log(spacing[axis]), noise]
    for other in sorted((n for n in range(3) if n != axis), key=lambda n: spacing[n]):
        ratio = spacing[other] / spacing[axis]
        values += [*_in_bands(spectra[other], np.minimum(frequency * ratio, 0.5)), -math.log(ratio)]
    return values


def _steepest_fall(spectrum: FloatArray) -> float:
    """Return the largest fall of a logarithmic spectrum within `FALL_WITHIN` of Nyquist, in dB."""
    if len(spectrum) < LEAST_BINS:
        return 0.0
    side = len(spectrum) // 40
    even = np.convolve(np.pad(spectrum, side, mode="edge"), np.full(2 * side + 1, 1 / (2 * side + 1)), "valid")
    at, start = np.linspace(0, 1, len(spectrum)), np.linspace(FALL_FROM, 1 - FALL_WITHIN, 11)
    falls = np.interp(start, at, even) - np.interp(start + FALL_WITHIN, at, even)
    return float(falls.max()) * 10 / math.log(10)


def _in_bands(spectrum: FloatArray, frequency: FloatArray) -> FloatArray:
    """Return a logarithmic spectrum at frequencies in cycles per voxel, relative to the first frequency."""
    at = np.interp(frequency, np.linspace(0, 0.5, len(spectrum)), spectrum)
    return np.asarray(at[1:] - at[0])


def anatomy_of(array: npt.NDArray[Any]) -> Anatomy | None:
    """Return the bounding box of the anatomy, or None if the volume has no contrast."""
    step = max(1, math.ceil((array.size / SAMPLED) ** (1 / 3)))
    sample = array[::step, ::step, ::step].astype(np.float64)
    low, high = (float(x) for x in np.percentile(sample, (1, 99)))
    # Infinite if the range exceeds the largest number.
    if not 0 < high - low < math.inf:
        return None
    mask = sample > low + ANATOMY * (high - low)
    box = []
    for axis, length in enumerate(array.shape):
        inside = np.flatnonzero(mask.any(axis=tuple(n for n in range(3) if n != axis)))
        box.append(slice(step * int(inside[0]), min(length, step * int(inside[-1]) + 1)))
    return Anatomy(array[tuple(box)], low, high - low)


def _spectrum(anatomy: Anatomy, axis: int) -> FloatArray:
    """Return the log mean power, from 0 to Nyquist, of the half of the lines with the most contrast."""
    lines = np.moveaxis(anatomy.voxels, axis, -1)
    step = math.ceil(math.sqrt(lines.shape[0] * lines.shape[1] / LINES))
    length = lines.shape[-1]
    lines = anatomy.normalized(lines[::step, ::step].reshape(-1, length))
    lines = (lines - lines.mean(axis=1, keepdims=True)) * np.hanning(length + 2)[1:-1]
    power = np.abs(np.fft.rfft(lines, axis=1)) ** 2
    total = power.sum(axis=1)
    mean = power[total >= np.median(total)].mean(axis=0)
    # Odd lengths have no bin at Nyquist; the last bin is used instead.
    return np.asarray(np.log(mean / length + _LEAST_POWER))


def _center(anatomy: Anatomy) -> FloatArray:
    """Return the normalized block at the center of the anatomy in which noise and edges are measured."""
    middle = tuple(slice(max(0, n - NOISE_BLOCK) // 2, (n + NOISE_BLOCK) // 2) for n in anatomy.voxels.shape)
    return anatomy.normalized(anatomy.voxels[middle])


def _noise(left: FloatArray) -> float:
    """Return a robust standard deviation of second differences along all axes."""
    for axis in range(3):
        left = np.diff(left, n=2, axis=axis) / math.sqrt(6)
    return _deviation(left)


def _deviation(values: FloatArray) -> float:
    """Return a robust standard deviation of values around 0."""
    return float(np.median(np.abs(values))) / _MEDIAN_OF_NORMAL


def _edge_features(center: FloatArray, axis: int) -> FloatArray:
    """Return the steepness and the curvature of the edges along an axis, shape (5,); see `Features`."""
    lines = np.moveaxis(center, axis, -1)
    steep, curved = np.abs(np.diff(lines)), np.diff(lines, n=2)
    far = lines[..., 4:] - 2 * lines[..., 2:-2] + lines[..., :-4]
    values = [_deviation(curved), _deviation(far), curved.std()]
    values += [np.quantile(steep, EDGES), np.quantile(np.abs(curved), EDGES)]
    small, wide, all_of_them, edges, corners = np.log(np.array(values) + _LEAST_NOISE)
    return np.array([small, wide - small, all_of_them - small, edges, corners - edges])
