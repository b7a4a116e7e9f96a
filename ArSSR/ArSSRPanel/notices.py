"""Colors of warnings and errors, which are legible in Slicer's light and dark styles."""

from __future__ import annotations

from typing import Any

# On a light background, and on a dark one.
ERROR, WARNING = ("#b00020", "#ff8a80"), ("#a35000", "#ffb74d")
# Lightness of a color halfway between black and white.
HALF = 128


def colorText(label: Any, colors: tuple[str, str] | None) -> None:
    """Show the text of a label in one of two colors, depending on its background; None for its usual color."""
    if colors is None:
        label.styleSheet = ""
        return
    # The palette of the label itself no longer changes once it has a style sheet.
    isDark = label.parent().palette.window().color().lightness() < HALF
    label.styleSheet = f"color: {colors[isDark]};"
