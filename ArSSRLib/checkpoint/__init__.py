"""Files that hold weights and the configuration of their network.

Two formats are read and one is written:

* ours, safetensors: the header carries ``arssr_format``, ``arssr_config`` (a `ModelConfig` as JSON) and free text;
* the authors', a pickled state dict: read without running what it contains, its configuration told from its shapes.

What a file claims is checked before memory is given to it: first its size and its checksum, then its configuration,
then the name and the shape of every tensor. The registry is read here too, and the user's own models are kept here.
Nothing here knows about volumes, and nothing opens a connection.

The registry needs no PyTorch; what reads and writes weights is loaded when it is first asked for.
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
    """Load what needs PyTorch, or the network, the first time it is used (PEP 562)."""
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value: object = getattr(import_module(f"{__name__}.{_ROOMS.get(name, 'files')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names, loaded or not."""
    return sorted({*globals(), *__all__})
