"""The weights that come with ArSSR: their names, checksums and model cards.

What the files hold is not known here.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any

from ArSSRLib.errors import CheckpointError

DEFAULT_MODEL = "arssr2"

# How the name of a file ends, as opposed to the name of a model.
_FILE_SUFFIXES = (".safetensors", ".pkl", ".pt", ".pth", ".ckpt", ".bin")


@dataclass(frozen=True)
class RegistryEntry:
    """Weights that come with ArSSR.

    Attributes:
        name: What a user types.
        title: One line for people.
        file: The safetensors file beside the registry.
        sha256: Its checksum, 64 hexadecimal digits.
        license: SPDX identifier of the weights.
        card: The model card beside the registry, Markdown.
        contrast: What it was trained on, as "T1w".
        trained_scales: Smallest and largest scale of the training for all axes, unitless.
        trained_thick_scale: Largest scale of the training for one axis alone, unitless.
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

    @property
    def path(self) -> Path:
        """The weights file."""
        return _weights_folder() / self.file

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


def find_entry(path_or_name: str | Path) -> RegistryEntry | None:
    """Return the bundled model of a name, or None where a file is meant.

    Raises:
        CheckpointError: If it is neither a known name nor looks like a file.
    """
    text = str(path_or_name)
    if isinstance(path_or_name, Path) or "/" in text or "\\" in text:
        return None
    entries = {entry.name: entry for entry in registry()}
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
    """Return the weights file of a bundled model, once its checksum is known to be right.

    Raises:
        CheckpointError: If the file is missing, or not the one that was registered.
    """
    if not entry.path.is_file():
        msg = f"The weights of {entry.name} are missing: there is no {entry.path}; install ArSSR again."
        raise CheckpointError(msg)
    found = sha256_of(entry.path)
    if found != entry.sha256:
        msg = (
            f"The weights of {entry.name} are not those that were published: SHA-256 {found[:12]}..., "
            f"expected {entry.sha256[:12]}...; install ArSSR again."
        )
        raise CheckpointError(msg)
    return entry.path


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _weights_folder() -> Path:
    return Path(str(resources.files("ArSSRLib"))) / "weights"


def _entry_from_table(table: Mapping[str, Any]) -> RegistryEntry:
    names = {field.name for field in fields(RegistryEntry)}
    if set(table) != names:
        msg = f"{table.get('name', 'a model')} should have the keys {', '.join(sorted(names))}"
        raise ValueError(msg)
    least, largest = table["trained_scales"]
    if not re.fullmatch("[0-9a-f]{64}", table["sha256"]):
        msg = f"the sha256 of {table['name']} should be 64 hexadecimal digits"
        raise ValueError(msg)
    numbers = {
        "trained_scales": (float(least), float(largest)),
        "trained_thick_scale": float(table["trained_thick_scale"]),
    }
    return RegistryEntry(**{**table, **numbers})
