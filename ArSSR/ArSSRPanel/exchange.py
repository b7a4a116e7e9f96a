"""The private folder through which volumes go to the worker and back.

Its name carries the process it belongs to and a random part; the names of its files are numbers. Nothing in it tells
whom a volume shows, and nothing of it is left when a run is over.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import slicer

from ArSSRLib.errors import OutputError
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.io import read_volume
from ArSSRLib.leftovers import hidden_name, sweep
from ArSSRLib.volume import Volume

# For headers, the job and what else is small.
SMALL_FILES = 1_000_000


def makeFolder() -> Path:
    """Return a new folder that only this user can open.

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


def removeFolder(folder: Path) -> None:
    """Delete a folder and what is in it; what another program holds open is left to `sweepLeftOvers`."""
    shutil.rmtree(folder, ignore_errors=True)


def requireSpace(folder: Path, needed: int) -> None:
    """Refuse a run whose files would not fit on the disk.

    Args:
        folder: Where they would lie.
        needed: In bytes.

    Raises:
        OutputError: If less is free.
    """
    free = shutil.disk_usage(folder).free
    if needed + SMALL_FILES > free:
        msg = (
            f"The run needs {needed / 1e9:.3g} GB for temporary files in {folder.parent}, and {free / 1e9:.3g} GB are "
            "free; free some space, choose another temporary folder in Edit / Application Settings / General, or a "
            "smaller scale or region of interest."
        )
        raise OutputError(msg)


def readOutput(path: Path, grid: VolumeGeometry) -> Volume:
    """Read what the worker made, on the grid that was computed here, and delete the file.

    Args:
        path: The file.
        grid: Where the result lies; a file has fewer digits.

    Raises:
        InputError: If the file is missing or damaged.
        OutputError: If the worker made something else.
    """
    volume = read_volume(path)
    with contextlib.suppress(OSError):
        path.unlink()
    if not volume.geometry.matches(grid):
        msg = f"The worker made {volume.geometry}, {grid} was expected; nothing was added. Please report this."
        raise OutputError(msg)
    return volume.with_array(volume.array, grid)


def sweepLeftOvers() -> int:
    """Delete the folders of Slicers that ended without doing so; return how many there were."""
    return sweep(Path(slicer.app.temporaryPath))
