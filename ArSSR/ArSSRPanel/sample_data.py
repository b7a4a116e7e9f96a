"""The volume of the tutorial, in a category of its own in Slicer's Sample Data module.

It is Slicer's sample "MRHead", downloaded from Slicer's address, verified with the same SHA-256, and converted to thick
slices by averaging neighboring slices, as a scanner with thick slices would. The truth is therefore known: the original
is also loaded. According to Slicer's Sample Data module, it was donated to the 3D Slicer project by the person visible
in the images, to be used without any restrictions. It is not part of this extension.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import slicer
from slicer.i18n import tr as _

from ArSSRLib.errors import InputError
from ArSSRLib.volume import Volume
from ArSSRPanel import nodes

CATEGORY = "ArSSR"
SAMPLE_NAME = "MR head, thick slices"
LICENSE = "Donated to the 3D Slicer project by the person visible in the images, to be used without any restrictions."
SHA256 = "cc211f0dfd9a05ca3841ce1141b292898b2dd2d3f08286affadf823a7e58df93"
FILE_NAME = "MR-head.nrrd"
TRUTH_NAME = "MRHead"
# Largest ratio of slice thickness to in-plane spacing, for which the bundled model was trained.
LARGEST_RATIO = 4


def registerSampleData() -> None:
    """Register the data set; repeated registration has no effect."""
    import SampleData  # noqa: PLC0415 - a module of Slicer, loaded before this one is asked

    thumbnail = Path(__file__).parent.parent / "Resources" / "SampleData" / "ArSSRThickHead.png"
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName=SAMPLE_NAME,
        uris=_uri(),
        fileNames=FILE_NAME,
        nodeNames=TRUTH_NAME,
        checksums=f"SHA256:{SHA256}",
        thumbnailFileName=str(thumbnail),
        customDownloader=downloadAndShow,
    )


def downloadAndShow(_source: object = None) -> None:
    """Load and show the data set after a click in the Sample Data module; also show errors."""
    with slicer.util.tryWithErrorDisplay(_("The sample data set could not be loaded."), waitCursor=True):
        thick, _original = loadThickHead()
        slicer.util.setSliceViewerLayers(background=thick, fit=True)


def loadThickHead() -> tuple[slicer.vtkMRMLScalarVolumeNode, slicer.vtkMRMLScalarVolumeNode]:
    """Return the head with thick slices, and the original from which it was averaged.

    Raises:
        InputError: If it cannot be downloaded, or the download is not as expected; it is then deleted.
    """
    path = _download()
    truth = slicer.util.loadVolume(str(path), {"name": TRUTH_NAME, "show": False})
    volume = thickened(nodes.volumeFromNode(truth))
    name = f"{TRUTH_NAME}, {volume.geometry.spacing[2]:.2g} mm slices"
    thick = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    nodes.updateNodeFromVolume(thick, volume)
    nodes.copyAppearance(truth, thick)
    nodes.placeBeside(truth, thick)
    thick.SetDescription(f"Slicer's sample {TRUTH_NAME}, slices averaged by ArSSR. {LICENSE}")
    return thick, truth


def thickened(volume: Volume) -> Volume:
    """Return a volume after averaging as many slices as the model can restore; remaining slices are removed."""
    spacing = volume.geometry.spacing
    together = max(2, int(LARGEST_RATIO * min(spacing[:2]) / spacing[2] + 1e-6))
    columns, rows, slices = volume.geometry.size
    count = slices // together
    kept = volume.array[: count * together].reshape(count, together, rows, columns)
    means = kept.mean(axis=1)
    array = (np.rint(means) if volume.array.dtype.kind in "iu" else means).astype(volume.array.dtype)
    field = volume.geometry.cropped((0, 0, 0), (columns, rows, count * together))
    return volume.with_array(array, field.resized((columns, rows, count)))


def _uri() -> str:
    return f"{slicer.util.TESTING_DATA_URL}SHA256/{SHA256}"


def _download() -> Path:
    """Return the file in Slicer's cache, downloaded if necessary, after verifying its checksum."""
    import SampleData  # noqa: PLC0415

    try:
        path = Path(SampleData.SampleDataLogic().downloadFileIntoCache(_uri(), FILE_NAME, f"SHA256:{SHA256}"))
    except (OSError, ValueError) as error:
        msg = f"{FILE_NAME} could not be downloaded ({error}); check the connection and Slicer's proxy settings."
        raise InputError(msg) from error
    # Slicer deletes a damaged download, but still returns its path.
    if path.is_file() and slicer.util.computeChecksum("SHA256", str(path)) == SHA256:
        return path
    path.unlink(missing_ok=True)
    msg = (
        f"{FILE_NAME} arrived damaged (wrong SHA-256) and was deleted; try again later, or with another network "
        "connection."
    )
    raise InputError(msg)
