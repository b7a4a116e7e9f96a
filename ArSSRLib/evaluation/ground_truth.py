"""From a volume file to the ground truth of an evaluation: checked, resampled, cropped, with its mask."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

from ArSSRLib.errors import InputError
from ArSSRLib.evaluation.lesions import GIVEN, MARGIN, SURROUND, SYNTHETIC, Lesions, lesions_of
from ArSSRLib.evaluation.synthetic_lesions import COUNT, GENERATOR, RADII, with_synthetic_lesions
from ArSSRLib.geometry import VolumeGeometry, times
from ArSSRLib.io.sources import Source, read_checked
from ArSSRLib.metrics import Mask, brain_mask
from ArSSRLib.resampling import resample_isotropic
from ArSSRLib.volume import Volume, hash_of

if TYPE_CHECKING:
    from ArSSRLib.evaluation.protocol import Protocol

LEAST_SIZE = 8
# Largest distance between the corners of another file's grid and the truth, in mm: rounding in NIfTI headers.
GRID_TOLERANCE = 1e-2


@dataclass(frozen=True)
class GroundTruth:
    """The reference for results.

    Attributes:
        subject: Name of the subject.
        volume: Intensities in scanner units, float32.
        mask: Mask of the anatomy, shape (k, j, i).
        voxel_hash: Hash of the voxels in the file; see `ArSSRLib.volume.hash_of`.
        lesions: The lesions; None if none are known.
        lesion_identity: Everything that determines the lesions besides the volume; "" if none are known.
    """

    subject: str
    volume: Volume
    mask: Mask
    voxel_hash: str
    lesions: Lesions | None = None
    lesion_identity: str = ""


def subject_name(source: Source) -> str:
    """Return the subject of a source as a name for tables and files: its file name without suffixes."""
    return source.subject if source.subject != source.path.name else source.path.name.partition(".")[0]


def prepare_ground_truth(source: Source, protocol: Protocol) -> GroundTruth:
    """Read a volume and prepare it as ground truth according to the protocol.

    Raises:
        InputError: If the volume cannot be read, has voxels that are not finite, has no contrast, or is too small, or
            if its lesion mask does not fit.
    """
    volume = read_checked(source.path)
    given = _given_lesions(source, volume)
    voxel_hash = hash_of(volume.array)
    if float(volume.array.max()) == float(volume.array.min()):
        msg = f"{source.path.name} shows nothing, because all its voxels are equal; omit it."
        raise InputError(msg)
    # Without the header of its file, which would cause rounding to the stored integers.
    volume = resample_isotropic(Volume(volume.array.astype(np.float32), volume.geometry), protocol.spacing)
    mask = brain_mask(volume.array)
    k, j, i = box = _kept_box(source, mask, protocol)
    start, stop = ([getattr(part, end) for part in reversed(box)] for end in ("start", "stop"))
    geometry = volume.geometry.cropped(start, [b - a for a, b in zip(start, stop, strict=True)])
    cropped = volume.with_array(np.ascontiguousarray(volume.array[k, j, i]), geometry)
    truth = GroundTruth(subject_name(source), cropped, np.ascontiguousarray(mask[k, j, i]), voxel_hash)
    if protocol.lesions:
        return _with_synthetic(truth)
    if given is None:
        return truth
    inside = np.ascontiguousarray(_on_grid(given, mask.shape)[k, j, i])
    lesions = lesions_of(inside, truth.mask, geometry.spacing, GIVEN)
    return dataclasses.replace(truth, lesions=lesions, lesion_identity=hash_of(given))


def crop_statement(protocol: Protocol) -> str:
    """Return a sentence on the cropping of truths."""
    words = []
    if protocol.crop == "mask":
        words.append(f"to the bounding box of its mask and {protocol.crop_margin} voxels on every side")
    if protocol.crop_size:
        words.append(f"to at most {' x '.join(map(str, protocol.crop_size))} voxels (i, j, k) around its center")
    return ", then ".join(words) if words else "not at all"


def lesion_statement(protocol: Protocol) -> str:
    """Return a sentence on the lesions and the regions of their evaluation; "" if there are none."""
    where = f"their region includes {MARGIN:g} mm around them; their surround is {MARGIN:g} to {SURROUND:g} mm away"
    if protocol.lesions:
        least, most = RADII
        return (
            f"synthetic, not of a patient: up to {COUNT} dark ellipsoids per volume, with semi-axes of {least:g} to "
            f"{most:g} mm, placed in the brightest tissue of the truth (`ArSSRLib.evaluation.synthetic_lesions`); "
            f"{where}"
        )
    return f"from the masks of the data; {where}"


def _given_lesions(source: Source, volume: Volume) -> Mask | None:
    """Return the lesion mask that belongs to a volume, on its grid."""
    if source.lesions is None:
        return None
    mask = read_checked(source.lesions)
    if not mask.geometry.matches(volume.geometry, GRID_TOLERANCE):
        msg = (
            f"{source.lesions.name}, the lesion mask of {source.path.name}, lies on another grid: "
            f"{placed(mask.geometry)}; expected {placed(volume.geometry)}. Resample the mask to the grid of the volume."
        )
        raise InputError(msg)
    return np.asarray(mask.array > 0.5)


def placed(geometry: VolumeGeometry) -> str:
    """Return a grid as text for a message."""
    origin = ", ".join(f"{x:.2f}" for x in geometry.origin)
    return f"{times(geometry.size)} voxels of {times(geometry.spacing)} mm from ({origin}) LPS mm"


def _on_grid(mask: Mask, shape: tuple[int, ...]) -> Mask:
    """Resample a mask onto another grid of the same field of view: linear interpolation above one half."""
    if mask.shape == shape:
        return mask
    values = torch.from_numpy(mask.astype(np.float32))[None, None]
    return np.asarray(F.interpolate(values, shape, mode="trilinear", align_corners=False)[0, 0].numpy() > 0.5)


def _with_synthetic(truth: GroundTruth) -> GroundTruth:
    spacing = truth.volume.geometry.spacing
    # From the voxels, so that a volume has the same lesions under any name.
    seed = int(truth.voxel_hash[:16], 16)
    array, inside, white = with_synthetic_lesions(truth.volume.array, truth.mask, spacing, seed)
    lesions = lesions_of(inside, white, spacing, SYNTHETIC)
    identity = f"synthetic {GENERATOR}"
    return dataclasses.replace(truth, volume=truth.volume.with_array(array), lesions=lesions, lesion_identity=identity)


def _kept_box(source: Source, mask: Mask, protocol: Protocol) -> tuple[slice, slice, slice]:
    """Return the part of an array that is kept as truth, which must not be too small."""
    box = [(0, n) for n in mask.shape]
    if protocol.crop == "mask":
        margin = protocol.crop_margin
        (filled,) = ndimage.find_objects(mask.astype(np.int8)) or [[slice(0, n) for n in mask.shape]]
        box = [(max(0, s.start - margin), min(n, s.stop + margin)) for s, n in zip(filled, mask.shape, strict=True)]
    if protocol.crop_size:
        box = [_middle(pair, size) for pair, size in zip(box, reversed(protocol.crop_size), strict=True)]
    if min(stop - first for first, stop in box) < LEAST_SIZE:
        found = " x ".join(str(stop - first) for first, stop in reversed(box))
        msg = (
            f"{source.path.name} has {found} voxels after cropping, but at least {LEAST_SIZE} along each axis are "
            "needed; crop less, or omit it."
        )
        raise InputError(msg)
    k, j, i = (slice(*pair) for pair in box)
    return (k, j, i)


def _middle(pair: tuple[int, int], size: int) -> tuple[int, int]:
    first = pair[0] + max(0, pair[1] - pair[0] - size) // 2
    return (first, min(pair[1], first + size))
