"""One gain per slice: in two-dimensional acquisitions, the brightness differs between slices for technical reasons.

A slice that is excited separately is brighter or darker as a whole; often, odd slices differ from even slices. The gain
is visible in the curvature: the logarithm of a voxel minus the mean of its two neighbors along the slice axis. Slopes
of the anatomy cancel there, and the median over homogeneous tissue excludes edges, lesions and vessels. The remaining
anatomy changes slowly from slice to slice and is fitted together with the gains. Slow changes of the gains are coil
profiles or anatomy; they are never removed, so that the mean brightness of a slab is preserved.

Two models are compared to decide whether there are gains at all. Their errors are estimated from the disagreement
between the parts of a slice; unless gains explain the data clearly better, nothing is changed.

A gain multiplies the intensity above the background, which is the floor of the intensity range. An offset of the whole
volume therefore has no effect. If a volume has no background and the true zero is below the floor, gains are
overestimated in proportion: the correction is right for tissue, and too small for darker voxels. Files and networks are
handled elsewhere.
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

# Without a header, a slice distance of this many in-plane spacings or more indicates a 2D acquisition.
THICK = 1.5
# Tissue exceeds this fraction of the range in three slices. Darker voxels are noise, air, or fluid at its edge.
TISSUE = 0.2
# Homogeneous tissue: the half with the smallest changes between neighboring voxels, and at most this fraction.
HALF, LARGEST_CHANGE = 0.5, 0.2
# Parts of a slice along each in-plane axis; voxels that a part needs; parts that a slice needs; and voxels that a slice
# needs, as a fraction of the fullest slice.
PARTS, PART_VOXELS, LEAST_PARTS, LEAST_SHARE = 6, 12, 4, 0.15
# Number of adjacent slices over which the errors are averaged.
ERROR_WINDOW = 5
# Smallest error of a curvature, caused by rounding and interpolation.
LEAST_ERROR = 1e-3
# Changes over more slices than this are not treated as gains.
SLOWEST_PERIOD = 8.0
# Smallest number of slices with tissue.
LEAST_SLICES = 8
# Candidates for the extra variance of an alternation between odd and even slices; the data select one.
ALTERNATIONS = (0.0, 1.0, 10.0, 100.0)
# Gains are removed if they improve the log-likelihood by this much, and their RMS is at least this, in percent.
EVIDENCE, LEAST_RMS = 3.0, 0.1

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class GainSummary:
    """The deviations of gains from 1, in percent: root mean square and largest, along axis "i", "j" or "k"."""

    axis: str
    rms: float
    largest: float


@dataclass(frozen=True)
class SliceGains:
    """The brightness of each slice along an axis (0 to 2 for k, j, i) relative to its neighbors; unitless, around 1."""

    axis: int
    factors: tuple[float, ...]

    def summary(self) -> GainSummary:
        """Return the axis, root mean square and largest deviation, to two decimals."""
        percent = 100 * np.abs(np.array(self.factors) - 1)
        rms, largest = float(np.sqrt(np.mean(percent**2))), float(percent.max())
        return GainSummary("kji"[self.axis], round(rms, 2), round(largest, 2))

    def described(self) -> str:
        """Return the gains as text."""
        found = self.summary()
        sizes = f"{found.rms:.2g} % RMS, at most {found.largest:.2g} %"
        return f"{len(self.factors)} slices along {found.axis}: {sizes}"

    def removed_from(self, array: npt.NDArray[Any], floor: float) -> npt.NDArray[np.floating]:
        """Return a volume of even slices, shape (k, j, i), in float32, or in float64 if float32 would lose contrast.

        Voxels at or below the intensity of the background, ``floor``, are unchanged.
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
    """Return the array axis along which slices were excited, 0 to 2 for k, j, i; None in 3D acquisitions.

    A Gaussian from a header indicates a 2D acquisition, a truncated k-space a 3D acquisition; otherwise, the spacing
    along i, j, k, in mm, decides.
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
    """Return the gains of the slices along an axis (0 to 2) of a volume, or None if none differ from anatomy.

    ``array`` holds finite intensities, shape (k, j, i); voxels in the mask ``ignored`` were not measured.
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
    """Yield the logarithm of the normalized tissue slice by slice; NaN elsewhere."""
    masks = np.broadcast_to(np.False_, array.shape) if ignored is None else ignored
    for plane, mask in zip(np.moveaxis(array, axis, 0), np.moveaxis(masks, axis, 0), strict=True):
        values = intensities.normalize(plane)
        yield np.log(np.where((values > TISSUE) & ~mask, values, np.float32(np.nan)))


def _curvatures(planes: Iterator[npt.NDArray[np.float32]], count: int) -> tuple[Floats, Floats]:
    """Return the curvature of each slice and its standard error, shape (count,); NaN if unknown."""
    curvature, error = np.full((2, count), np.nan)
    voxels = np.zeros(count)
    below, middle = next(planes), next(planes)
    for number, above in enumerate(planes, start=1):
        change, tissue = _homogeneous(below, middle, above)
        parts = _medians_of_parts(change, tissue)
        if len(parts) >= LEAST_PARTS:
            curvature[number] = center = np.median(parts)
            # Standard error of the median of normal values, whose standard deviation is 1.4826 times the median
            # deviation.
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
    """Return the curvature of each voxel and a mask of homogeneous tissue, both in the shape of the slice.

    The middle slice is not used for the mask, so that the selection does not shift its median.
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
    """Return the medians of the selected values in the parts of a slice that have enough of them."""
    rows, columns = np.nonzero(chosen)
    if not rows.size:
        return np.empty(0)
    row, column = ((x - x.min()) * PARTS // (np.ptp(x) + 1) for x in (rows, columns))
    part = row * PARTS + column
    order = np.argsort(part, kind="stable")
    groups = np.split(values[rows[order], columns[order]], np.flatnonzero(np.diff(part[order])) + 1)
    return np.array([np.median(group) for group in groups if group.size >= PART_VOXELS], dtype=np.float64)


def _fitted(curvature: Floats, error: Floats) -> tuple[Floats, float]:
    """Return the log gains, shape (slices,), and the evidence for them as a difference of log-likelihoods.

    Model: curvature = second difference of the gains + slow change of the anatomy + normal errors of the given size or
        a multiple of it. The gains are random, with an alternation of odd and even slices, and have no slow part. Their
        variance maximizes the likelihood, restricted to the complement of the slow change; the gains are their
        expectation given that variance, so that uncertain gains are drawn towards 1.

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
    """Return the log-likelihood of normal scores with variances known up to a common factor of at least 1."""
    factor = max(1.0, float(np.mean(scores**2 / variances)))
    return -0.5 * float(np.sum(np.log(factor * variances) + scores**2 / (factor * variances)))


def _slow_changes(count: int) -> Floats:
    """Return orthonormal cosines with periods of at least `SLOWEST_PERIOD` slices, shape (count, number)."""
    number = np.arange(int(2 * count / SLOWEST_PERIOD) + 1)
    cosines = np.cos(math.pi * number * (np.arange(count)[:, None] + 0.5) / count)
    return np.asarray(np.linalg.qr(cosines)[0])


def _complement(columns: Floats) -> Floats:
    """Return an orthonormal basis of the orthogonal complement of some columns."""
    basis, sizes, _ = np.linalg.svd(columns, full_matrices=True)
    return np.asarray(basis[:, np.count_nonzero(sizes > 1e-6 * sizes[0]) :])
