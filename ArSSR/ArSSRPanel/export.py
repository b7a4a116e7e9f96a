"""A result written as a derived DICOM series into a folder of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import slicer

from ArSSRPanel import dicom, provenance


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
    folder = newFolder(parentFolder, provenance.factsOf(resultVolume)["scale"])
    files = dicom.exportDerivedSeries(
        provenance.sourceOf(resultVolume), resultVolume, str(folder), provenance=provenance.factsOf(resultVolume)
    )
    return folder, len(files)


def newFolder(parentFolder: Path, scale: Sequence[float]) -> Path:
    """Return a folder that does not exist yet; its name says the scale, never a patient."""
    factors = "x".join(f"{factor:.3g}" for factor in scale)
    name = re.sub(r"[^\w.]", "_", f"ArSSR_{factors}")
    candidates = (parentFolder / (name if number == 1 else f"{name}_{number}") for number in range(1, 10_000))
    return next(folder for folder in candidates if not folder.exists())
