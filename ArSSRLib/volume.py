"""Volume: the array, geometry and header that the rooms exchange.

A `Volume` also keeps how its file was stored, for the writer. `io` reads and writes volumes, and `geometry` handles
millimeters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ArSSRLib.acquisition.profile import UNKNOWN, SliceProfile
from ArSSRLib.errors import InputError, require
from ArSSRLib.geometry import VolumeGeometry


@dataclass(frozen=True)
class FileHeader:
    """The content of a file besides its array and geometry.

    Attributes:
        dtype: Voxel type in the file; None if the volume is not from a file.
        scaled: Whether the file had a slope or an intercept, so that its integers were not intensities.
        description: Free text of the file.
        qform_code: NIfTI code of the qform, up to 5; if both codes are 0, the file does not define a position. Many
            programs treat a negative code like 0.
        sform_code: NIfTI code of the sform, up to 5.
        padding: Smallest and largest intensity of voxels that the file declares as padding, in scanner units.
        component: Part of a complex image according to the file: "phase", "real" or "imaginary"; otherwise empty.
        profile: Slice profile according to the file.
        metadata: Further text fields, which never identify the patient.
    """

    dtype: np.dtype[Any] | None = None
    scaled: bool = False
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
        geometry: Positions of the voxels, in LPS mm.
        header: Further content of the file.

    Raises:
        InputError: If the array is not a plain NumPy array, 3-D and real, or if its shape does not match the geometry.
    """

    array: npt.NDArray[Any]
    geometry: VolumeGeometry
    header: FileHeader = FileHeader()

    def __post_init__(self) -> None:
        """Refuse an array that does not match the geometry, or whose mask would be ignored."""
        if not isinstance(self.array, np.ndarray) or isinstance(self.array, np.ma.MaskedArray):
            msg = (
                f"The array of a volume must be a NumPy array, got {type(self.array).__name__}; convert it first, for "
                "example with numpy.asarray, or a masked array with its method filled."
            )
            raise InputError(msg)
        if self.array.ndim != 3 or self.array.dtype.kind not in "biuf":
            msg = (
                f"A volume has three axes and real numbers, got {self.array.ndim} axes of type {self.array.dtype}; "
                "pass a single 3-D grayscale volume."
            )
            raise InputError(msg)
        require("A volume", self.geometry, VolumeGeometry)
        require("A volume", self.header, FileHeader)
        if self.array.shape != self.geometry.shape:
            msg = f"The array has shape {self.array.shape}, its geometry {self.geometry.shape}; both are (k, j, i)."
            raise InputError(msg)

    def with_array(self, array: npt.NDArray[Any], geometry: VolumeGeometry | None = None) -> Volume:
        """Return a volume with the same header and other intensities, shape (k, j, i), and optionally another grid."""
        return replace(self, array=array, geometry=geometry or self.geometry)


def hash_of(array: npt.NDArray[Any]) -> str:
    """Return the SHA-256 of the voxels, which does not depend on the file format or the integer type."""
    digest = hashlib.sha256(repr(array.shape).encode())
    digest.update(np.ascontiguousarray(array, dtype=np.float32).data)
    return digest.hexdigest()
