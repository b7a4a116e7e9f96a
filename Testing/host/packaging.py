"""Stand-in for slicer.packaging (Slicer 5.12): installations are recorded, but nothing is installed.

With Slicer's own sources only the functions that reach the network are replaced, by `replace_installers`.
"""

from __future__ import annotations

import importlib.metadata
import types
from collections.abc import Iterable
from typing import Any

from packaging.requirements import Requirement

from host.records import Install, records


def pip_check(requirements: Any) -> bool:
    """Return whether requirements are satisfied by the installed packages."""
    return all(_satisfied(Requirement(str(item))) for item in _as_list(requirements))


def _satisfied(requirement: Requirement) -> bool:
    if requirement.marker is not None and not requirement.marker.evaluate():
        return True
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return requirement.specifier.contains(version, prereleases=True)


def pip_install(requirements: Any, **options: object) -> None:
    """Record an installation."""
    names = requirements.split() if isinstance(requirements, str) else requirements
    records.installs.append(Install(tuple(map(str, names)), tuple(sorted(options.items()))))


def pip_uninstall(requirements: Any, **options: object) -> None:
    """Record a removal."""
    pip_install([f"-{name}" for name in _as_list(requirements)], **options)


def pip_ensure(requirements: Any, **options: Any) -> None:
    """Install missing packages after asking; in testing mode, nothing is asked or installed by default.

    Raises:
        RuntimeError: If a package is missing and the user declines.
    """
    missing = [str(item) for item in _as_list(requirements) if not pip_check(item)]
    if not missing or options.pop("skip_in_testing", True):
        return
    import slicer

    if options.pop("prompt_install", True) and not slicer.util.confirmOkCancelDisplay(
        f"{len(missing)} Python package(s) need to be installed.", detailedText="\n".join(missing)
    ):
        msg = "User declined package installation"
        raise RuntimeError(msg)
    pip_install(missing, **options)


def _as_list(requirements: Any) -> Iterable[Any]:
    return [requirements] if isinstance(requirements, str | Requirement) else list(requirements)


def replace_installers(module: types.ModuleType) -> None:
    """Make the functions of Slicer's own slicer.packaging that reach the network record instead."""
    module.pip_install = pip_install
    module.pip_uninstall = pip_uninstall
