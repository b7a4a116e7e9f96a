"""Prepared volumes, made once and kept on disk as memory-mapped arrays with their geometry.

One folder a volume and preparation. Its name is a hash of the file's content and of the preparation, so that neither a
moved file is prepared again nor a changed one confused with what it was. A folder comes into being under a temporary
name and is renamed when it is complete; one that does not hold what it says is made anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ArSSRLib.errors import OutputError
from ArSSRLib.folders import user_cache_folder
from ArSSRLib.io.sources import read_checked
from ArSSRLib.training.packing import is_packed, unpacked
from ArSSRLib.training.preparation import (
    PREPARATION_VERSION,
    Preparation,
    TrainingVolume,
    prepare,
    store,
)
from ArSSRLib.volume import hash_of

VOXELS, FOREGROUND, ABOUT = "voxels.npy", "foreground.npy", "about.json"


def default_folder() -> Path:
    """Return the folder for prepared volumes where this system keeps what can be made again."""
    return user_cache_folder() / "ArSSR" / "training"


def prepared_volume(path: Path, preparation: Preparation, folder: Path) -> TrainingVolume:
    """Return a volume as it is trained on: from the cache, or from its file, once.

    Args:
        path: The volume's file, or folder of DICOM files.
        preparation: What is done to it.
        folder: The cache.

    Returns:
        The volume; its voxels are read from the disk when they are used. A packed one is small and is not cached.

    Raises:
        InputError: If the volume cannot be used.
        OutputError: If the cache cannot be written.
    """
    if is_packed(path):
        packed, voxel_hash = unpacked(path, preparation)
        return store(packed, subject=path.name, voxel_hash=voxel_hash)
    entry = folder / key_of(path, preparation)
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, EOFError):
        return _read(entry, path.name)
    volume = read_checked(path)
    made = store(prepare(volume, preparation), subject=path.name, voxel_hash=hash_of(volume.array))
    try:
        _write(entry, made)
        return _read(entry, path.name)
    except OSError as error:
        msg = f"{folder}: prepared volumes cannot be kept there ({error.strerror or error}); name another cache."
        raise OutputError(msg) from error


def key_of(path: Path, preparation: Preparation) -> str:
    """Return the name of a volume's entry: a hash of its content and of how it is prepared, 32 digits."""
    digest = hashlib.sha256(json.dumps([PREPARATION_VERSION, asdict(preparation)]).encode())
    files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
    for file in files:
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()[:32]


def _write(entry: Path, volume: TrainingVolume) -> None:
    partial = entry.with_name(f".{entry.name}.{os.getpid()}.partial")
    try:
        partial.mkdir(parents=True, exist_ok=True)
        np.save(partial / VOXELS, volume.stored.numpy())
        np.save(partial / FOREGROUND, volume.foreground.numpy())
        about = {
            "shape": list(volume.stored.shape),
            "spacing": list(volume.spacing),
            "orientation": volume.orientation,
            "voxel_hash": volume.voxel_hash,
            "checksums": [_checksum(partial / name) for name in (VOXELS, FOREGROUND)],
        }
        (partial / ABOUT).write_text(json.dumps(about), encoding="utf-8")
        # What is there is damaged; a folder that is not empty cannot be replaced in one step.
        shutil.rmtree(entry, ignore_errors=True)
        partial.rename(entry)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _read(entry: Path, subject: str) -> TrainingVolume:
    """Read an entry; raises one of many errors if it is missing or damaged."""
    about: dict[str, Any] = json.loads((entry / ABOUT).read_text(encoding="utf-8"))
    if [_checksum(entry / name) for name in (VOXELS, FOREGROUND)] != about["checksums"]:
        msg = f"{entry} is damaged."
        raise ValueError(msg)
    # Copy on write: PyTorch wants an array that it may write to, and the file stays as it is.
    stored = torch.from_numpy(np.load(entry / VOXELS, mmap_mode="c"))
    k, j, i = about["spacing"]
    foreground = torch.from_numpy(np.load(entry / FOREGROUND))
    return TrainingVolume(subject, stored, foreground, (k, j, i), about["voxel_hash"], about["orientation"])


def _checksum(path: Path) -> int:
    total = 0
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            total = zlib.crc32(block, total)
    return total
