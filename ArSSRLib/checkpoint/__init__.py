"""Files with weights and the configuration of their network.

Two formats are read and one is written:

* safetensors files of ArSSR, whose header has ``arssr_format``, ``arssr_config`` (a `ModelConfig` as JSON) and free
  text;
* files of the published code, pickled state dicts, which are read without executing their content; the shapes determine
  the configuration.

Claims of a file are checked before memory is allocated for them: first its size and checksum, then its configuration,
then the name and the shape of every tensor. The registry and the user's own models are also managed here. Nothing here
handles volumes or opens a connection.

The registry needs no PyTorch; the code that reads and writes weights is loaded on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ArSSRLib.checkpoint.bundled import (
    DEFAULT_MODEL,
    DEFAULT_MODELS,
    RegistryEntry,
    find_entry,
    imported_models,
    installed_models,
    models_folder,
    registry,
    sha256_of,
    verify,
)

if TYPE_CHECKING:
    from ArSSRLib.checkpoint.files import convert_checkpoint, load_model, read_metadata, save_model
    from ArSSRLib.checkpoint.store import import_model, remove_model

__all__ = [
    "DEFAULT_MODEL",
    "DEFAULT_MODELS",
    "RegistryEntry",
    "convert_checkpoint",
    "find_entry",
    "import_model",
    "imported_models",
    "installed_models",
    "load_model",
    "models_folder",
    "read_metadata",
    "registry",
    "remove_model",
    "save_model",
    "sha256_of",
    "verify",
]


_ROOMS = {"import_model": "store", "remove_model": "store"}


def __getattr__(name: str) -> object:
    """Load names that need PyTorch, or the network, on first use (PEP 562)."""
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value: object = getattr(import_module(f"{__name__}.{_ROOMS.get(name, 'files')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names, loaded or not."""
    return sorted({*globals(), *__all__})
