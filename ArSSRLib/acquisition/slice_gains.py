"""One gain per slice: in two-dimensional acquisitions slices differ in brightness, which is no anatomy.

A slice that is excited by itself is brighter or darker as a whole, often odd slices than even ones. The gain shows in
the curvature: the logarithm of a voxel minus the mean of its two neighbors along the slice axis. A slope of the anatomy
cancels there, and the median over homogeneous tissue leaves out edges, lesions and vessels. What remains of the anatomy
changes slowly from slice to slice and is fitted beside the gains. Slow changes of the gains are coil profiles or
anatomy; they are never removed, so that the mean brightness of a slab stays.

Whether there are gains at all is decided by comparing two models. Their errors are estimated from how far the parts of
a slice disagree; where gains do not explain the data clearly better, nothing is changed.

A gain multiplies what lies above the background, which is the floor of the intensity range. An offset of the whole
volume therefore changes nothing. Where a volume has no background, and the true zero lies below the floor, gains are
overestimated by as much as tissue is nearer to the floor than to the zero: tissue comes out even all the same, and
darker voxels are corrected in part. Nothing here knows files or networks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ArSSRLib.acquisition.profile import SliceProfile
from ArSSRLib.normalization import IntensityRange, needs_double

# Without a header, slices that are so many times as far apart as voxels in the plane come from a 2D acquisition.
THICK = 1.5
# Tissue lies above this part of the range in three slices. Darker voxels are noise, air, or fluid at its edge.
TISSUE = 0.2
# Homogeneous tissue: the more homogeneous half of it, and changes of at most this part from voxel to voxel.
HALF, LARGEST_CHANGE = 0.5, 0.2
# A slice is divided into so many parts along each axis of its plane; a part counts with at least so many voxels, and a
# slice with so many parts and this share of the voxels of the fullest slice.
PARTS, PART_VOXELS, LEAST_PARTS, LEAST_SHARE = 6, 12, 4, 0.15
# Slices next to each other, over which the errors are averaged.
ERROR_WINDOW = 5
# Least error of a curvature: what rounding and interpolation leave.
LEAST_ERROR = 1e-3
# Changes over more slices than this are not gains.
SLOWEST_PERIOD = 8.0
# Fewer slices with tissue than this tell nothing.
LEAST_SLICES = 8
# How much more variance an alternation of odd and even slices may have than random gains; the data choose.
ALTERNATIONS = (0.0, 1.0, 10.0, 100.0)
# Gains are removed where the log-likelihood is better by so much with them, and their RMS is at least this, in percent.
EVIDENCE, LEAST_RMS = 3.0, 0.1

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class GainSummary:
    """Gains in three values, for records.

    Attributes:
        axis: Axis of the slices, "i", "j" or "k".
        rms: Root mean square of the differences from 1, in percent.
        largest: Largest difference from 1, in percent.
    """

    axis: str
    rms: float
    largest: float


@dataclass(frozen=True)
class SliceGains:
    """How bright each slice is, relative to its surroundings.

    Attributes:
        axis: Axis of the array along which the slices lie, 0 to 2 for k, j, i.
        factors: One per slice; unitless, around 1.
    """

    axis: int
    factors: tuple[float, ...]

    def summary(self) -> GainSummary:
        """Return axis, root mean square and largest difference, to two decimals."""
        percent = 100 * np.abs(np.array(self.factors) - 1)
        rms, largest = float(np.sqrt(np.mean(percent**2))), float(percent.max())
        return GainSummary("kji"[self.axis], round(rms, 2), round(largest, 2))

    def described(self) -> str:
        """Return the gains in words."""
        found = self.summary()
        sizes = f"{found.rms:.2g} % RMS, at most {found.largest:.2g} %"
        return f"{len(self.factors)} slices along {found.axis}: {sizes}"

    def removed_from(self, array: npt.NDArray[Any], floor: float) -> npt.NDArray[np.floating]:
        """Return a volume of even slices, shape (k, j, i), float32, or float64 where float32 would lose contrast.

        Args:
            array: Intensities in scanner units, shape (k, j, i).
            floor: Intensity of the background, which stays as it is, as what is darker does.
        """
        single = array.dtype.itemsize <= 4 and not needs_double(float(array.min()), float(array.max()))
        even = np.empty(array.shape, np.float32 if single else np.float64)
        for old, new, factor in zip(
            np.moveaxis(array, self.axis, 0), np.moveaxis(even, self.axis, 0), self.factors, strict=True
        ):
            values = old.astype(np.float64)
            new[...] = values - np.maximum(values - floor, 0) * (1 - 1 / factor)
        return even


def slice_axis(spacing: tuple[float, ...], profile: SliceProfile) -> int | None:
    """Return the array axis along which slices were excited one by one, 0 to 2 for k, j, i; None in 3D acquisitions.

    Args:
        spacing: Along i, j, k, in mm.
        profile: What is known about the acquisition. A Gaussian of a header is a 2D acquisition, a truncated k-space a
            3D one; without either the spacing decides.
    """
    headers = [None if a is None or a.source not in ("DICOM", "sidecar") else a.kind for a in profile.axes]
    excited = [n for n, kind in enumerate(headers) if kind == "gaussian"]
    if len(excited) == 1:
        return 2 - excited[0]
    widest = max(range(3), key=lambda n: spacing[n])
    others = max(spacing[n] for n in range(3) if n != widest)
    return None if headers[widest] == "kspace" or spacing[widest] < THICK * others else 2 - widest


def estimate_slice_gains(
    array: npt.NDArray[Any], axis: int, intensities: IntensityRange, *, ignored: npt.NDArray[np.bool_] | None = None
) -> SliceGains | None:
    """Return the gains of the slices of a volume, or None where there are none that can be told from anatomy.

    Args:
        array: Finite intensities in scanner units, shape (k, j, i).
        axis: Axis of the array along which the slices lie, 0 to 2.
        intensities: The range of the array.
        ignored: Voxels that are no measurement, shape (k, j, i).
    """
    if array.shape[axis] < LEAST_SLICES:
        return None
    curvature, error = _curvatures(_logarithms(array, axis, intensities, ignored), array.shape[axis])
    logarithms, evidence = _fitted(curvature, error)
    found = SliceGains(axis, tuple(np.exp(logarithms).tolist()))
    return found if evidence > EVIDENCE and found.summary().rms >= LEAST_RMS else None


def _logarithms(
    array: npt.NDArray[Any], axis: int, intensities: IntensityRange, ignored: npt.NDArray[np.bool_] | None
) -> Iterator[npt.NDArray[np.float32]]:
    """Yield slice by slice the logarithm of the normalized tissue, not a number elsewhere."""
    masks = np.broadcast_to(np.False_, array.shape) if ignored is None else ignored
    for plane, mask in zip(np.moveaxis(array, axis, 0), np.moveaxis(masks, axis, 0), strict=True):
        values = intensities.normalize(plane)
        yield np.log(np.where((values > TISSUE) & ~mask, values, np.float32(np.nan)))


def _curvatures(planes: Iterator[npt.NDArray[np.float32]], count: int) -> tuple[Floats, Floats]:
    """Return the curvature of each slice and its standard error, shape (count,), not a number where it is unknown."""
    curvature, error = np.full((2, count), np.nan)
    voxels = np.zeros(count)
    below, middle = next(planes), next(planes)
    for number, above in enumerate(planes, start=1):
        change, tissue = _homogeneous(below, middle, above)
        parts = _medians_of_parts(change, tissue)
        if len(parts) >= LEAST_PARTS:
            curvature[number] = center = np.median(parts)
            # The standard error of a median of normal values, whose deviation is 1.4826 times their median one.
            error[number] = 1.2533 * 1.4826 * np.median(np.abs(parts - center)) / math.sqrt(len(parts))
            voxels[number] = np.count_nonzero(tissue)
        below, middle = middle, above
    unknown = np.isnan(curvature) | (voxels < LEAST_SHARE * voxels.max())
    curvature[unknown] = error[unknown] = np.nan
    window = np.ones(min(ERROR_WINDOW, count))
    squares = np.convolve(np.where(unknown, 0, error**2), window, "same")
    error = np.sqrt(squares / np.maximum(np.convolve(~unknown, window, "same"), 1))
    return curvature, np.where(unknown, np.nan, np.maximum(error, LEAST_ERROR))


def _homogeneous(
    below: npt.NDArray[np.float32], middle: npt.NDArray[np.float32], above: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Return the curvature of each voxel and which lie in homogeneous tissue, each of the shape of the slice.

    The middle slice does not take part in the choice, so that the choice does not shift its median.
    """
    mean, slope = (below + above) / 2, above - below
    tissue = np.isfinite(mean) & np.isfinite(middle)
    steepness = np.full(mean.shape, np.nan, np.float32)
    if tissue.any() and min(mean.shape) > 2:
        across, along = mean[2:, 1:-1] - mean[:-2, 1:-1], mean[1:-1, 2:] - mean[1:-1, :-2]
        steepness[1:-1, 1:-1] = np.hypot(across, along)
        steepness += np.abs(slope - np.median(slope[tissue]))
    tissue &= np.isfinite(steepness)
    if tissue.any():
        tissue &= steepness <= min(LARGEST_CHANGE, float(np.quantile(steepness[tissue], HALF)))
    return (middle - mean).astype(np.float32, copy=False), tissue


