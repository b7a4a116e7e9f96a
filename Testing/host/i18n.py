"""Stand-in for slicer.i18n: functions that mark text for translation; the language of the host is English."""

from __future__ import annotations

import slicer


def translate(context: str, text: str) -> str:
    """Return the text in the language of the application."""
    return str(slicer.app.translate(context, text))


def tr(text: str) -> str:
    """Return the text in the language of the application; imported as `_` by modules.

    Raises:
        TypeError: If it is given anything but one text, as in `_(f"...")` written with a comma.
    """
    if not isinstance(text, str):
        msg = f"Only text can be translated, got {text!r}."
        raise TypeError(msg)
    return translate("ArSSR", text)
