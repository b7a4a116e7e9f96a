"""A volume from its file to the ground truth that is trained on: checked, normalized, resampled.

What is prepared once is kept by `cache`; patches are cut from it in `drawing`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ArSSRLib.errors import InputError
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.interpolation import apply_matrices, bandlimited_matrix, centered_positions
from ArSSRLib.io import read_volume
from ArSSRLib.normalization import IntensityRange
from ArSSRLib.volume import Volume

# Stored as 16-bit integers: 1 / 16384 of the intensity range is below the noise of any scanner, up to a value of 2.
STORED_ONE = 16384
FOREGROUND = 0.1
CANDIDATES = 4096
# Raised when the same file and settings give other voxels than before, so that no cache serves the old ones.
PREPARATION_VERSION = 1


@dataclass(frozen=True)
class TrainingVolume:
    """One volume on one grid.

    Attributes:
        subject: Name of its file.
        stored: Intensities times STORED_ONE, int16, shape (k, j, i).
        foreground: Indices of voxels that show anatomy, shape (M, 3), in (k, j, i) order.
        spacing: Distance between voxel centers along k, j, i, in mm.
        voxel_hash: Of the voxels in the file, see `hash_of`.
        orientation: Which way the axes i, j, k run, such as "LPS"; see `orientation_of`.
    """

    subject: str
    stored: Tensor
    foreground: Tensor
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    voxel_hash: str = ""
    orientation: str = "LPS"


@dataclass(frozen=True)
class Preparation:
    """How volumes become ground truth.

    Attributes:
        crop_and_pad: Voxels along i, j, k; empty keeps the size.
        normalization: "percentile" or "maximum".
        spacing: Isotropic spacing in mm to resample to; 0 keeps the grid.
    """

    crop_and_pad: tuple[int, ...] = ()
    normalization: str = "percentile"
    spacing: float = 0.0


def read_checked(path: Path) -> Volume:
    """Read a volume in which every voxel is a number.

    Raises:
        InputError: If it cannot be read, or holds a voxel that is not a finite number.
    """
    volume = read_volume(path)
    wrong = (
        0 if volume.array.dtype.kind != "f" else int(volume.array.size - np.count_nonzero(np.isfinite(volume.array)))
    )
    if wrong:
        msg = f"{path.name} holds {wrong} voxels that are not a number or infinite; repair it or leave it out."
        raise InputError(msg)
    return volume


def prepare(volume: Volume, preparation: Preparation) -> Volume:
    """Crop, pad, normalize and resample a volume; returns float32 in about [0, 1] with its new geometry."""
    volume = crop_and_pad(volume, preparation.crop_and_pad)
    if preparation.normalization == "maximum":
        largest = float(volume.array.max())
        normal = volume.with_array((volume.array / (largest if largest > 0 else 1.0)).astype(np.float32))
    else:
        normal = volume.with_array(IntensityRange.of(volume.array).normalize(volume.array))
    return resample_isotropic(normal, preparation.spacing)


def store(volume: Volume, *, subject: str, voxel_hash: str) -> TrainingVolume:
    """Turn a prepared volume into what is kept in memory.

    Raises:
        InputError: If it shows nothing but background.
    """
    array = torch.from_numpy(np.ascontiguousarray(volume.array))
    foreground = torch.nonzero(array > FOREGROUND)
    if len(foreground) == 0 or float(array.max()) == float(array.min()):
        msg = f"{subject} shows nothing but background; leave it out of the training data."
        raise InputError(msg)
    stored = (array.clamp(-1.9, 1.9) * STORED_ONE).round().to(torch.int16)
    chosen = foreground[:: max(1, len(foreground) // CANDIDATES)].clone()
    i, j, k = volume.geometry.spacing
    return TrainingVolume(subject, stored, chosen, (k, j, i), voxel_hash, orientation_of(volume.geometry))


def crop_and_pad(volume: Volume, size: tuple[int, ...]) -> Volume:
    """Return a volume of ``size`` voxels (i, j, k) about the same center; padded with its least intensity.

    Voxels stay where they are; where the difference of a size is odd, the last face gets the voxel more.
    """
    if not size:
        return volume
    geometry = volume.geometry
    start = [(old - new) // 2 for old, new in zip(geometry.size, size, strict=True)]
    array = np.full(tuple(reversed(size)), volume.array.min(), volume.array.dtype)
    source, target = [], []
    for first, new, old in zip(reversed(start), array.shape, volume.array.shape, strict=True):
        source.append(slice(max(0, first), min(old, first + new)))
        target.append(slice(max(0, -first), max(0, -first) + min(old, first + new) - max(0, first)))
    array[tuple(target)] = volume.array[tuple(source)]
    corner = geometry.affine @ [*start, 1]
    origin = (float(corner[0]), float(corner[1]), float(corner[2]))
    return volume.with_array(array, replace(geometry, size=(size[0], size[1], size[2]), origin=origin))


def resample_isotropic(volume: Volume, spacing: float) -> Volume:
    """Return a volume at about ``spacing`` mm in the same field of view, without aliasing; 0 changes nothing."""
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


def hash_of(array: npt.NDArray[Any]) -> str:
    """Return the SHA-256 of the voxels, which is the same for a copy in another format or integer type."""
    digest = hashlib.sha256(repr(array.shape).encode())
    digest.update(np.ascontiguousarray(array, dtype=np.float32).data)
    return digest.hexdigest()


def orientation_of(geometry: VolumeGeometry) -> str:
    """Return the direction in which each axis i, j, k runs most: L or R, P or A, S or I."""
    axes = np.asarray(geometry.direction).reshape(3, 3).T
    letters = (("R", "L"), ("A", "P"), ("I", "S"))
    return "".join(letters[int(np.abs(axis).argmax())][int(axis[np.abs(axis).argmax()] > 0)] for axis in axes)
