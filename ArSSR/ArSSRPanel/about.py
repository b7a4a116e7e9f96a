"""Text for *Help & Acknowledgement* of the module in Slicer."""

from __future__ import annotations

from slicer.i18n import tr as _


def helpText() -> str:
    """Return the purpose and the limits of the module."""
    return _(
        "Reduces the voxel size of MR volumes with a neural network, by one factor for all axes or a different one for "
        "each. The result is exactly aligned with the original. For research, not for diagnosis."
    )


def acknowledgementText() -> str:
    """Return the origin of the method."""
    return _(
        'The method: Wu Q. et al., <a href="https://doi.org/10.1109/JBHI.2022.3223106">An Arbitrary Scale '
        "Super-Resolution Approach for 3D MR Images via Implicit Neural Representation</a>, IEEE JBHI 27 (2023)."
    )
