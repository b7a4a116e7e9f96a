"""A color overlay on the result where its uncertainty is large.

It shows the volume of the uncertainty itself, whose previous display is restored afterwards.
"""

from __future__ import annotations

from typing import Any

import slicer
import slicer.util
from slicer.i18n import tr as _

from ArSSRPanel import views
from ArSSRPanel.kept_state import keep, restore
from ArSSRPanel.outputs import UNCERTAINTY_ROLE

OPACITY = 0.7
# Uncertainties below this fraction of the brightest color's value are not colored.
LEAST_PART = 0.5


class UncertaintyOverlay:
    """A color overlay on a slice view.

    Args:
        widget: The slice view, which shows the result.
        volume: The uncertainty.
    """

    def __init__(self, widget: Any, volume: slicer.vtkMRMLScalarVolumeNode) -> None:
        self._widget = widget
        self._volume = volume
        display = volume.GetDisplayNode()
        keep(display, "ApplyThreshold", "LowerThreshold", "UpperThreshold", "AutoThreshold")
        self.highest = display.GetLevel() + display.GetWindow() / 2
        self.lowest = LEAST_PART * self.highest
        with slicer.util.NodeModify(display):
            display.AutoThresholdOff()
            display.ApplyThresholdOn()
            display.SetThreshold(self.lowest, float(volume.GetImageData().GetScalarRange()[1]) or self.highest)
        views.compositeOf(widget).SetForegroundVolumeID(volume.GetID())
        self.setVisible(True)

    @property
    def label(self) -> str:
        """The label of the colors in the view."""
        return _("colored: uncertainty {lowest} to {highest}").format(
            lowest=f"{self.lowest:.3g}", highest=f"{self.highest:.3g}"
        )

    def setVisible(self, visible: bool) -> None:
        """Show or hide the overlay, for a view that temporarily shows something else."""
        views.compositeOf(self._widget).SetForegroundOpacity(OPACITY if visible else 0.0)

    def remove(self) -> None:
        """Restore the display of the volume; the caller restores the foreground of the view."""
        display = self._volume.GetDisplayNode()
        if display is not None:  # not removed with its scene
            restore(display)


def uncertaintyOf(result: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLScalarVolumeNode | None:
    """Return the volume of the uncertainty of a result, or None if there is none to show."""
    volume = result.GetNodeReference(UNCERTAINTY_ROLE)
    return volume if volume is not None and volume.GetImageData() and volume.GetDisplayNode() else None
