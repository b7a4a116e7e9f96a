"""A volume from its file to the ground truth of an evaluation: checked, resampled, cropped, with its mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ArSSRLib.errors import InputError
from ArSSRLib.io.sources import Source, read_checked
from ArSSRLib.metrics import Mask, brain_mask
from ArSSRLib.resampling import resample_isotropic
from ArSSRLib.volume import Volume, hash_of

if TYPE_CHECKING:
    from ArSSRLib.evaluation.protocol import Protocol

LEAST_SIZE = 8


@dataclass(frozen=True)
class Truth:
    """What results are compared with.

    Attributes:
        subject: Who it shows.
        volume: Intensities in scanner units, float32.
        mask: Its anatomy, shape (k, j, i).
        voxel_hash: Of the voxels in the file, see `ArSSRLib.volume.hash_of`.
    """

    subject: str
    volume: Volume
    mask: Mask
    voxel_hash: str


def subject_name(source: Source) -> str:
    """Return who a source shows, as a name in tables and files: without the suffixes of its file."""
    return source.subject if source.subject != source.path.name else source.path.name.partition(".")[0]


def prepare_truth(source: Source, protocol: Protocol) -> Truth:
    """Read a volume and make it ground truth as the protocol says.

    Raises:
        InputError: If it cannot be read, holds voxels that are not numbers, shows nothing, or is too small.
    """
    volume = read_checked(source.path)
    voxel_hash = hash_of(volume.array)
    if float(volume.array.max()) == float(volume.array.min()):
        msg = f"{source.path.name} shows nothing: all its voxels are equal; leave it out."
        raise InputError(msg)
    # Without the header of its file: nothing rounds it to the integers that were stored there.
    volume = resample_isotropic(Volume(volume.array.astype(np.float32), volume.geometry), protocol.spacing)
    mask = brain_mask(volume.array)
    box = [(0, n) for n in volume.array.shape]
    if protocol.crop == "mask":
        box = _around(mask, protocol.crop_margin)
    if protocol.crop_size:
        box = [_middle(pair, size) for pair, size in zip(box, reversed(protocol.crop_size), strict=True)]
    if min(stop - first for first, stop in box) < LEAST_SIZE:
        found = " x ".join(str(stop - first) for first, stop in reversed(box))
        msg = f"{source.path.name} has {found} voxels after cropping; needed are {LEAST_SIZE} along each axis."
        raise InputError(msg)
    k, j, i = (slice(*pair) for pair in box)
    start = [first for first, _ in reversed(box)]
    size = [stop - first for first, stop in reversed(box)]
    cropped = volume.with_array(np.ascontiguousarray(volume.array[k, j, i]), volume.geometry.cropped(start, size))
    return Truth(subject_name(source), cropped, np.ascontiguousarray(mask[k, j, i]), voxel_hash)


def crop_statement(protocol: Protocol) -> str:
    """Return in words how a truth is cropped."""
    words = []
    if protocol.crop == "mask":
        words.append(f"to the bounding box of its mask and {protocol.crop_margin} voxels more on every side")
    if protocol.crop_size:
        words.append(f"to at most {' x '.join(map(str, protocol.crop_size))} voxels (i, j, k) about the middle of that")
    return ", then ".join(words) if words else "not at all"


def _around(mask: Mask, margin: int) -> list[tuple[int, int]]:
    box = []
    for axis, count in enumerate(mask.shape):
        filled = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        first, last = (int(filled[0]), int(filled[-1])) if filled.size else (0, count - 1)
        box.append((max(0, first - margin), min(count, last + 1 + margin)))
    return box


def _middle(pair: tuple[int, int], size: int) -> tuple[int, int]:
    first = pair[0] + max(0, pair[1] - pair[0] - size) // 2
    return (first, min(pair[1], first + size))
