"""What is left of the module in the slice views of the test host."""

from __future__ import annotations

from typing import Any

import slicer
import slicer.util
import vtk
from ArSSRPanel import views
from ArSSRPanel.nodes import HELPER_ATTRIBUTE


def slice_widgets() -> dict[str, Any]:
    """Return the slice views by name, displayed or not."""
    return dict(views.sliceWidgets())


def widget(name: str) -> Any:
    """Return a slice view by its name."""
    return slicer.app.layoutManager().sliceWidget(name)


def label(name: str) -> str:
    """Return the line at the upper edge of a view."""
    return widget(name).sliceView().cornerAnnotation().GetText(vtk.vtkCornerAnnotation.UpperEdge)


def shown(name: str) -> Any:
    """Return the volume in the background of a view."""
    return slicer.mrmlScene.GetNodeByID(views.compositeOf(widget(name)).GetBackgroundVolumeID())


def displayed_views() -> list[str]:
    """Return the names of the slice views of the layout."""
    return [name for name, widget in slice_widgets().items() if widget.mrmlSliceNode().IsMappedInLayout()]


def labels() -> dict[str, str]:
    """Return the lines at the upper edge of views, without empty ones."""
    edge = vtk.vtkCornerAnnotation.UpperEdge
    texts = {name: widget.sliceView().cornerAnnotation().GetText(edge) for name, widget in slice_widgets().items()}
    return {name: text for name, text in texts.items() if text}


def helpers() -> list[Any]:
    """Return the temporary volumes of the module."""
    nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    return [node for node in nodes if node.GetAttribute(HELPER_ATTRIBUTE)]
