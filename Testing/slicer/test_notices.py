"""Warnings and errors in the panel are legible in every style of Slicer."""

from __future__ import annotations

import mrml_volumes
import numpy as np
import pytest
import slicer
from PySide6 import QtGui, QtWidgets

from ArSSRLib.errors import ArSSRError


def contrast(label, background: str) -> float:
    """Return the ratio of the luminances of the text of a label and a background, as defined by WCAG 2."""

    def luminance(color: QtGui.QColor) -> float:
        parts = np.array(color.getRgbF()[:3])
        linear = np.where(parts <= 0.03928, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    text = QtGui.QColor(label.styleSheet.removeprefix("color: ").rstrip(";"))
    both = sorted(luminance(color) + 0.05 for color in (text, QtGui.QColor(background)))
    return both[1] / both[0]


@pytest.mark.parametrize("background", ["#efefef", "#353535"])
def test_warnings_and_errors_are_legible_in_a_light_and_a_dark_style(panel, messages, background):
    grid = mrml_volumes.grid("axial")
    before = QtWidgets.QApplication.palette()
    palette = QtGui.QPalette(before)
    palette.setColor(QtGui.QPalette.ColorRole.Window, QtGui.QColor(background))
    QtWidgets.QApplication.setPalette(palette)
    try:
        slicer.app.processEvents()
        panel._parameterNode.inputVolume = mrml_volumes.add_volume(grid, mrml_volumes.blob(grid))
        panel._parameterNode.scale = 5.0
        panel.controller._onError(ArSSRError("It failed."))

        contrasts = [contrast(label, background) for label in (panel.ui.warningLabel, panel.ui.statusLabel)]
    finally:
        QtWidgets.QApplication.setPalette(before)
    assert [ratio >= 4.5 for ratio in contrasts] == [True, True]
