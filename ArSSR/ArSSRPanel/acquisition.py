"""The slice profile of a volume node, as far as its DICOM files or its sidecar state it."""

from __future__ import annotations

from pathlib import Path

import slicer
import slicer.util

from ArSSRLib.acquisition.estimate import estimated_axes
from ArSSRLib.acquisition.profile import UNKNOWN, SliceProfile
from ArSSRLib.acquisition.stated import stated_profile
from ArSSRLib.errors import ArSSRError, InputError
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.normalization import replace_non_finite
from ArSSRLib.options import AS_FILED, UNKNOWN_THICKNESS
from ArSSRPanel.dicom_source import INSTANCES, isFromDicom, sourceInstanceFiles
from ArSSRPanel.nodes import geometryOf
from ArSSRPanel.request import Request

# Number of headers read per series: its slices state the same, and reading hundreds of files would block the window.
_HEADERS = 16
_NIFTI = (".nii", ".nii.gz")
# Cached profiles of nodes, by file and grid.
_known: dict[tuple[object, ...], SliceProfile] = {}
# What was estimated from the voxels of a node, while they are the same.
_guessed: dict[tuple[object, ...], SliceProfile] = {}


def profileOf(node: slicer.vtkMRMLNode) -> SliceProfile:
    """Return the slice profiles along i, j, k stated by the files of a volume node; unknown for other nodes."""
    if not node.IsA("vtkMRMLScalarVolumeNode"):
        return UNKNOWN
    try:
        geometry = geometryOf(node)
    except ArSSRError:
        return UNKNOWN
    storage = node.GetStorageNode()
    path = "" if storage is None else storage.GetFullNameFromFileName() or ""
    key = (node.GetAttribute(INSTANCES), path, geometry)
    if key not in _known:
        _known.clear()
        _known[key] = _read(node, path, geometry)
    return _known[key]


def plannedProfile(request: Request) -> SliceProfile:
    """Return the slice profiles that the worker will use, for the estimate of a run.

    They are estimated from the voxels only for a region of interest, whose margin depends on them; for a whole volume
    they hardly change the time.

    Raises:
        InputError: If the thickness stated by the user is impossible.
    """
    grid, text = request.inputGeometry, request.options.slice_thickness
    finer = [factor > 1 for factor in request.scale]
    known = stated_profile(profileOf(request.inputVolume), text, grid.spacing, finer)
    if request.region is None or known.covers(request.scale) or text in (AS_FILED, UNKNOWN_THICKNESS):
        return known
    return known.completed_by(_guess(request.inputVolume, grid))


def _guess(node: slicer.vtkMRMLScalarVolumeNode, geometry: VolumeGeometry) -> SliceProfile:
    image = node.GetImageData()
    key = (node.GetID(), image.GetMTime(), geometry)
    if key not in _guessed:
        _guessed.clear()
        try:
            array, _replaced = replace_non_finite(slicer.util.arrayFromVolume(node))
        except InputError:  # no voxel is a finite number
            return UNKNOWN
        k, j, i = estimated_axes(array, geometry.spacing[::-1])
        _guessed[key] = SliceProfile((i, j, k))
    return _guessed[key]


def _read(node: slicer.vtkMRMLScalarVolumeNode, path: str, geometry: VolumeGeometry) -> SliceProfile:
    if isFromDicom(node):
        return _fromDicom(node, geometry)
    if path.lower().endswith(_NIFTI):
        from ArSSRLib.io.sidecar import profile_beside  # noqa: PLC0415 - only where there is such a file

        return profile_beside(Path(path), geometry)
    return UNKNOWN


def _fromDicom(node: slicer.vtkMRMLScalarVolumeNode, geometry: VolumeGeometry) -> SliceProfile:
    try:
        files = sourceInstanceFiles(node)
    except ArSSRError:  # moved since it was loaded
        return UNKNOWN
    if len(files) not in (1, geometry.size[2]):
        return UNKNOWN
    import pydicom  # noqa: PLC0415 - Slicer has it; it takes a moment to load

    from ArSSRLib.io.dicom_profile import profile_of  # noqa: PLC0415

    step = -(-len(files) // _HEADERS)
    try:
        headers = [pydicom.dcmread(file, stop_before_pixels=True) for file in files[::step]]
    except (OSError, pydicom.errors.InvalidDicomError):
        return UNKNOWN
    return profile_of(headers, geometry, Path(files[0]))
