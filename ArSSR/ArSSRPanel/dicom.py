"""Export of a result to DICOM, as a derived series in the study of its source.

The engine defines and writes the content of the series; this file handles nodes and folders.
"""

from __future__ import annotations

import re
from pathlib import Path

import ctk
import qt
import slicer
from slicer.i18n import tr as _

from ArSSRLib.io import Derivation, write_derived_series
from ArSSRPanel.attributes import factsOf, sourceOf
from ArSSRPanel.dicom_source import sourceInstanceFiles
from ArSSRPanel.nodes import volumeFromNode


def exportWhereAsked(resultVolume: slicer.vtkMRMLScalarVolumeNode) -> str:
    """Write a result as `exportResult` does, to a folder selected by the user.

    Returns:
        A description of the output; empty if no folder was selected or an error was shown.
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
    """Offer to add a new series to Slicer's DICOM database, which contains its source and refers to the files.

    Returns:
        The outcome; "" if the user declined.
    """
    question = _(
        "The derived DICOM series was written to {folder}.\n\nAdd it to Slicer's DICOM database, beside the series "
        "that it was made from? The database refers to the files in that folder; they are not copied."
    ).format(folder=folder)
    if not slicer.util.confirmYesNoDisplay(question, _("ArSSR: new DICOM series")):
        return ""
    indexer = ctk.ctkDICOMIndexer()
    with slicer.util.WaitCursor():
        indexer.addDirectory(slicer.dicomDatabase, folder.as_posix(), False)
        indexer.waitForImportFinished()
    if all(slicer.dicomDatabase.instanceForFile(file.as_posix()) for file in folder.iterdir()):
        return _("They are in Slicer's DICOM database now.")
    return _("Slicer's DICOM database did not accept them; import the folder in the DICOM module to see why.")


def exportResult(resultVolume: slicer.vtkMRMLScalarVolumeNode, parentFolder: Path) -> tuple[Path, int]:
    """Write a volume created by ArSSR as a new series in the study of its source, in a new folder of an existing one.

    Parent transforms of the volume are ignored, so that it is written at the position of the scan.

    Returns:
        The new folder and the number of files in it, one per slice.

    Raises:
        ArSSRError: If the source or its files are missing, or the series cannot be written; nothing is left behind.
    """
    facts = factsOf(resultVolume)
    i, j, k = facts["scale"]
    derivation = Derivation(facts["model"], facts["sha256"], (i, j, k), facts["device"] or "")
    sources = sourceInstanceFiles(sourceOf(resultVolume))
    # The name contains the scale, never patient data.
    name = re.sub(r"[^\w.]", "_", f"ArSSR_{'x'.join(f'{factor:.3g}' for factor in (i, j, k))}")
    candidates = (parentFolder / (name if number == 1 else f"{name}_{number}") for number in range(1, 10_000))
    folder = next(candidate for candidate in candidates if not candidate.exists())
    files = write_derived_series(volumeFromNode(resultVolume), folder, sources=sources, derivation=derivation)
    return folder, len(files)
