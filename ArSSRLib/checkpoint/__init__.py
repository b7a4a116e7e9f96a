"""Files that hold weights and the configuration of their network.

Two formats are read and one is written:

* ours, safetensors: the header carries ``arssr_format``, ``arssr_config`` (a `ModelConfig` as JSON) and free text;
* the authors', a pickled state dict: read without running what it contains, its configuration told from its shapes.

What a file claims is checked before memory is given to it: first its configuration, then the name and the shape of
every tensor. The registry of bundled weights is read here too. Nothing here knows about volumes.
"""

from ArSSRLib.checkpoint.bundled import DEFAULT_MODEL, RegistryEntry, registry, verify
from ArSSRLib.checkpoint.files import convert_checkpoint, load_model, read_metadata, save_model

__all__ = [
    "DEFAULT_MODEL",
    "RegistryEntry",
    "convert_checkpoint",
    "load_model",
    "read_metadata",
    "registry",
    "save_model",
    "verify",
]
