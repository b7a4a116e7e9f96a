"""The slice profile, estimated from the network's own result.

A network that does not know the profile assumes a typical one. Acquisitions of its result are simulated with profiles
of several widths: the simulation that reproduces the volume best has the width that the network assumed; the true width
is slightly larger. A central part of the volume is sufficient.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from ArSSRLib.acquisition.consistency import Agreement
from ArSSRLib.acquisition.decision import Predictions, predicted_contrast
from ArSSRLib.acquisition.profile import UNKNOWN, AxisProfile, SliceProfile, told_of
from ArSSRLib.acquisition.spectra import anatomy_of
from ArSSRLib.convolution.slabs import unobserved
from ArSSRLib.coordinates import whole_grid
from ArSSRLib.model.interface import Conditioning, SuperResolutionModel
from ArSSRLib.normalization import IntensityRange, replace_non_finite
from ArSSRLib.padding import find_padding, without_padding
from ArSSRLib.volume import Volume

# Tried widths in voxels, with the width that each indicates along all axes, and along a thick axis; see
# Resources/Evaluation/slice_profile.md. None is points, for which nothing is estimated. Larger widths along all axes
# also fit volumes that are smooth by nature, which would become worse.
WIDTHS: dict[float | None, tuple[float | None, float | None]] = {
    None: (None, None),
    0.4: (0.5, 0.5),
    0.5: (0.6, 0.6),
    0.6: (0.7, 0.7),
    0.7: (None, 0.9),
    0.8: (None, 0.9),
    0.9: (None, 1.0),
    1.0: (None, 1.1),
    1.1: (None, 1.1),
}
# Factor for an axis as fine as the finest one, and limits of the factor for a coarser one, which is tried alone.
ISOTROPIC, THICK = 2.0, (1.5, 4.0)
# Largest number of coarse voxels of the part, its smallest edge, and voxels at its border that do not count.
VOXELS, SHORTEST, BORDER = 64_000, 12, 2


@dataclass(frozen=True)
class BlindEstimate:
    """Estimates slice profiles from the spectra and, for axes without a stated profile, from the result of a network.

    Attributes:
        model: From `load_model`; networks that do not use the profile are not tried.
        device: Where to compute.
    """

    model: SuperResolutionModel
    device: torch.device

    def __call__(self, volume: Volume, unknown: Sequence[bool]) -> Predictions:
        """Return the predictions along i, j, k; ``unknown`` states for which axes a width would be used."""
        found, scale = predicted_contrast(volume), tried_scale(volume.geometry.spacing)
        axes = zip(unknown, scale, found, strict=True)
        wanted = [bool(u and s > 1 and one and not (one.smooth or one.cut_off)) for u, s, one in axes]
        if not any(wanted) or not self.model.uses_profile:
            return found
        array, _ = replace_non_finite(volume.array)
        width = self.width(without_padding(array, find_padding(array, volume.header.padding)), scale[::-1])
        tried = [one and one._replace(tried=True, width=width) for one in found]
        return tuple(new if w else old for new, old, w in zip(tried, found, wanted, strict=True))

    def width(self, array: npt.NDArray[Any], scale: Sequence[float]) -> float | None:
        """Return the width of a Gaussian along the axes with a scale above 1, in voxels; None for no estimate.

        Args:
            array: Finite intensities without padding, shape (k, j, i).
            scale: Factors along k, j, i to which the network upsamples a part.
        """
        along_all, along_thick = WIDTHS[self.tried_width(array, scale)]
        return along_all if min(scale) > 1 else along_thick

    def tried_width(self, array: npt.NDArray[Any], scale: Sequence[float]) -> float | None:
        """Return which of `WIDTHS` reproduces the volume best; None also for few slices. Arguments as above."""
        anatomy = anatomy_of(array)
        if anatomy is None:
            return None
        part = torch.from_numpy(IntensityRange.of(array).normalize(central_part(anatomy.voxels, scale)))
        if min(n for n, s in zip(part.shape, scale, strict=True) if s > 1) < SHORTEST:
            return None
        shape = [math.floor(n * s + 0.5) for n, s in zip(part.shape, scale, strict=True)]
        fine = self._upsampled(part, shape)
        return min(WIDTHS, key=lambda width: _difference(part, fine, width))

    def _upsampled(self, part: Tensor, shape: Sequence[int]) -> Tensor:
        told = Conditioning.between(part.shape, shape, told_of(UNKNOWN)).map(lambda tensor: tensor.to(self.device))
        old, new, network = part.shape, shape, self.model.to(self.device).eval()
        with torch.inference_mode():
            answer = network.encode_tile(part[None, None].to(self.device), told, unobserved)
            return answer(whole_grid((old[0], old[1], old[2]), (new[0], new[1], new[2]))).float().cpu()


def tried_scale(spacing: Sequence[float]) -> tuple[float, ...]:
    """Return the factors for the test: along a thick axis, up to cubic voxels; otherwise, the same along all axes."""
    ratios = [s / min(spacing) for s in spacing]
    low, high = THICK
    if max(ratios) < low:
        return (ISOTROPIC,) * 3
    return tuple(min(ratio, high) if ratio >= low else 1.0 for ratio in ratios)


def central_part(array: npt.NDArray[Any], scale: Sequence[float]) -> npt.NDArray[Any]:
    """Return the part at the center of a volume whose edges have similar lengths after upsampling."""
    edge = (VOXELS * math.prod(scale)) ** (1 / 3)
    lengths = [min(n, max(SHORTEST + 4, round(edge / s))) for n, s in zip(array.shape, scale, strict=True)]
    return array[tuple(slice((n - m) // 2, (n + m) // 2) for n, m in zip(array.shape, lengths, strict=True))]


def _difference(part: Tensor, fine: Tensor, width: float | None) -> float:
    """Return the mean squared difference between a part and a simulated acquisition of its result."""
    axis = AxisProfile("point") if width is None else AxisProfile("gaussian", width)
    agreement = Agreement.of(fine.shape, part.shape, SliceProfile((axis,) * 3))
    left = part - agreement.simulated(fine, [slice(None)] * 3)
    inner = tuple(slice(BORDER, -BORDER) if n > 4 * BORDER else slice(None) for n in left.shape)
    return float(left[inner].square().mean())
