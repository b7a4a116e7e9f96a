"""The test host: a stand-in for Slicer in which the module's tests run without a screen.

PyPI's slicer-core is Slicer's own scene, nodes, logics and `slicer.util`; what it lacks is made here: `qt` and
`ctk` (PySide6 dressed as PythonQt, as strict), `slicer.app`, `slicer.modules`, the widgets that know the
scene, and small stand-ins for Slicer's Python layer. With the environment variable SLICER_SOURCE_DIR the
Python layer is Slicer's own, read from that source tree.

One call, once per process::

    host = boot()                           # `import slicer, qt, ctk, vtk` now work as in Slicer
    host.newScene()
    panel = host.makeWidget(host.loadModule("ArSSR/ArSSR.py"))

What is not imitated, and can only be seen in Slicer itself: rendering, C++ module panels, the subject
hierarchy's plugins, readers and writers of the application, translations, overriding C++ virtual methods in
Python, and enum values given as plain numbers (PythonQt takes them, the host refuses).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from host.core import missing

if TYPE_CHECKING:
    from host.session import Host

__all__ = ["boot", "missing"]

_booted: list[Host] = []


def boot() -> Host:
    """Return the host of this process, started when it is first asked for.

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
