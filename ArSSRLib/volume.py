"""The one type that travels: an array and its geometry.

A `Volume` also remembers what its file said about storage, so that the writer can say it again. Reading and writing
live in `io`, millimeters in `geometry`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ArSSRLib.acquisition.profile import UNKNOWN, SliceProfile
from ArSSRLib.errors import InputError
from ArSSRLib.geometry import VolumeGeometry


@dataclass(frozen=True)
class FileHeader:
    """What a file said beyond its array and its geometry.

    Attributes:
        dtype: Type of the voxels as stored in the file; None when the volume never was a file.
        scaled: Whether the file held a slope or an intercept, so that its integers were not intensities.
        spatial_unit: Unit the file stated; the geometry itself is always in mm.
        description: Free text of the file.
        qform_code: NIfTI code of the qform, up to 5; 0 with that of the sform: the file does not say where it is.
            Many programs treat a negative code like 0.
        sform_code: NIfTI code of the sform, up to 5.
        padding: Least and largest intensity of voxels that the file declares as padding, in scanner units.
        component: Part of a complex image that the file says it is: "phase", "real" or "imaginary"; empty for others.
        profile: How the volume was acquired, as far as the file says.
        metadata: Further text fields worth keeping; never an identity of the patient.
    """

    dtype: np.dtype[Any] | None = None
    scaled: bool = False
    spatial_unit: str = "mm"
    description: str = ""
    qform_code: int = 1
    sform_code: int = 1
    padding: tuple[float, float] | None = None
    component: str = ""
    profile: SliceProfile = UNKNOWN
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Volume:
    """A 3-D image.

    Attributes:
        array: Intensities in scanner units, shape (k, j, i), a real numeric type.
        geometry: Where the voxels are, in LPS mm.
        header: What the file of the volume said beyond these two.

    Raises:
        InputError: If the array is not 3-D, not real, or not of the shape of the geometry.
    """

    array: npt.NDArray[Any]
    geometry: VolumeGeometry
    header: FileHeader = FileHeader()

    def __post_init__(self) -> None:
        """Refuse an array that the geometry does not describe."""
        if self.array.ndim != 3 or self.array.dtype.kind not in "biuf":
            msg = (
                f"A volume has three axes and real numbers, got {self.array.ndim} axes of type {self.array.dtype}; "
                "pass a single 3-D gray-scale volume."
            )
            raise InputError(msg)
        if self.array.shape != self.geometry.shape:
            msg = f"The array has shape {self.array.shape}, its geometry {self.geometry.shape}; both are (k, j, i)."
            raise InputError(msg)

    def with_array(self, array: npt.NDArray[Any], geometry: VolumeGeometry | None = None) -> Volume:
        """Return a volume with the same header and other intensities, shape (k, j, i), and another grid if given."""
        return replace(self, array=array, geometry=geometry or self.geometry)


def hash_of(array: npt.NDArray[Any]) -> str:
    """Return the SHA-256 of the voxels, which is the same for a copy in another format or integer type."""
    digest = hashlib.sha256(repr(array.shape).encode())
    digest.update(np.ascontiguousarray(array, dtype=np.float32).data)
    return digest.hexdigest()
