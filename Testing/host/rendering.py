"""Images of widgets: the panel, drawn without a screen in a light style similar to Slicer's."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from host.values import unwrap

_Role = QtGui.QPalette.ColorRole
_LIGHT = {
    _Role.Window: "#efefef",
    _Role.WindowText: "#1a1a1a",
    _Role.Base: "#ffffff",
    _Role.AlternateBase: "#f5f5f5",
    _Role.Text: "#1a1a1a",
    _Role.Button: "#e3e3e3",
    _Role.ButtonText: "#1a1a1a",
    _Role.Mid: "#b4b4b4",
    _Role.PlaceholderText: "#8a8a8a",
    _Role.Highlight: "#3a7bd5",
    _Role.HighlightedText: "#ffffff",
    _Role.ToolTipBase: "#ffffff",
    _Role.ToolTipText: "#1a1a1a",
}
_DISABLED = (_Role.WindowText, _Role.Text, _Role.ButtonText)
_FONT = "DejaVu Sans"


def dress(application: QtWidgets.QApplication) -> None:
    """Give the application a style, colors and a font that are the same on every machine."""
    application.setStyle("Fusion")
    palette = QtGui.QPalette()
    for role, color in _LIGHT.items():
        palette.setColor(role, QtGui.QColor(color))
    for role in _DISABLED:
        palette.setColor(QtGui.QPalette.ColorGroup.Disabled, role, QtGui.QColor("#9a9a9a"))
    application.setPalette(palette)
    _load_fonts()
    font = QtGui.QFont(_FONT)
    font.setPixelSize(13)
    application.setFont(font)


def _load_fonts() -> None:
    """Load the fonts of matplotlib, because test machines may have none."""
    spec = importlib.util.find_spec("matplotlib")
    if spec is None or spec.origin is None or _FONT in QtGui.QFontDatabase.families():
        return
    for file in sorted((Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf").glob("DejaVuSans*.ttf")):
        QtGui.QFontDatabase.addApplicationFont(str(file))


def render(widget: Any, path: str | Path, *, width: int = 420, scale: float = 2.0) -> Path:
    """Draw a widget to a PNG file, with the height that its contents need.

    Args:
        widget: A widget, or the widget object of a scripted module.
        path: The file to write.
        width: Width in Qt's pixels.
        scale: Pixels of the file for each of Qt's.

    Returns:
        The file.

    Raises:
        OSError: If the file cannot be written.
    """
    native: QtWidgets.QWidget = unwrap(widget if hasattr(widget, "_native") else widget.parent)
    was_shown = native.isVisible()
    native.setAttribute(QtCore.Qt.WidgetAttribute.WA_DontShowOnScreen)
    native.show()
    for _ in range(3):  # the height depends on the width, and both depend on word-wrapped labels
        wanted = native.heightForWidth(width) if native.hasHeightForWidth() else native.sizeHint().height()
        native.resize(width, max(wanted, native.minimumSizeHint().height()))
        QtWidgets.QApplication.processEvents()
    image = QtGui.QImage(native.size() * scale, QtGui.QImage.Format.Format_RGB32)
    image.setDevicePixelRatio(scale)
    image.fill(native.palette().color(_Role.Window))
    native.render(image)
    native.setVisible(was_shown)
    if not image.save(str(path)):
        msg = f"{path} could not be written as a PNG file. Choose a folder that exists and may be written."
        raise OSError(msg)
    return Path(path)
