"""The available models, bundled or imported by the user: names, checksums, cards.

Bundled weights are stored beside registry.toml; imported weights are stored in the user's models folder. The contents
of the files are not interpreted here.
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
from ArSSRLib.filenames import path_of
from ArSSRLib.folders import user_data_folder
from ArSSRLib.settings import dataclass_from

# The bundled model for each quality, if no model is named.
DEFAULT_MODELS = {"draft": "arssr3-draft", "standard": "arssr3", "best": "arssr3"}
DEFAULT_MODEL = DEFAULT_MODELS["standard"]
# The largest network of a valid configuration has 283 MB of weights in single precision.
MAXIMUM_FILE_BYTES = 1_000_000_000
#: Environment variable for the models folder, for example a folder shared by a department.
FOLDER_VARIABLE = "ARSSR_MODELS_FOLDER"

# Suffixes of file names, to distinguish them from names of models.
_FILE_SUFFIXES = (".safetensors", ".pkl", ".pt", ".pth", ".ckpt", ".bin")


@dataclass(frozen=True)
class RegistryEntry:
    """Weights with a name.

    Attributes:
        name: Name for the command line and the panel.
        title: One-line description.
        file: The safetensors file, beside the registry, or in the models folder if imported.
        sha256: Checksum of the file, 64 hexadecimal digits.
        license: SPDX identifier of the weights.
        card: The model card beside the registry, Markdown.
        contrast: Contrast of the training data, such as "T1w".
        trained_scales: Smallest and largest scale in training for all axes together, unitless.
        trained_thick_scale: Largest scale in training for a single axis, unitless.
        imported: Whether the user has imported the model; such models have no card.
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
        """Return whether scales as large as these, along i, j, k, were part of the training."""
        *others, largest = sorted(factors)
        return max(others) <= self.trained_scales[1] and largest <= max(
            self.trained_scales[1], self.trained_thick_scale
        )

    def card_text(self) -> str:
        """Return the model card as Markdown.

        Raises:
            CheckpointError: If the card is missing, because the installation is damaged.
        """
        if self.imported:
            return f"# {self.name}\n\n{self.title}: these weights have no card. Ask their authors.\n"
        try:
            return (_weights_folder() / self.card).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            msg = f"The card of model {self.name} cannot be read ({error}); reinstall ArSSR."
            raise CheckpointError(msg) from error


def registry() -> list[RegistryEntry]:
    """Return the bundled models in the order of weights/registry.toml.

    Raises:
        CheckpointError: If the registry cannot be read, because the installation is damaged.
    """
    try:
        table = tomllib.loads((_weights_folder() / "registry.toml").read_text(encoding="utf-8"))
        return [_entry_from_table(entry) for entry in table.get("models", [])]
    except (OSError, ValueError, TypeError) as error:
        msg = f"The list of bundled models cannot be read ({error}); reinstall ArSSR."
        raise CheckpointError(msg) from error


def imported_models() -> list[RegistryEntry]:
    """Return the models that the user has imported, by name, without those whose description is damaged."""
    try:
        descriptions = sorted(path for path in models_folder().glob("*.json") if not path.name.startswith("."))
    except OSError:
        return []
    found = (_entry_from_description(path) for path in descriptions)
    return [entry for entry in found if entry is not None]


def installed_models() -> list[RegistryEntry]:
    """Return the models that are ready for use: bundled models, and imported models whose weights exist."""
    return [entry for entry in (*registry(), *imported_models()) if not entry.imported or entry.path.is_file()]


def models_folder() -> Path:
    """Return the folder of the user's models, which may not exist."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    if chosen:
        return Path(chosen)
    return user_data_folder() / ("arssr" if sys.platform.startswith("linux") else "ArSSR") / "models"


def find_entry(path_or_name: str | Path) -> RegistryEntry | None:
    """Return the model with a name, or None if the argument is a file.

    Raises:
        CheckpointError: If it is neither a known name nor a path.
    """
    path_of(path_or_name, CheckpointError)
    text = str(path_or_name)
    if isinstance(path_or_name, Path) or "/" in text or "\\" in text:
        return None
    # An imported file cannot replace a bundled model of the same name.
    entries = {entry.name: entry for entry in (*imported_models(), *registry())}
    if text in entries:
        return entries[text]
    if Path(text).suffix.lower() in _FILE_SUFFIXES or os.path.exists(text):
        return None
    close = difflib.get_close_matches(text.lower(), entries, n=1)
    known = f"the models are {', '.join(entries)}" if entries else "no models are bundled"
    guess = f"Did you mean {close[0]}?" if close else "Choose one of them, or specify a weights file."
    msg = f'There is no model "{text}"; {known}. {guess}'
    raise CheckpointError(msg)


def verify(entry: RegistryEntry) -> Path:
    """Return the weights file of a model after verifying its checksum.

    Raises:
        CheckpointError: If the file is missing or has another checksum.
    """
    path = locate(entry)
    require_published(entry, sha256_of(path))
    return path


def locate(entry: RegistryEntry) -> Path:
    """Return the weights file of a model.

    Raises:
        CheckpointError: If the file is missing.
    """
    if entry.path.is_file():
        return entry.path
    msg = f"The weights of {entry.name} are missing: {entry.path} does not exist; {_again(entry)}."
    raise CheckpointError(msg)


def require_published(entry: RegistryEntry, found: str) -> None:
    """Compare the SHA-256 of a file with that of a model.

    Raises:
        CheckpointError: If the checksums differ.
    """
    if found != entry.sha256:
        msg = (
            f"The weights of {entry.name} differ from those that were "
            f"{'imported' if entry.imported else 'published'}: SHA-256 {found[:12]}..., expected "
            f"{entry.sha256[:12]}...; {_again(entry)}."
        )
        raise CheckpointError(msg)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _weights_folder() -> Path:
    return Path(str(resources.files("ArSSRLib"))) / "weights"


def _again(entry: RegistryEntry) -> str:
    """Return instructions for repairing the weights."""
    return f"run arssr models remove {entry.name}, then import them again" if entry.imported else "reinstall ArSSR"


def _entry_from_table(table: Mapping[str, Any]) -> RegistryEntry:
    entry = dataclass_from(RegistryEntry, table, kind="registry", complete=False)
    if not re.fullmatch("[0-9a-f]{64}", entry.sha256):
        msg = f"the sha256 of {entry.name} must be 64 hexadecimal digits"
        raise ValueError(msg)
    return entry


def _entry_from_description(path: Path) -> RegistryEntry | None:
    """Return the imported model of a description, or None if the description is damaged."""
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
