"""The uncertainty of a result over the view that shows it, in color, where it is large.

The volume of the uncertainty is shown itself; what its display was before comes back when the overlay leaves.
"""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from ArSSRPanel import views
from ArSSRPanel.outputs import UNCERTAINTY_ROLE

OPACITY = 0.7
# Below this part of the brightest color's value, the result is shown without color.
LEAST_PART = 0.5


class UncertaintyOverlay:
    """Colors a slice view.

    Args:
        widget: The slice view, which shows the result.
        volume: The uncertainty.
    """

    def __init__(self, widget: Any, volume: slicer.vtkMRMLScalarVolumeNode) -> None:
        """Show it."""
        self._widget = widget
        self._volume = volume
        display = volume.GetDisplayNode()
        self._before = (display.GetApplyThreshold(), display.GetLowerThreshold(), display.GetUpperThreshold())
        self._automatic = display.GetAutoThreshold()
        self.highest = display.GetLevel() + display.GetWindow() / 2
        self.lowest = LEAST_PART * self.highest
        modifying = display.StartModify()
        display.AutoThresholdOff()
        display.ApplyThresholdOn()
        display.SetThreshold(self.lowest, float(volume.GetImageData().GetScalarRange()[1]) or self.highest)
        display.EndModify(modifying)
        views.compositeOf(widget).SetForegroundVolumeID(volume.GetID())
        self.setVisible(True)

    @property
    def label(self) -> str:
        """What the view says of the colors."""
        return _("colored: uncertainty {lowest} to {highest}").format(
            lowest=f"{self.lowest:.3g}", highest=f"{self.highest:.3g}"
        )

    def setVisible(self, visible: bool) -> None:
        """Show the colors or hide them, for a view that shows something else for a while."""
        views.compositeOf(self._widget).SetForegroundOpacity(OPACITY if visible else 0.0)

    def remove(self) -> None:
        """Put the display of the volume back; the foreground of the view is the caller's to restore."""
        display = self._volume.GetDisplayNode()
        if display is None:  # it went with its scene
            return
        applied, lowest, highest = self._before
        modifying = display.StartModify()
        display.SetThreshold(lowest, highest)
        display.SetApplyThreshold(applied)
        display.SetAutoThreshold(self._automatic)
        display.EndModify(modifying)


def uncertaintyOf(result: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLScalarVolumeNode | None:
    """Return the volume of the uncertainty of a result, None if there is none that can be shown."""
    volume = result.GetNodeReference(UNCERTAINTY_ROLE)
    return volume if volume is not None and volume.GetImageData() and volume.GetDisplayNode() else None
