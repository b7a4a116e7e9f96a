"""Results from files: a volume with a record is loaded with its model, scale and input.

Slicer asks this reader about each file that is dropped or added, and it only accepts volumes with a record, such as
those of ``arssr bids``, and their uncertainties. All other volumes are left to the module Volumes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import slicer
import slicer.util
import vtk
from slicer.i18n import tr as _

from ArSSRLib.cohort.derivatives import result_of_uncertainty, uncertainty_of
from ArSSRLib.errors import ArSSRError, DependencyError, InputError
from ArSSRLib.io import read_volume
from ArSSRLib.io.formats import suffix_of
from ArSSRLib.record import read_record, sidecar_of, voxels_sha256
from ArSSRPanel.attributes import isResult, linkInput, sourceOf, writeRecord
from ArSSRPanel.nodes import geometryOf, grayVolumes, volumeFromNode
from ArSSRPanel.outputs import UNCERTAINTY_ROLE, colorUncertainty, linkUncertainty

# Formats of ArSSR's results that Slicer reads without extensions.
SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")
# The confidence of Slicer's own volume reader is at most 0.57.
CONFIDENCE = 0.8
# Checksums of the voxels of volumes, by node and time of the last change; a limit, because frames change often.
KEPT_DIGESTS = 100
_digests: dict[tuple[str, int], str | None] = {}


class ArSSRFileReader:
    """Reads volumes with a record; Slicer finds this class by its name in the module."""

    def __init__(self, parent: Any) -> None:
        self.parent = parent

    def description(self) -> str:
        """Return the name of these files in the dialog for adding data."""
        return str(_("ArSSR result"))

    def fileType(self) -> str:
        """Return the name of this reader for scripts."""
        return "ArSSRResult"

    def extensions(self) -> list[str]:
        """Return the name filters, one per suffix."""
        return [f"{self.description()} (*{suffix})" for suffix in SUFFIXES]

    def canLoadFileConfidence(self, filePath: str) -> float:
        """Return the confidence of this reader: high for a volume with a record, or its uncertainty."""
        path = Path(filePath)
        result = result_of_uncertainty(path) or path
        return CONFIDENCE if suffix_of(path) in SUFFIXES and sidecar_of(result).is_file() else 0.0

    def load(self, properties: Mapping[str, Any]) -> bool:
        """Load a result; problems are added to the messages that Slicer shows at the end."""
        path = Path(properties["fileName"])
        try:
            load = loadResult if result_of_uncertainty(path) is None else loadUncertainty
            node, warning = load(path, name=properties.get("name"))
        except ArSSRError as error:
            self.parent.userMessages().AddMessage(vtk.vtkCommand.ErrorEvent, str(error))
            return False
        if warning:
            self.parent.userMessages().AddMessage(vtk.vtkCommand.WarningEvent, warning)
        self.parent.loadedNodes = [node.GetID()]
        return True


def loadResult(path: Path, *, name: str | None = None) -> tuple[slicer.vtkMRMLScalarVolumeNode, str]:
    """Load a volume with the record beside it, and reference its input if that is in the scene.

    Such a result is then used by *Compare* and the export in the panel.

    Returns:
        The node, and the problem with its record; "" if there is none.

    Raises:
        InputError: If Slicer cannot read the volume.
    """
    node = _loadVolume(path, name)
    try:
        record = read_record(sidecar_of(path))
    except InputError as error:
        return node, _("{error} The volume was loaded without its record.").format(error=error)
    fits = _fits(node, path, record)
    if fits is False:
        return node, _(
            "{path}: was changed after it was made: its voxels are not those of its record. "
            "The volume was loaded without its record."
        ).format(path=path)
    writeRecord(node, record)
    linkedSource(node)
    slicer.util.getModuleLogic("ArSSR").getParameterNode().result = node
    warnings = []
    if fits is None:
        warnings.append(_("{path}: its voxels could not be compared with those of its record.").format(path=path))
    if uncertainty_of(path) != path and uncertainty_of(path).is_file():
        warnings.append(_addUncertainty(node, uncertainty_of(path)))
    return node, " ".join(filter(None, warnings))


def loadUncertainty(path: Path, *, name: str | None = None) -> tuple[slicer.vtkMRMLScalarVolumeNode, str]:
    """Load the uncertainty of a result with its color map; the result references it, whichever is loaded first.

    Returns:
        The node, which may have been loaded before, and the problem with it; "" if there is none.

    Raises:
        InputError: If Slicer cannot read the volume.
    """
    loaded = _loadedFrom(path)
    if loaded is not None:
        return loaded, ""
    node = _loadVolume(path, name)
    colorUncertainty(node)
    result = _loadedFrom(result_of_uncertainty(path) or path)
    return node, "" if result is None or not isResult(result) else _link(result, node, path)


def _loadVolume(path: Path, name: str | None) -> slicer.vtkMRMLScalarVolumeNode:
    plainName = name or path.name[: -len(suffix_of(path))]
    node = slicer.modules.volumes.logic().AddArchetypeVolume(str(path), plainName, 0)
    if node is None:
        msg = _("{path}: Slicer cannot read this volume; create it again, or download the file again.").format(
            path=path
        )
        raise InputError(msg)
    return node


def _loadedFrom(path: Path) -> slicer.vtkMRMLScalarVolumeNode | None:
    """Return the volume of the scene that was loaded from a file; the last one if there are several."""

    def fileOf(node: slicer.vtkMRMLScalarVolumeNode) -> str:
        storage = node.GetStorageNode()
        return "" if storage is None else storage.GetFullNameFromFileName() or ""

    wanted = os.path.abspath(path)
    found = [node for node in grayVolumes() if fileOf(node) and os.path.abspath(fileOf(node)) == wanted]
    return found[-1] if found else None


def _addUncertainty(result: slicer.vtkMRMLScalarVolumeNode, path: Path) -> str:
    """Reference the uncertainty beside a result; return the problem, "" if there is none."""
    try:
        node, _warning = loadUncertainty(path)
    except InputError as error:
        return str(error)
    return "" if result.GetNodeReference(UNCERTAINTY_ROLE) is node else _link(result, node, path)


def _link(result: slicer.vtkMRMLScalarVolumeNode, node: slicer.vtkMRMLScalarVolumeNode, path: Path) -> str:
    if not geometryOf(node).matches(geometryOf(result)):
        return _("{path}: this uncertainty map is not on the grid of its result, so it was not linked to it.").format(
            path=path
        )
    linkUncertainty(result, node)
    return ""


def _fits(node: slicer.vtkMRMLScalarVolumeNode, path: Path, record: Mapping[str, Any]) -> bool | None:
    """Return whether a volume matches a record; None if that is unknown."""
    if voxels_sha256(volumeFromNode(node).array) == record["result_sha256"]:
        return True
    try:
        # Slicer may use another voxel type than the engine, on which the checksum depends.
        return voxels_sha256(read_volume(path).array) == record["result_sha256"]
    except DependencyError:  # Slicer has no nibabel
        return None


def linkedSource(result: slicer.vtkMRMLScalarVolumeNode | None) -> slicer.vtkMRMLScalarVolumeNode | None:
    """Return the source of a result, or None if there is none; one that was loaded after the result is linked first."""
    source = None if result is None else sourceOf(result)
    if result is None or source is not None or not isResult(result):
        return source
    record = json.loads(result.GetAttribute("ArSSR.Record") or "null") or {}
    for candidate in grayVolumes():
        if candidate is not result and _digestOf(candidate) == record.get("input_sha256", ""):
            linkInput(result, candidate)
            return candidate
    return None


def _digestOf(node: slicer.vtkMRMLScalarVolumeNode) -> str | None:
    """Return the checksum of the voxels of a volume, computed once; None unless it has one value per voxel."""
    image = node.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None or image.GetNumberOfScalarComponents() != 1:
        return None
    key = (node.GetID(), image.GetMTime())
    if key not in _digests:
        while len(_digests) >= KEPT_DIGESTS:
            del _digests[next(iter(_digests))]
        try:
            _digests[key] = voxels_sha256(volumeFromNode(node).array)
        except ArSSRError:  # its matrix is singular, for example
            _digests[key] = None
    return _digests[key]
