"""Which models there are: those that come with ArSSR, and the user's own; names, checksums, cards.

Bundled weights lie beside registry.toml; those that the user has imported lie in the user's models folder. What the
files hold is not known here.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from ArSSRLib.errors import CheckpointError
from ArSSRLib.folders import user_data_folder
from ArSSRLib.settings import dataclass_from

# The bundled model of each quality, where none is named.
DEFAULT_MODELS = {"draft": "arssr2", "standard": "arssr2", "best": "arssr2-deep"}
DEFAULT_MODEL = DEFAULT_MODELS["standard"]
# The largest network that a configuration may describe holds 283 MB of weights in single precision.
MAXIMUM_FILE_BYTES = 1_000_000_000
#: Environment variable that names the models folder, for a folder that a department shares.
FOLDER_VARIABLE = "ARSSR_MODELS_FOLDER"

# How the name of a file ends, as opposed to the name of a model.
_FILE_SUFFIXES = (".safetensors", ".pkl", ".pt", ".pth", ".ckpt", ".bin")


@dataclass(frozen=True)
class RegistryEntry:
    """Weights that are known by name.

    Attributes:
        name: What a user types.
        title: One line for people.
        file: The safetensors file: beside the registry, or in the models folder where it is imported.
        sha256: Its checksum, 64 hexadecimal digits.
        license: SPDX identifier of the weights.
        card: The model card beside the registry, Markdown.
        contrast: What it was trained on, as "T1w".
        trained_scales: Smallest and largest scale of the training for all axes, unitless.
        trained_thick_scale: Largest scale of the training for one axis alone, unitless.
        imported: Whether the user has put them there; they have no card.
    """

    name: str
    title: str
    file: str
    sha256: str
    license: str
    card: str
    contrast: str
    trained_scales: tuple[float, float]
    trained_thick_scale: float
    imported: bool = False

    @property
    def path(self) -> Path:
        """The weights file."""
        return (models_folder() if self.imported else _weights_folder()) / self.file

    def covers(self, factors: Sequence[float]) -> bool:
        """Tell whether the training has seen scales as large as these, along i, j, k."""
        *others, largest = sorted(factors)
        return max(others) <= self.trained_scales[1] and largest <= max(
            self.trained_scales[1], self.trained_thick_scale
        )

    def card_text(self) -> str:
        """Return the model card as Markdown.

        Raises:
            CheckpointError: If the card is missing; the installation is damaged.
        """
        if self.imported:
            return f"# {self.name}\n\n{self.title}: weights without a card. Ask whoever made them.\n"
        try:
            return (_weights_folder() / self.card).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            msg = f"The card of model {self.name} cannot be read ({error}); install ArSSR again."
            raise CheckpointError(msg) from error


def registry() -> list[RegistryEntry]:
    """Return the bundled models in the order of weights/registry.toml.

    Raises:
        CheckpointError: If the registry cannot be read; the installation is damaged.
    """
    try:
        table = tomllib.loads((_weights_folder() / "registry.toml").read_text(encoding="utf-8"))
        return [_entry_from_table(entry) for entry in table.get("models", [])]
    except (OSError, ValueError, TypeError) as error:
        msg = f"The list of bundled models cannot be read ({error}); install ArSSR again."
        raise CheckpointError(msg) from error


def imported_models() -> list[RegistryEntry]:
    """Return the models that the user has imported, by name; a description that is damaged is left out."""
    try:
        descriptions = sorted(path for path in models_folder().glob("*.json") if not path.name.startswith("."))
    except OSError:
        return []
    found = (_entry_from_description(path) for path in descriptions)
    return [entry for entry in found if entry is not None]


def installed_models() -> list[RegistryEntry]:
    """Return the models that can be used at once: bundled ones, and others whose weights are there."""
    return [entry for entry in (*registry(), *imported_models()) if not entry.imported or entry.path.is_file()]


def models_folder() -> Path:
    """Return the folder of the user's models, which may not exist yet."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    if chosen:
        return Path(chosen)
    return user_data_folder() / ("arssr" if sys.platform.startswith("linux") else "ArSSR") / "models"


def find_entry(path_or_name: str | Path) -> RegistryEntry | None:
    """Return the model of a name, or None where a file is meant.

    Raises:
        CheckpointError: If it is neither a known name nor looks like a file.
    """
    text = str(path_or_name)
    if isinstance(path_or_name, Path) or "/" in text or "\\" in text:
        return None
    # What comes with ArSSR cannot be replaced by a file of its name.
    entries = {entry.name: entry for entry in (*imported_models(), *registry())}
    if text in entries:
        return entries[text]
    if Path(text).suffix.lower() in _FILE_SUFFIXES or os.path.exists(text):
        return None
    close = difflib.get_close_matches(text.lower(), entries, n=1)
    known = f"the models are {', '.join(entries)}" if entries else "no models are bundled"
    guess = f"did you mean {close[0]}?" if close else "choose one, or name a file."
    msg = f'There is no model "{text}"; {known}; {guess}'
    raise CheckpointError(msg)


def verify(entry: RegistryEntry) -> Path:
    """Return the weights file of a model, once its checksum is known to be right.

    Raises:
        CheckpointError: If the file is missing, or not the one that was registered.
    """
    path = locate(entry)
    require_published(entry, sha256_of(path))
    return path


def locate(entry: RegistryEntry) -> Path:
    """Return the weights file of a model.

    Raises:
        CheckpointError: If it is missing.
    """
    if entry.path.is_file():
        return entry.path
    msg = f"The weights of {entry.name} are missing: there is no {entry.path}; {_again(entry)}."
    raise CheckpointError(msg)


def require_published(entry: RegistryEntry, found: str) -> None:
    """Compare a checksum with that of a model.

    Args:
        entry: The model.
        found: SHA-256 of the bytes that were read, 64 hexadecimal digits.

    Raises:
        CheckpointError: If they differ.
    """
    if found != entry.sha256:
        msg = (
            f"The weights of {entry.name} are not those that were {'imported' if entry.imported else 'published'}: "
            f"SHA-256 {found[:12]}..., expected {entry.sha256[:12]}...; {_again(entry)}."
        )
        raise CheckpointError(msg)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _weights_folder() -> Path:
    return Path(str(resources.files("ArSSRLib"))) / "weights"


def _again(entry: RegistryEntry) -> str:
    """Return how weights are put in order."""
    return f"arssr models remove {entry.name}, then import them again" if entry.imported else "install ArSSR again"


def _entry_from_table(table: Mapping[str, Any]) -> RegistryEntry:
    entry = dataclass_from(RegistryEntry, table, kind="registry", complete=False)
    if not re.fullmatch("[0-9a-f]{64}", entry.sha256):
        msg = f"the sha256 of {entry.name} should be 64 hexadecimal digits"
        raise ValueError(msg)
    return entry


def _entry_from_description(path: Path) -> RegistryEntry | None:
    """Return the imported model of a description; None where that is damaged."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        title, sha256, largest = str(table["title"]), table["sha256"], float(table["largest_scale"])
        if not re.fullmatch("[0-9a-f]{64}", sha256):
            return None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    file = f"{path.stem}.safetensors"
    return RegistryEntry(
        path.stem, title, file, sha256, "unknown", "", "unknown", (1.0, largest), largest, imported=True
    )
