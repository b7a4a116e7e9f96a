"""The dependencies of ArSSR and their installation: PyTorch by the PyTorch extension, others by pip.

Nothing is installed without a question that states what and how much. PyTorch is found without importing it: it only
runs in the worker process.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer
import slicer.util
from slicer.i18n import tr as _

from ArSSRLib.errors import DependencyError

TORCH_REQUIREMENT = ">=2.2"
# Small packages that Slicer lacks, one requirement NAME>=VERSION per line.
REQUIREMENTS = Path(__file__).parent.parent / "Resources" / "requirements.txt"


@dataclass(frozen=True)
class Installation:
    """The installed dependencies.

    Attributes:
        torch: Version of PyTorch; None if it is not installed or too old.
        oldTorch: Version of a PyTorch that is too old; otherwise None.
        missing: Requirements for small packages that are missing or too old.
    """

    torch: str | None
    oldTorch: str | None
    missing: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether a run is possible."""
        return self.torch is not None and not self.missing


def findInstallation() -> Installation:
    """Find the installed dependencies without importing them."""
    torch = _versionOf("torch")
    usable = _isMet(f"torch{TORCH_REQUIREMENT}")
    lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    small = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    missing = tuple(requirement for requirement in small if not _isMet(requirement))
    return Installation(torch if usable else None, None if usable else torch, missing)


def describeInstallation(found: Installation) -> str:
    """Return one line about installed or missing dependencies, for the panel."""
    if found.complete:
        return _("PyTorch {version} is installed.").format(version=found.torch)
    if found.oldTorch:
        return _("PyTorch {version} is too old; ArSSR needs {requirement}. Press Install PyTorch to update it.").format(
            version=found.oldTorch, requirement=TORCH_REQUIREMENT
        )
    if found.torch is None:
        return _(
            "ArSSR needs PyTorch, which is not installed yet. Press Install PyTorch to see what would be downloaded."
        )
    return _("PyTorch {version} is installed, but not {missing}. Press Install PyTorch to add it.").format(
        version=found.torch, missing=", ".join(found.missing)
    )


def describeDownload(found: Installation, *, broken: str = "") -> str:
    """Return the question before an installation: packages, location and size of the download.

    ``broken`` says why an installed PyTorch is not usable; "" if it is.
    """
    lines = [_("ArSSR needs packages that are not part of Slicer. These would be downloaded and installed:")]
    if broken:
        lines[0] = _(
            "PyTorch {version} is installed, but cannot be used: {reason} It would be removed and installed again. "
            "Close other modules that use PyTorch first."
        ).format(version=found.torch, reason=broken)
    if found.torch is None or broken:
        lines.append(
            _(
                "- PyTorch {requirement}, through the PyTorch extension, in the build that fits this computer: about "
                "0.2 GB to download and 1 GB on disk for a CPU, about 3 GB to download and 7 GB on disk for an NVIDIA "
                "GPU"
            ).format(requirement=TORCH_REQUIREMENT)
        )
    if found.missing:
        lines.append(_("- {packages}: less than 2 MB").format(packages=", ".join(found.missing)))
    lines.append(
        _(
            "They are installed into Slicer's Python and can be removed later (PyTorch in the module PyTorch Utils). "
            "No image data is sent anywhere. Install them now?"
        )
    )
    return "\n\n".join(lines)


def install(*, broken: str = "") -> Installation:
    """Ask the user, then install what is missing, or reinstall a broken PyTorch; return the dependencies afterwards.

    Raises:
        DependencyError: If the PyTorch extension is missing, or an installation failed.
    """
    found = findInstallation()
    if found.complete and not broken:
        return found
    question = describeDownload(found, broken=broken)
    if not slicer.util.confirmOkCancelDisplay(question, _("ArSSR: install PyTorch")):
        return found
    if found.missing:
        _guarded(lambda: _installSmallPackages(found.missing), ", ".join(found.missing))
    if found.torch is None or broken:
        logic = _pyTorchLogic()
        if broken:
            _guarded(logic.uninstallTorch, "PyTorch")
        # The question above includes PyTorch and its size, so a second one would be redundant.
        _guarded(
            lambda: logic.installTorch(askConfirmation=False, torchVersionRequirement=TORCH_REQUIREMENT), "PyTorch"
        )
    return findInstallation()


def _installSmallPackages(requirements: Sequence[str]) -> None:
    """Install packages through Slicer, after the user has agreed."""
    try:
        from slicer.packaging import pip_ensure  # noqa: PLC0415 - Slicer 5.12 and later
    except ImportError:
        # Without dependencies, so that numpy, SimpleITK and requests of Slicer are not changed.
        slicer.util.pip_install(["--no-deps", *requirements])
    else:
        # It shows its progress, and offers to restart Slicer if an updated package is in use.
        pip_ensure(list(requirements), prompt_install=False, requester="ArSSR")


def _pyTorchLogic() -> Any:
    try:
        import PyTorchUtils  # noqa: PLC0415 - an extension of its own
    except ImportError as error:
        msg = _(
            "The PyTorch extension, through which ArSSR installs PyTorch, is not installed. Open the Extensions "
            "Manager, install the extension named PyTorch, restart Slicer and press Install PyTorch again."
        )
        raise DependencyError(msg) from error
    return PyTorchUtils.PyTorchUtilsLogic()


def _guarded(action: Callable[[], object], what: str) -> None:
    """Run an installation; convert errors into one line with the next step."""
    try:
        action()
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        msg = _(
            "{what} could not be installed ({reason}). Check the network connection and the proxy, restart Slicer and "
            "try again; View > Python Console shows the output of pip."
        ).format(what=what, reason=reason)
        raise DependencyError(msg) from error


def _versionOf(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _isMet(requirement: str) -> bool:
    from packaging.requirements import Requirement  # noqa: PLC0415 - comes with pip

    wanted = Requirement(requirement)
    version = _versionOf(wanted.name)
    return version is not None and wanted.specifier.contains(version, prereleases=True)


def requireInstallation() -> None:
    """Verify that a run is possible.

    Raises:
        DependencyError: If a dependency is missing; the message says how to install it.
    """
    found = findInstallation()
    if not found.complete:
        msg = _("{state} See Model and device in the ArSSR module.").format(state=describeInstallation(found))
        raise DependencyError(msg)
