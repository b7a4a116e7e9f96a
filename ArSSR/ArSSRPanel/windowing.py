"""Window and level: from the anatomy, and the same for all compared volumes.

Subcutaneous fat is the brightest tissue of a T1-weighted head, but not of interest: with levels from all voxels, the
brain is dark and has little contrast.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import slicer
import slicer.util
import vtk

from ArSSRPanel.kept_state import keep, restore

# Number of evenly distributed sample voxels.
SAMPLED_VOXELS = 500_000
# Fraction of the range above which a voxel is tissue, not air.
TISSUE = 0.1
# Fraction of the extent of the tissue, around its center, that contains neither skin nor fat.
INNER_PART = 0.55
LOWEST, HIGHEST = 2.0, 99.0
# Keeps the brightest parts of the inner region distinguishable.
HEADROOM = 1.1


def anatomyWindow(array: np.ndarray) -> tuple[float, float]:
    """Return width and center of the gray window for the center of the anatomy; infinite voxels and NaN are ignored."""
    step = max(1, round((array.size / SAMPLED_VOXELS) ** (1 / 3)))
    # All slices are used if there are only a few thick ones.
    steps = [step if size > 4 * step else 1 for size in array.shape]
    sample = array[:: steps[0], :: steps[1], :: steps[2]].astype(np.float64)
    finite = sample[np.isfinite(sample)]
    if finite.size == 0:
        return 1.0, 0.0
    low, high = np.percentile(finite, (0.5, 99.5))
    tissue = np.isfinite(sample) & (sample > low + TISSUE * (high - low))
    inner = sample[_innerPart(tissue)]
    inner = inner[np.isfinite(inner)]
    if inner.size and inner.max() > inner.min():
        low, high = np.percentile(inner, (LOWEST, HIGHEST))
    window = max(HEADROOM * (high - low), float(np.finfo(np.float32).tiny))
    return float(window), float(low + window / 2)


def _innerPart(tissue: np.ndarray) -> tuple[slice, ...]:
    """Return the box around the center of the tissue, or the whole array if there is none."""
    box = []
    for axis in range(3):
        counts = tissue.sum(axis=tuple(other for other in range(3) if other != axis))
        if not counts.any():
            return (slice(None),) * 3
        first, last = np.searchsorted(np.cumsum(counts) / counts.sum(), (0.05, 0.95))
        middle, half = (first + last + 1) / 2, INNER_PART * (last + 1 - first) / 2
        box.append(slice(max(0, int(middle - half)), int(np.ceil(middle + half))))
    return tuple(box)


def setWindow(volume: slicer.vtkMRMLScalarVolumeNode, window: float, level: float) -> None:
    """Show a volume with this window and level, regardless of its voxels."""
    display = volume.GetDisplayNode()
    with slicer.util.NodeModify(display):
        display.AutoWindowLevelOff()
        display.SetWindowLevel(window, level)


class LinkedWindows:
    """Synchronizes the window and level of several volumes: a change in one view applies to all.

    Args:
        volumes: Volumes with display nodes.
    """

    def __init__(self, volumes: Sequence[slicer.vtkMRMLScalarVolumeNode]) -> None:
        """Start observing, and store the current settings of each volume."""
        self._displays = [volume.GetDisplayNode() for volume in volumes]
        for display in self._displays:
            keep(display, "Window", "Level", "AutoWindowLevel")
        self._busy = False
        self._tags = [(d, d.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onModified)) for d in self._displays]

    def set(self, window: float, level: float) -> None:
        """Show all volumes with this window and level."""
        self._busy = True
        try:
            for display in self._displays:
                display.AutoWindowLevelOff()
                display.SetWindowLevel(window, level)
        finally:
            self._busy = False

    def release(self) -> None:
        """Stop observing, and restore the settings of each volume."""
        for display, tag in self._tags:
            display.RemoveObserver(tag)
        for display in self._displays:
            restore(display)
        self._displays, self._tags = [], []

    def _onModified(self, caller: slicer.vtkMRMLScalarVolumeDisplayNode, event: str) -> None:
        if not self._busy:
            self.set(caller.GetWindow(), caller.GetLevel())
