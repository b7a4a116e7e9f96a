"""The private folder for exchanging volumes with the worker.

Its name contains the process and a random part; its files are numbered. The names do not identify a patient, and
nothing is left after a run.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import slicer

from ArSSRLib.errors import OutputError
from ArSSRLib.geometry import VolumeGeometry, times
from ArSSRLib.io import read_volume
from ArSSRLib.leftovers import hidden_name, sweep
from ArSSRLib.volume import Volume

# End of the name of a result; its format determines the memory for writing.
RESULT_NAME = "result.nrrd"
# Bytes reserved for headers, the job file and other small files.
SMALL_FILES = 1_000_000


def makeFolder() -> Path:
    """Return a new folder that is only accessible to this user.

    Raises:
        OutputError: If Slicer's temporary folder cannot be written to.
    """
    parent = Path(slicer.app.temporaryPath)
    folder = parent / hidden_name()
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        msg = (
            f"Slicer's temporary folder {parent} cannot be written to ({error.strerror}); "
            "choose another one in Edit / Application Settings / General."
        )
        raise OutputError(msg) from error
    return folder


def requireSpace(folder: Path, needed: int) -> None:
    """Refuse a run if there is too little disk space, in bytes, for the files in its folder.

    Raises:
        OutputError: If there is less free space.
    """
    free = shutil.disk_usage(folder).free
    if needed + SMALL_FILES > free:
        msg = (
            f"The run needs {needed / 1e9:.3g} GB for temporary files in {folder.parent}, but only {free / 1e9:.3g} "
            "GB are free; free some space, choose another temporary folder in Edit / Application Settings / General, "
            "or a smaller scale or region of interest."
        )
        raise OutputError(msg)


def readOutput(path: Path, grid: VolumeGeometry) -> Volume:
    """Read the output of the worker, place it on the grid that was computed here (with more digits), delete the file.

    Raises:
        InputError: If the file is missing or damaged.
        OutputError: If the output does not match the request.
    """
    volume = read_volume(path)
    with contextlib.suppress(OSError):
        path.unlink()
    if not volume.geometry.matches(grid):
        msg = (
            f"The worker returned {times(volume.geometry.size)} voxels of {times(volume.geometry.spacing)} mm, but "
            f"{times(grid.size)} of {times(grid.spacing)} mm were expected; nothing was added to the scene. Please "
            "report this."
        )
        raise OutputError(msg)
    return volume.with_array(volume.array, grid)


def sweepLeftOvers() -> int:
    """Delete the folders of crashed Slicer processes; return their number."""
    return sweep(Path(slicer.app.temporaryPath))
