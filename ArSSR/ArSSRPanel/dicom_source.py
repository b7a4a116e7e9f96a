"""The DICOM files of a volume node, from Slicer's DICOM database."""

from __future__ import annotations

from pathlib import Path

import slicer

from ArSSRLib.errors import InputError

# Set by Slicer's DICOM module on loaded volumes: the instances of a volume, one per slice or one for all.
INSTANCES = "DICOM.instanceUIDs"


def isFromDicom(volumeNode: slicer.vtkMRMLNode) -> bool:
    """Return whether a volume was loaded from DICOM; its files may no longer exist."""
    return bool((volumeNode.GetAttribute(INSTANCES) or "").split())


def sourceInstanceFiles(volumeNode: slicer.vtkMRMLNode | None) -> list[str]:
    """Return the DICOM files from which a volume was loaded, without duplicates, in the order of its slices.

    Raises:
        InputError: If the volume is no longer in the scene, was not loaded from DICOM, or its files cannot be found.
    """
    if volumeNode is None:
        msg = "The volume that the result was made from is no longer in the scene; load it again from DICOM."
        raise InputError(msg)
    name = volumeNode.GetName()
    if not isFromDicom(volumeNode):
        msg = (
            f'"{name}" was not loaded from DICOM, so no derived series can be made from it; save the result as NRRD '
            "or NIfTI, or load the source through Slicer's DICOM module."
        )
        raise InputError(msg)
    database = getattr(slicer, "dicomDatabase", None)
    if database is None or not database.isOpen:
        msg = "Slicer's DICOM database is not open, so the source cannot be found; open it in the DICOM module."
        raise InputError(msg)
    instances = list(dict.fromkeys(volumeNode.GetAttribute(INSTANCES).split()))
    files = [database.fileForInstance(instance) for instance in instances]
    missing = sum(not (file and Path(file).is_file()) for file in files)
    if missing:
        msg = (
            f'{missing} of the {len(files)} DICOM files of "{name}" can no longer be found; import the series again '
            "in the DICOM module, load it, and run ArSSR on it."
        )
        raise InputError(msg)
    return files
