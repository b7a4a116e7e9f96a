"""ArSSR: super-resolution of MR volumes at any scale.

Upsampling a file takes three steps::

    from ArSSRLib import load_model, read_volume, upsample, write_volume

    volume = read_volume("brain.nii.gz")
    sharper = upsample(volume, load_model("arssr3"), 2.0)
    write_volume(sharper, "brain_2x.nii.gz")

The names in ``__all__`` are the public interface: their meaning is stable, and the page "Python API" documents them.
Each name is loaded on first use, so importing this package needs neither PyTorch nor numpy, and Slicer can read the
version before anything is installed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ArSSRLib.checkpoint import installed_models, load_model
    from ArSSRLib.errors import ArSSRError
    from ArSSRLib.geometry import VolumeGeometry, scale_for_isotropic, scale_for_spacing
    from ArSSRLib.io import read_volume, write_volume
    from ArSSRLib.options import UpsamplingOptions
    from ArSSRLib.upsampling import plan_upsampling, upsample
    from ArSSRLib.volume import Volume

__version__ = "0.1.0"

__all__ = [
    "ArSSRError",
    "UpsamplingOptions",
    "Volume",
    "VolumeGeometry",
    "__version__",
    "installed_models",
    "load_model",
    "plan_upsampling",
    "read_volume",
    "scale_for_isotropic",
    "scale_for_spacing",
    "upsample",
    "write_volume",
]

_ROOMS = {
    "ArSSRError": "errors",
    "UpsamplingOptions": "options",
    "Volume": "volume",
    "VolumeGeometry": "geometry",
    "installed_models": "checkpoint",
    "load_model": "checkpoint",
    "plan_upsampling": "upsampling",
    "read_volume": "io",
    "scale_for_isotropic": "geometry",
    "scale_for_spacing": "geometry",
    "upsample": "upsampling",
    "write_volume": "io",
}


def __getattr__(name: str) -> object:
    """Load a public name from its room on first use (PEP 562)."""
    if name not in _ROOMS:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value: object = getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names, loaded or not."""
    return sorted({*globals(), *__all__})
