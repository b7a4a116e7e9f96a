"""The slice profile of a volume node: what its DICOM files or its sidecar state, and what the worker will decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import slicer

from ArSSRLib.acquisition.decision import Decision, Predictions, decide
from ArSSRLib.acquisition.profile import UNKNOWN, SliceProfile
from ArSSRLib.errors import ArSSRError
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.volume import Volume
from ArSSRPanel import sequences
from ArSSRPanel.dicom_source import INSTANCES, isFromDicom, sourceInstanceFiles
from ArSSRPanel.nodes import geometryOf, volumeFromNode
from ArSSRPanel.request import Request

# Number of headers read per series: all slices state the same, and reading hundreds of files would block the window.
_HEADERS = 16
_NIFTI = (".nii", ".nii.gz")
# Cached profiles of nodes, by file and grid.
_known: dict[tuple[object, ...], SliceProfile] = {}
# Predictions from the voxels of nodes, by key; their number is limited, because a sequence has many frames.
KEPT_PREDICTIONS = 200
_predicted: dict[tuple[object, ...], Predictions] = {}


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


def estimatedFrom(request: Request) -> slicer.vtkMRMLScalarVolumeNode:
    """Return the volume whose voxels a run examines for the slice profile of the volume on display.

    For all frames of a sequence, that is the first frame on the same grid.
    """
    if not request.allFrames:
        return request.inputVolume
    frames, shown = request.frames, geometryOf(sequences.placeOf(request.inputVolume))
    for frame in frames:
        geometry = geometryOf(frame)
        if (geometry.size, geometry.spacing) == (shown.size, shown.spacing):
            return frame
    return frames[0]


def plannedDecision(request: Request) -> tuple[Decision, bool]:
    """Return the decision of the worker on the slice profile, and whether an estimate of the voxels is missing.

    The estimate takes too long for the window; `ProfileSection` lets a worker make it.

    Raises:
        InputError: If the thickness stated by the user is impossible, or the volume has no voxels.
    """
    node, missing = estimatedFrom(request), False

    def estimate(_volume: Volume, _unknown: Sequence[bool]) -> Predictions:
        nonlocal missing
        missing = (key := keyOf(node, request.model)) not in _predicted
        return _predicted.get(key, (None,) * 3)

    volume = volumeFromNode(node)
    volume = replace(volume, header=replace(volume.header, profile=profileOf(request.inputVolume)))
    return decide(volume, request.options, request.scale, estimate=estimate), missing


def keyOf(node: slicer.vtkMRMLScalarVolumeNode, model: str) -> tuple[object, ...]:
    """Return a key for the voxels of a node, their positions, and a model by name or file."""
    # The browser of a sequence makes a new copy of a frame whenever it shows it, so the frame itself counts.
    frame = sequences.shownFrameOf(node)
    image = (frame and frame.GetImageData()) or node.GetImageData()
    return image.GetMTime(), geometryOf(node), model


def remember(key: tuple[object, ...], found: Predictions) -> None:
    """Keep the predictions along i, j, k for the voxels with a key."""
    _predicted[key] = found
    while len(_predicted) > KEPT_PREDICTIONS:
        del _predicted[next(iter(_predicted))]


def _read(node: slicer.vtkMRMLScalarVolumeNode, path: str, geometry: VolumeGeometry) -> SliceProfile:
    if isFromDicom(node):
        return _fromDicom(node, geometry)
    if path.lower().endswith(_NIFTI):
        from ArSSRLib.io.sidecar import stated_beside  # noqa: PLC0415 - only where there is such a file

        return stated_beside(Path(path), geometry)[0]
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
