# ruff: noqa: N801  the names are Slicer's
"""The slice views of the application: actual layout and slice logics, without drawing on a screen."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtWidgets
from PySide6.QtCore import Property, Signal


class qMRMLSliceView(QtWidgets.QWidget):
    """The parts of a slice view besides the image: the text at its edges."""

    def __init__(self) -> None:
        super().__init__()
        self._annotation = vtk.vtkCornerAnnotation()
        self._interactor = vtk.vtkGenericRenderWindowInteractor()

    def cornerAnnotation(self) -> Any:
        """Return the text in the corners and at the edges."""
        return self._annotation

    def interactor(self) -> Any:
        """Return the interactor for the mouse, which only tests move."""
        return self._interactor

    def scheduleRender(self) -> None:
        """Do nothing: nothing is drawn on a screen."""


class qMRMLSliceWidget(QtWidgets.QWidget):
    """A slice view without its image; `host.slices` computes that without a screen."""

    def __init__(self, logic: Any) -> None:
        super().__init__()
        self._logic = logic
        self._view = qMRMLSliceView()

    def sliceView(self) -> QtWidgets.QWidget:
        """Return the drawn part."""
        return self._view

    def mrmlSliceNode(self) -> Any:
        """Return the vtkMRMLSliceNode."""
        return self._logic.GetSliceNode()

    def sliceLogic(self) -> Any:
        """Return the vtkMRMLSliceLogic."""
        return self._logic


# Width and height of all views together, in pixels; those of a layout share the width.
SCREEN = (1200, 400)


class qSlicerLayoutManager(QtCore.QObject):
    """The displayed views; Slicer's own vtkMRMLLayoutLogic creates the nodes.

    As in Slicer, the views of a layout get their sizes from the event loop, after `setLayout` has returned.
    """

    layoutChanged = Signal(int)

    def __init__(self, parent: QtCore.QObject | None = None) -> None:
        super().__init__(parent)
        self._logic: Any = None
        self._application_logic: Any = None
        self._slices: dict[str, qMRMLSliceWidget] = {}

    def observe(self, application_logic: Any) -> None:
        """Create the views of a new scene."""
        self._application_logic = application_logic
        application_logic.SetSliceLogics(vtk.vtkCollection())
        self._logic = slicer.vtkMRMLLayoutLogic()
        self._slices.clear()
        self._logic.SetMRMLScene(application_logic.GetMRMLScene())
        self._set_layout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)

    def release(self) -> None:
        """Release the scene."""
        if self._application_logic is not None:
            self._application_logic.SetSliceLogics(None)
        for widget in self._slices.values():
            widget._logic.SetMRMLScene(None)
        self._slices.clear()
        if self._logic is not None:
            self._logic.SetMRMLScene(None)
        self._logic = self._application_logic = None

    def _views(self) -> dict[str, qMRMLSliceWidget]:
        scene = self._application_logic.GetMRMLScene()
        nodes = scene.GetNodesByClass("vtkMRMLSliceNode")
        nodes.UnRegister(None)
        for index in range(nodes.GetNumberOfItems()):
            node = nodes.GetItemAsObject(index)
            if node.GetLayoutName() not in self._slices:
                self._slices[node.GetLayoutName()] = qMRMLSliceWidget(self._slice_logic(node))
        return self._slices

    def _slice_logic(self, node: Any) -> Any:
        logic = slicer.vtkMRMLSliceLogic()
        logic.SetMRMLApplicationLogic(self._application_logic)
        logic.SetMRMLScene(self._application_logic.GetMRMLScene())
        logic.SetSliceNode(node)
        self._application_logic.GetSliceLogics().AddItem(logic)
        return logic

    def sliceViewNames(self) -> list[str]:
        """Return the names of all slice views, displayed or not."""
        return list(self._views())

    def sliceWidget(self, name: str) -> qMRMLSliceWidget | None:
        """Return the slice view with a name, or None."""
        return self._views().get(name)

    def mrmlSliceLogics(self) -> Any:
        """Return the vtkCollection of slice logics."""
        self._views()
        return self._application_logic.GetSliceLogics()

    def layoutLogic(self) -> Any:
        """Return the vtkMRMLLayoutLogic."""
        return self._logic

    def _layout(self) -> int:
        return int(self._logic.GetLayoutNode().GetViewArrangement())

    def _set_layout(self, layout: int) -> None:
        changed = layout != self._layout()
        self._logic.GetLayoutNode().SetViewArrangement(layout)
        nodes = self._logic.GetViewNodes()  # those of the displayed layout
        mapped = [nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems())]
        for widget in self._views().values():
            widget.mrmlSliceNode().SetMappedInLayout(int(widget.mrmlSliceNode() in mapped))
        if changed:
            self.layoutChanged.emit(layout)
            QtCore.QTimer.singleShot(0, self, self._resize)

    def _resize(self) -> None:
        if self._logic is None:
            return
        shown = [widget for widget in self._views().values() if widget.mrmlSliceNode().IsMappedInLayout()]
        for widget in shown:
            widget.sliceLogic().ResizeSliceNode(SCREEN[0] // len(shown), SCREEN[1])

    def setLayout(self, layout: int) -> None:
        """Show a layout by its number."""
        self._set_layout(layout)

    layout = Property(int, _layout, _set_layout)
