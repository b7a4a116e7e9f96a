"""A result back to DICOM, as a derived series of its source's study.

What such a series says and how it is written is the engine's matter; here are nodes and folders.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ctk
import qt
import slicer
from slicer.i18n import tr as _

from ArSSRLib.io import Derivation, write_derived_series
from ArSSRPanel import nodes
from ArSSRPanel.attributes import factsOf, sourceOf
from ArSSRPanel.dicom_source import sourceInstanceFiles


def exportDerivedSeries(
    sourceNode: slicer.vtkMRMLNode | None,
    resultNode: slicer.vtkMRMLScalarVolumeNode,
    folder: str | Path,
    *,
    facts: Mapping[str, Any],
) -> list[str]:
    """Write a result as a derived series of the study that its source belongs to, completely or not at all.

    The result is written where it lies before its parent transforms, as its source was scanned.

    Args:
        sourceNode: What the result was made from, loaded from DICOM; None if it has left the scene.
        resultNode: The result.
        folder: A new or empty folder; its parent exists.
        facts: How it was made: model (its name), sha256, scale (along i, j, k), and device or not.

    Returns:
        The files, one a slice, in the order of k.

    Raises:
        ArSSRError: If the source cannot be found, is not MR, or the series cannot be written.
    """
    i, j, k = facts["scale"]
    derivation = Derivation(facts["model"], facts["sha256"], (i, j, k), facts.get("device") or "")
    files = sourceInstanceFiles(sourceNode)
    volume = nodes.volumeFromNode(resultNode)
    return [str(file) for file in write_derived_series(volume, folder, sources=files, derivation=derivation)]


def exportWhereAsked(resultVolume: slicer.vtkMRMLScalarVolumeNode) -> str:
    """Write a result as `exportResult` does, into a folder that the user names.

    Returns:
        What was written where; an empty text if no folder was named, or it failed, which the user was told.
    """
    title = _("Choose where to create the folder of the new DICOM series")
    parentFolder = qt.QFileDialog.getExistingDirectory(None, title)
    if not parentFolder:
        return ""
    message = ""
    with slicer.util.tryWithErrorDisplay(_("The DICOM series was not written."), waitCursor=True):
        folder, count = exportResult(resultVolume, Path(parentFolder))
        message = _("{count} DICOM files were written to {folder}.").format(count=count, folder=folder)
    if message:
        message = f"{message} {offerDatabase(folder)}".rstrip()
    return message


def offerDatabase(folder: Path) -> str:
    """Offer to add a new series to Slicer's DICOM database, in which the series that it was made of is.

    Args:
        folder: Where the files of the series are, and stay: the database refers to them.

    Returns:
        What came of it; "" if the user did not want it.
    """
    question = _(
        "The derived DICOM series was written to {folder}.\n\nAdd it to Slicer's DICOM database, beside the series "
        "that it was made of? The database refers to the files in that folder; they are not copied."
    ).format(folder=folder)
    if not slicer.util.confirmYesNoDisplay(question, _("ArSSR: new DICOM series")):
        return ""
    indexer = ctk.ctkDICOMIndexer()
    with slicer.util.WaitCursor():
        indexer.addDirectory(slicer.dicomDatabase, folder.as_posix(), False)
        indexer.waitForImportFinished()
    if all(slicer.dicomDatabase.instanceForFile(file.as_posix()) for file in folder.iterdir()):
        return _("They are in Slicer's DICOM database now.")
    return _("Slicer's DICOM database did not take them; import the folder in the DICOM module to see why.")


def exportResult(resultVolume: slicer.vtkMRMLScalarVolumeNode, parentFolder: Path) -> tuple[Path, int]:
    """Write a volume made by ArSSR as a new series of its source's study.

    Args:
        resultVolume: Made by ArSSR from a volume that was loaded from DICOM.
        parentFolder: An existing folder, in which a new one is made.

    Returns:
        The new folder and the number of files in it.

    Raises:
        ArSSRError: If the source or its files are gone, or the series cannot be written; nothing is left then.
    """
    facts = factsOf(resultVolume)
    folder = newFolder(parentFolder, facts["scale"])
    files = exportDerivedSeries(sourceOf(resultVolume), resultVolume, folder, facts=facts)
    return folder, len(files)


def newFolder(parentFolder: Path, scale: Sequence[float]) -> Path:
    """Return a folder that does not exist yet; its name says the scale, never a patient."""
    factors = "x".join(f"{factor:.3g}" for factor in scale)
    name = re.sub(r"[^\w.]", "_", f"ArSSR_{factors}")
    candidates = (parentFolder / (name if number == 1 else f"{name}_{number}") for number in range(1, 10_000))
    return next(folder for folder in candidates if not folder.exists())
