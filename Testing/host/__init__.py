"""The test host: a stand-in for Slicer in which the module's tests run without a screen.

PyPI's slicer-core provides Slicer's own scene, nodes, logics and `slicer.util`; the host adds what it lacks: `qt` and
`ctk` (PySide6 with the interface and the restrictions of PythonQt), `slicer.app`, `slicer.modules`, the widgets that
use the scene, and small stand-ins for Slicer's Python layer. If the environment variable SLICER_SOURCE_DIR is set, the
Python layer is Slicer's own, read from that source tree.

One call, once per process::

    host = boot()                           # `import slicer, qt, ctk, vtk` now work as in Slicer
    host.newScene()
    panel = host.makeWidget(host.loadModule("ArSSR/ArSSR.py"))

The following is not imitated, and can only be tested in Slicer itself: rendering, C++ module panels, the plugins of the
subject hierarchy, readers and writers of the application, translations, overriding C++ virtual methods in Python, and
enum values given as plain numbers (which PythonQt accepts, but the host refuses).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from host.core import missing

if TYPE_CHECKING:
    from host.session import Host

__all__ = ["boot", "missing"]

_booted: list[Host] = []


def boot() -> Host:
    """Return the host of this process, started on first use.

    Raises:
        ImportError: If slicer-core, vtk or PySide6 is missing.
    """
    if not _booted:
        reason = missing()
        if reason is not None:
            raise ImportError(reason)
        from host.session import Host

        _booted.append(Host())
    return _booted[0]
