"""From a volume to the ground truth for training: padded, normalized, resampled.

`cache` stores prepared volumes; `drawing` cuts patches from them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ArSSRLib.errors import InputError
from ArSSRLib.normalization import IntensityRange
from ArSSRLib.padding import find_padding, without_padding
from ArSSRLib.resampling import resample_isotropic
from ArSSRLib.volume import Volume

# Volumes are stored as 16-bit integers up to a value of 2; 1 / 16384 of the range is below the noise of any scanner.
STORED_ONE = 16384
FOREGROUND = 0.1
CANDIDATES = 4096
# Increased whenever the same file and settings give other voxels than before, which invalidates old cache entries.
PREPARATION_VERSION = 3


@dataclass(frozen=True)
class TrainingVolume:
    """One volume on one grid.

    Attributes:
        subject: Name of the file.
        stored: Intensities times STORED_ONE, int16, shape (k, j, i).
        foreground: Indices of voxels that show anatomy, shape (M, 3), in (k, j, i) order.
        spacing: Distance between voxel centers along k, j, i, in mm.
        voxel_hash: Hash of the voxels in the file, see `ArSSRLib.volume.hash_of`.
        orientation: Directions of the axes i, j, k, such as "LPS"; see `VolumeGeometry.orientation`.
    """

    subject: str
    stored: Tensor
    foreground: Tensor
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    voxel_hash: str = ""
    orientation: str = "LPS"


@dataclass(frozen=True)
class Preparation:
    """How a volume is turned into ground truth.

    Attributes:
        crop_and_pad: Number of voxels along i, j, k; empty keeps the size.
        normalization: "percentile" or "maximum".
        spacing: Isotropic spacing in mm to resample to; 0 keeps the grid.
    """

    crop_and_pad: tuple[int, ...] = ()
    normalization: str = "percentile"
    spacing: float = 0.0


def prepare(volume: Volume, preparation: Preparation) -> Volume:
    """Crop, pad, normalize and resample a volume; returns float32 in about [0, 1] with its new geometry."""
    volume = volume.with_array(without_padding(volume.array, find_padding(volume.array, volume.header.padding)))
    volume = crop_and_pad(volume, preparation.crop_and_pad)
    if preparation.normalization == "maximum":
        largest = float(volume.array.max())
        normal = volume.with_array((volume.array / (largest if largest > 0 else 1.0)).astype(np.float32))
    else:
        normal = volume.with_array(IntensityRange.of(volume.array).normalize(volume.array))
    return resample_isotropic(normal, preparation.spacing)


def store(volume: Volume, *, subject: str, voxel_hash: str) -> TrainingVolume:
    """Convert a prepared volume to its form in memory.

    Raises:
        InputError: If the volume shows only background.
    """
    array = torch.from_numpy(np.ascontiguousarray(volume.array))
    foreground = torch.nonzero(array > FOREGROUND)
    if len(foreground) == 0 or float(array.max()) == float(array.min()):
        msg = f"{subject} shows nothing but background; omit it from the training data."
        raise InputError(msg)
    stored = (array.clamp(-1.9, 1.9) * STORED_ONE).round().to(torch.int16)
    chosen = foreground[:: max(1, len(foreground) // CANDIDATES)].clone()
    i, j, k = volume.geometry.spacing
    return TrainingVolume(subject, stored, chosen, (k, j, i), voxel_hash, volume.geometry.orientation())


def crop_and_pad(volume: Volume, size: tuple[int, ...]) -> Volume:
    """Return a volume of ``size`` voxels (i, j, k) around the same center, padded with its lowest intensity.

    Voxels keep their positions; if a size changes by an odd number, the extra voxel is at the end of the axis.
    """
    if not size:
        return volume
    geometry = volume.geometry
    start = [(old - new) // 2 for old, new in zip(geometry.size, size, strict=True)]
    ends = [(first, first + new, old) for first, new, old in zip(start, size, geometry.size, strict=True)][::-1]
    cropped = volume.array[tuple(slice(max(0, first), stop) for first, stop, _ in ends)]
    widths = [(max(0, -first), max(0, stop - old)) for first, stop, old in ends]
    array = np.pad(cropped, widths, constant_values=volume.array.min())
    corner = geometry.affine @ [*start, 1]
    origin = (float(corner[0]), float(corner[1]), float(corner[2]))
    return volume.with_array(array, replace(geometry, size=(size[0], size[1], size[2]), origin=origin))
