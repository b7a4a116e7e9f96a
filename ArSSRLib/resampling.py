"""A volume on another grid in the same field of view, without a network."""

from __future__ import annotations

import numpy as np
import torch

from ArSSRLib.interpolation import apply_matrices, bandlimited_matrix, centered_positions
from ArSSRLib.volume import Volume


def resample_isotropic(volume: Volume, spacing: float) -> Volume:
    """Resample a volume to about ``spacing`` mm in the same field of view, without aliasing; 0 changes nothing."""
    if spacing == 0:
        return volume
    geometry = volume.geometry
    size = [max(1, round(extent / spacing)) for extent in geometry.extent]
    matrices = [
        bandlimited_matrix(old, centered_positions(old, new), old / new)
        for old, new in zip(geometry.shape, reversed(size), strict=True)
    ]
    array = apply_matrices(torch.from_numpy(volume.array.astype(np.float32)), matrices).numpy()
    return volume.with_array(array, geometry.resized(size))