def _medians_of_parts(values: npt.NDArray[np.float32], chosen: npt.NDArray[np.bool_]) -> Floats:
    """Return the medians of the chosen values in the parts of a slice that hold enough of them."""
    rows, columns = np.nonzero(chosen)
    if not rows.size:
        return np.empty(0)
    row, column = ((x - x.min()) * PARTS // (np.ptp(x) + 1) for x in (rows, columns))
    part = row * PARTS + column
    order = np.argsort(part, kind="stable")
    groups = np.split(values[rows[order], columns[order]], np.flatnonzero(np.diff(part[order])) + 1)
    return np.array([np.median(group) for group in groups if group.size >= PART_VOXELS], dtype=np.float64)


def _fitted(curvature: Floats, error: Floats) -> tuple[Floats, float]:
    """Return the logarithms of the gains, shape (slices,), and the evidence for them, a difference of log-likelihoods.

    The model: curvature = second difference of the gains + a slow change of the anatomy + normal errors of the given
    size or a multiple of it. The gains are random, with an alternation of odd and even slices, and have no slow part.
    Their variance is that of the greatest likelihood, restricted to what the slow change leaves free; given that, they
    are the expectation, so that an uncertain gain is drawn towards 1.

    Source:
        Restricted maximum likelihood: Patterson and Thompson 1971, https://doi.org/10.1093/biomet/58.3.545
    """
    count, known = len(curvature), np.isfinite(curvature)
    best = np.zeros(count), 0.0
    slow = _slow_changes(count)
    if np.count_nonzero(known) < max(LEAST_SLICES, slow.shape[1] + 2):
        return best
    fast = np.eye(count) - slow @ slow.T
    difference = np.eye(count) - (np.eye(count, k=1) + np.eye(count, k=-1)) / 2
    weight = 1 / error[known]
    free = _complement(slow[known] * weight[:, None])
    seen = free.T @ ((difference @ fast)[known] * weight[:, None])
    data = free.T @ (curvature[known] * weight)
    alternation = fast @ (-1.0) ** np.arange(count)
    for share in ALTERNATIONS:
        prior = np.eye(count) + share / count * np.outer(alternation, alternation)
        variances, axes = np.linalg.eigh(seen @ prior @ seen.T)
        variances, scores = np.maximum(variances, 0), axes.T @ data
        ratios = np.concatenate([[0], np.logspace(-3, 5, 161) / variances.mean()])
        likelihoods = np.array([_log_likelihood(scores, 1 + ratio * variances) for ratio in ratios])
        evidence = float(likelihoods.max() - likelihoods[0])
        if evidence > best[1]:
            ratio = ratios[likelihoods.argmax()]
            shrunk = axes @ (ratio * scores / (1 + ratio * variances))
            best = fast @ prior @ seen.T @ shrunk, evidence
    return best


def _log_likelihood(scores: Floats, variances: Floats) -> float:
    """Return the log-likelihood of normal scores whose variances are known up to a common factor of at least 1."""
    factor = max(1.0, float(np.mean(scores**2 / variances)))
    return -0.5 * float(np.sum(np.log(factor * variances) + scores**2 / (factor * variances)))


def _slow_changes(count: int) -> Floats:
    """Return orthonormal cosines of at least `SLOWEST_PERIOD` slices, shape (count, number)."""
    number = np.arange(int(2 * count / SLOWEST_PERIOD) + 1)
    cosines = np.cos(math.pi * number * (np.arange(count)[:, None] + 0.5) / count)
    return np.asarray(np.linalg.qr(cosines)[0])


def _complement(columns: Floats) -> Floats:
    """Return an orthonormal basis of what is orthogonal to some columns."""
    basis, sizes, _ = np.linalg.svd(columns, full_matrices=True)
    return np.asarray(basis[:, np.count_nonzero(sizes > 1e-6 * sizes[0]) :])
