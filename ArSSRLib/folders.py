"""The user's folders on this system, for permanent data and for caches."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def user_data_folder() -> Path:
    """Return the folder for permanent data."""
    return _folder("Application Support", "XDG_DATA_HOME", ".local/share")


def user_cache_folder() -> Path:
    """Return the folder for caches, which can be recreated."""
    return _folder("Caches", "XDG_CACHE_HOME", ".cache")


def _folder(mac: str, variable: str, linux: str) -> Path:
    home = Path(os.path.expanduser("~"))
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    if sys.platform == "darwin":
        return home / "Library" / mac
    return Path(os.environ.get(variable) or home / linux)
