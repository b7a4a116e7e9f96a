"""Optional packages and their versions, checked before the work starts."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version

from ArSSRLib.errors import DependencyError

# As in the optional dependencies of pyproject.toml; a test compares them.
MINIMUM = {
    "Jinja2": "3.1",
    "Pillow": "10.1",
    "bids2table": "2.3",
    "dask-jobqueue": "0.9",
    "distributed": "2025.4.1",
    "matplotlib": "3.8",
    "openvino": "2025.0",
    "pydicom": "3.0",
}


def require_package(name: str, purpose: str) -> None:
    """Refuse work that needs a package of `MINIMUM` that is missing or too old; the message begins with the purpose.

    Raises:
        DependencyError: If it is not installed, or older than needed.
    """
    needed = MINIMUM[name]
    try:
        found = version(name)
    except PackageNotFoundError as error:
        msg = f"{purpose} needs {name}, which is not installed: pip install {name}."
        raise DependencyError(msg) from error
    if _numbers(found) < _numbers(needed):
        msg = (
            f"{purpose} needs {name} {needed} or later, but {found} is installed: pip install --upgrade "
            f'"{name}>={needed}".'
        )
        raise DependencyError(msg)


def _numbers(text: str) -> tuple[int, ...]:
    """Return the release segment of a version as integers."""
    return tuple(int(number) for number in re.findall(r"\d+", text.partition("+")[0])[:3])
