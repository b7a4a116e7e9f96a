"""The user's own models: importing a file into the models folder, and deleting it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from ArSSRLib.checkpoint.bundled import RegistryEntry, find_entry, imported_models, models_folder, registry, sha256_of
from ArSSRLib.errors import InputError, OutputError
from ArSSRLib.filenames import reserved_name
from ArSSRLib.leftovers import sweep, write_whole

# Largest scale of an imported model that does not state its own; the same as for the published weights.
UNSTATED_SCALE = 4.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_FILE_SUFFIX = re.compile(r"\.(safetensors|pkl|pt|pth|ckpt|bin|json)$", re.IGNORECASE)


def import_model(source: Path, *, name: str | None = None) -> RegistryEntry:
    """Copy a file of weights, checked as by `load_model`, into the models folder, so that it can be used by name.

    Raises:
        CheckpointError: If the file is not usable.
        InputError: If the name is not allowed.
        OutputError: If the models folder cannot be written to.
    """
    from ArSSRLib.checkpoint.files import load_model, save_model  # noqa: PLC0415 - deleting needs no PyTorch

    # A path, so that it is never interpreted as a name.
    model = load_model(Path(source))
    chosen = _checked_name(_FILE_SUFFIX.sub("", source.name) if name is None else name)
    folder = models_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = (
            f"The models folder {folder} cannot be created ({error.strerror}); set ARSSR_MODELS_FOLDER to another "
            "folder."
        )
        raise OutputError(msg) from error
    sweep(folder)
    metadata = {"source": source.name, "source_sha256": model.sha256}
    path = save_model(model, folder / f"{chosen}.safetensors", metadata=metadata)
    description = {
        "title": "Imported",
        "sha256": sha256_of(path),
        "largest_scale": model.config.largest_scale or UNSTATED_SCALE,
    }
    write_whole(folder / f"{chosen}.json", json.dumps(description, indent=1).encode("ascii"))
    return next(entry for entry in imported_models() if entry.name == chosen)


def remove_model(name: str) -> Path:
    """Delete an imported model, and return the deleted file.

    Raises:
        CheckpointError: If there is no such model.
        InputError: If the model is bundled, or the argument is a file.
        OutputError: If the file cannot be deleted.
    """
    entry = find_entry(name)
    if entry is None or not entry.imported:
        what = "is a file" if entry is None else "is part of ArSSR"
        msg = f'"{name}" {what}; only imported models can be removed by name.'
        raise InputError(msg)
    sweep(models_folder())
    try:
        entry.path.unlink(missing_ok=True)
        entry.path.with_suffix(".json").unlink(missing_ok=True)
    except OSError as error:
        msg = (
            f"{entry.path}: cannot be deleted ({error.strerror}); close the program that uses it, or check its "
            "permissions."
        )
        raise OutputError(msg) from error
    return entry.path


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name) or _FILE_SUFFIX.search(name):
        allowed = 'up to 64 letters, digits, "-", "_" and "."'
        msg = f'"{name[:80]}" is not a valid model name; choose {allowed} with --as NAME.'
        raise InputError(msg)
    problem = reserved_name(name)
    if problem:
        msg = f'"{name}" is not a valid model name: {problem}; choose another name with --as.'
        raise InputError(msg)
    taken = {entry.name for entry in registry()} | {entry.name for entry in imported_models()}
    if name.lower() in {other.lower() for other in taken}:
        msg = f'A model named "{name}" already exists; choose another name with --as, or remove it first.'
        raise InputError(msg)
    return name
