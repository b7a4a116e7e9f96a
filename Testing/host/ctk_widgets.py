# ruff: noqa: N801  the names are CTK's
"""The CTK widgets that a panel needs, as PySide classes; `host.qt_modules` provides them as module `ctk`.

Defaults and behavior follow CTK's sources; the appearance follows Slicer's panels. Widgets that our modules do not use
only have a class, because Slicer's own code compares types with it; constructing one raises an error.
"""

from __future__ import annotations

from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Property, Signal

HEADER_HEIGHT = 24
# Qt's QWIDGETSIZE_MAX, which PySide lacks.
UNLIMITED = 16_777_215


class ctkCollapsibleButton(QtWidgets.QAbstractButton):
    """A collapsible section of a panel with a header.

    Collapsing hides its widgets; expanding shows those that were hidden by it, and no others.
    """

    contentsCollapsed = Signal(bool)

    def __init__(self, text: object = "", parent: QtWidgets.QWidget | None = None) -> None:
        parent = text if isinstance(text, QtWidgets.QWidget) else parent
        super().__init__(parent)
        self._hidden_children: list[QtWidgets.QWidget] = []
        self.setText(text if isinstance(text, str) else "")
        self.setCheckable(True)
        self.setChecked(True)
        self.setSizePolicy(QtWidgets.QSizePolicy.Policy.Preferred, QtWidgets.QSizePolicy.Policy.Maximum)
        self.setContentsMargins(4, HEADER_HEIGHT + 2, 4, 4)
        self.toggled.connect(lambda checked: self._collapse(not checked))

    def _collapse(self, collapsed: bool) -> None:
        for child in self.findChildren(QtWidgets.QWidget, options=QtCore.Qt.FindChildOption.FindDirectChildrenOnly):
            if collapsed and not child.isHidden():
                child.hide()
                self._hidden_children.append(child)
            elif not collapsed and child in self._hidden_children:
                child.show()
        if not collapsed:
            self._hidden_children.clear()
        # As in CTK; otherwise, widgets that a .ui file adds to a collapsed section would count for its height.
        self.setMaximumHeight(HEADER_HEIGHT if collapsed else UNLIMITED)
        self.updateGeometry()
        self.contentsCollapsed.emit(collapsed)

    def _collapsed(self) -> bool:
        return not self.isChecked()

    def _set_collapsed(self, collapsed: bool) -> None:
        self.setChecked(not collapsed)

    collapsed = Property(bool, _collapsed, _set_collapsed)

    def sizeHint(self) -> QtCore.QSize:
        """Header alone, or header and contents."""
        if self._collapsed() or self.layout() is None:
            return QtCore.QSize(200, HEADER_HEIGHT)
        return self.layout().totalSizeHint()

    def minimumSizeHint(self) -> QtCore.QSize:
        """Return at least the size that the contents need."""
        if self._collapsed() or self.layout() is None:
            return QtCore.QSize(100, HEADER_HEIGHT)
        return self.layout().totalMinimumSize()

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        """Draw the header."""
        painter = QtGui.QPainter(self)
        painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
        palette = self.palette()
        bar = QtCore.QRectF(0.5, 0.5, self.width() - 1, HEADER_HEIGHT - 3)
        painter.setPen(palette.color(QtGui.QPalette.ColorRole.Mid))
        painter.setBrush(palette.color(QtGui.QPalette.ColorRole.Button))
        painter.drawRoundedRect(bar, 3, 3)
        painter.setPen(palette.color(QtGui.QPalette.ColorRole.ButtonText))
        painter.drawText(bar.adjusted(22, 0, -4, 0), QtCore.Qt.AlignmentFlag.AlignVCenter, self.text())
        painter.setBrush(palette.color(QtGui.QPalette.ColorRole.ButtonText))
        painter.setPen(QtCore.Qt.PenStyle.NoPen)
        x, y = 11.0, bar.center().y()
        arrow = [(-3, -4), (3, 0), (-3, 4)] if self._collapsed() else [(-4, -3), (4, -3), (0, 3)]
        painter.drawPolygon(QtGui.QPolygonF([QtCore.QPointF(x + dx, y + dy) for dx, dy in arrow]))
        painter.end()

    def hitButton(self, position: QtCore.QPoint) -> bool:
        """Only a click on the header collapses the section, not one between two widgets."""
        return position.y() < HEADER_HEIGHT


class ctkSliderWidget(QtWidgets.QWidget):
    """A slider and a spin box for one number, which is not rounded to the displayed decimals."""

    valueChanged = Signal(float)
    _TICKS = 1000

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._number = 0.0
        self._box = QtWidgets.QDoubleSpinBox()
        self._box.setRange(0.0, 99.0)
        self._slider = QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal)
        self._slider.setRange(0, self._TICKS)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._slider, 1)
        row.addWidget(self._box)
        self.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Fixed)
        self._box.valueChanged.connect(self.setValue)
        self._slider.valueChanged.connect(self._slid)

    def setValue(self, value: float) -> None:
        """Set the value, within the limits."""
        value = min(max(value, self._box.minimum()), self._box.maximum())
        changed, self._number = value != self._number, value
        self._show()
        if changed:
            self.valueChanged.emit(value)

    def setRange(self, minimum: float, maximum: float) -> None:
        """Set both limits."""
        self._box.setRange(minimum, maximum)
        self.setValue(self._number)

    def setMinimum(self, minimum: float) -> None:
        """Set the lower limit."""
        self.setRange(minimum, max(minimum, self._box.maximum()))

    def setMaximum(self, maximum: float) -> None:
        """Set the upper limit."""
        self.setRange(min(self._box.minimum(), maximum), maximum)

    def setDecimals(self, decimals: int) -> None:
        """Set the number of displayed decimals."""
        self._box.setDecimals(decimals)
        self._show()

    def _slid(self, tick: int) -> None:
        low, high = self._box.minimum(), self._box.maximum()
        step = self._box.singleStep()
        self.setValue(low + round((high - low) * tick / self._TICKS / step) * step)

    def _show(self) -> None:
        low, high = self._box.minimum(), self._box.maximum()
        tick = round((self._number - low) / (high - low or 1) * self._TICKS)
        for shown, value in ((self._box, self._number), (self._slider, tick)):
            blocked = shown.blockSignals(True)
            shown.setValue(value)
            shown.blockSignals(blocked)

    value = Property(float, lambda self: self._number, setValue)
    minimum = Property(float, lambda self: self._box.minimum(), setMinimum)
    maximum = Property(float, lambda self: self._box.maximum(), setMaximum)
    decimals = Property(int, lambda self: self._box.decimals(), setDecimals)
    singleStep = Property(float, lambda self: self._box.singleStep(), lambda self, step: self._box.setSingleStep(step))
    suffix = Property(str, lambda self: self._box.suffix(), lambda self, text: self._box.setSuffix(text))
    spinBoxVisible = Property(
        bool, lambda self: not self._box.isHidden(), lambda self, shown: self._box.setVisible(shown)
    )


PRESENT = (ctkCollapsibleButton, ctkSliderWidget)
