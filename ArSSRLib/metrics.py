"""Similarity of a volume and the truth: PSNR and SSIM, over the whole volume or inside a mask.

The definitions are those of the usual reference implementations, with the intensity range of the reference.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

FloatArray = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]


def psnr(reference: FloatArray, result: FloatArray, mask: Mask | None = None) -> float:
    """Return the peak signal-to-noise ratio in dB.

    Args:
        reference: The truth, any shape.
        result: The result, same shape.
        mask: Voxels that count, same shape; all if None.

    Returns:
        20 log10(max - min of the reference over all voxels) - 10 log10(mean squared error of the voxels that count);
        infinite for equal volumes.
    """
    data_range = float(reference.max()) - float(reference.min())
    difference = result.astype(np.float64) - reference
    error = float(np.mean(np.square(difference if mask is None else difference[mask])))
    return float("inf") if error == 0 else float(20 * np.log10(data_range) - 10 * np.log10(error))


def ssim(reference: FloatArray, result: FloatArray, mask: Mask | None = None, *, sigma: float | None = None) -> float:
    """Return the structural similarity index, unitless.

    Args:
        reference: The truth, shape (k, j, i).
        result: The result, same shape.
        mask: Voxels whose local index is averaged; if None, all voxels whose window is inside the volume.
        sigma: Standard deviation of a Gaussian window in voxels; None selects the uniform window of 7 voxels.

    Returns:
        The mean index, at most 1.

    Source:
        Wang et al. 2004, https://doi.org/10.1109/TIP.2003.819861, with the default window of scikit-image.
    """
    return mean_ssim(ssim_map(reference, result, sigma=sigma), mask, sigma=sigma)


def mean_ssim(index: FloatArray, mask: Mask | None = None, *, sigma: float | None = None) -> float:
    """Return the mean of a map from `ssim_map` with the same ``sigma``; see `ssim`."""
    if mask is not None:
        return float(index[mask].mean())
    margin = 3 if sigma is None else int(3.5 * sigma + 0.5)
    inside = tuple(slice(margin, n - margin) if n > 2 * margin else slice(None) for n in index.shape)
    return float(index[inside].mean())


def ssim_map(reference: FloatArray, result: FloatArray, *, sigma: float | None = None) -> FloatArray:
    """Return the local structural similarity index of each voxel, in the shape of ``reference``; see `ssim`."""
    x, y = reference.astype(np.float64), result.astype(np.float64)

    def _window(values: FloatArray) -> FloatArray:
        if sigma is None:
            return np.asarray(ndimage.uniform_filter(values, 7))
        return np.asarray(ndimage.gaussian_filter(values, sigma, truncate=3.5))

    data_range = float(reference.max()) - float(reference.min())
    # scikit-image uses the sample covariance for the uniform window, and the biased one for the Gaussian.
    unbiased = 7**x.ndim / (7**x.ndim - 1) if sigma is None else 1.0
    mean_x, mean_y = _window(x), _window(y)
    variance_x = unbiased * (_window(x * x) - mean_x**2)
    variance_y = unbiased * (_window(y * y) - mean_y**2)
    covariance = unbiased * (_window(x * y) - mean_x * mean_y)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    numerator = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return np.asarray(numerator / ((mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)))


def brain_mask(reference: FloatArray) -> Mask:
    """Return the anatomy of a volume as a mask of the same shape.

    This is the brain if the skull was removed, otherwise the head: the largest connected component of voxels above a
    tenth of the 99th percentile of the non-zero voxels, with holes filled. No anatomy is recognized.
    """
    positive = reference[reference > 0]
    if positive.size == 0:
        return np.ones(reference.shape, dtype=bool)
    above = reference > 0.1 * np.percentile(positive, 99)
    labels, count = ndimage.label(ndimage.binary_opening(above))
    if count == 0:
        return np.asarray(above)
    largest = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
    return np.asarray(ndimage.binary_fill_holes(ndimage.binary_closing(largest, iterations=2)))
