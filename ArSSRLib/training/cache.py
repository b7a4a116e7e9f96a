"""Cache of prepared volumes: memory-mapped arrays on disk, with their geometry.

There is one folder per volume and preparation. Its name is a hash of the content of the file and of the preparation, so
a file that was moved is not prepared again, and a changed file is not mistaken for its old version. Folders are written
under a temporary name and renamed when complete; damaged folders are replaced.
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
from ArSSRLib.training.packing import SUFFIX, ground_truth
from ArSSRLib.training.preparation import PREPARATION_VERSION, Preparation, TrainingVolume, store

VOXELS, FOREGROUND, ABOUT = "voxels.npy", "foreground.npy", "about.json"


def default_folder() -> Path:
    """Return the folder for prepared volumes in the cache folder of the user."""
    return user_cache_folder() / "ArSSR" / "training"


def prepared_volume(path: Path, preparation: Preparation, folder: Path) -> TrainingVolume:
    """Return the volume of a file or DICOM folder, from the cache, or from its file, which fills the cache.

    Its voxels are read from disk when they are used. Packed volumes are small and are not cached.

    Raises:
        InputError: If the volume cannot be used.
        OutputError: If the cache cannot be written.
    """
    if path.suffix == SUFFIX:
        return _prepare(path, preparation)
    entry = folder / key_of(path, preparation)
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, EOFError):
        return _read(entry, path.name)
    made = _prepare(path, preparation)
    try:
        _write(entry, made)
        return _read(entry, path.name)
    except OSError as error:
        msg = f"{folder}: prepared volumes cannot be stored there ({error.strerror or error}); specify another cache."
        raise OutputError(msg) from error


def key_of(path: Path, preparation: Preparation) -> str:
    """Return the cache key of a volume: a hash of its content and of its preparation, 32 hexadecimal digits."""
    digest = hashlib.sha256(json.dumps([PREPARATION_VERSION, asdict(preparation)]).encode())
    files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
    for file in files:
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()[:32]


def _prepare(path: Path, preparation: Preparation) -> TrainingVolume:
    volume, voxel_hash = ground_truth(path, preparation)
    return store(volume, subject=path.name, voxel_hash=voxel_hash)


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
        # An existing entry is damaged, and a folder that is not empty cannot be replaced in one step.
        shutil.rmtree(entry, ignore_errors=True)
        partial.rename(entry)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _read(entry: Path, subject: str) -> TrainingVolume:
    """Read an entry; raises various exceptions if it is missing or damaged."""
    about: dict[str, Any] = json.loads((entry / ABOUT).read_text(encoding="utf-8"))
    if [_checksum(entry / name) for name in (VOXELS, FOREGROUND)] != about["checksums"]:
        msg = f"{entry} is damaged."
        raise ValueError(msg)
    # Copy on write: PyTorch requires a writable array, and the file must not change.
    stored = torch.from_numpy(np.load(entry / VOXELS, mmap_mode="c"))
    k, j, i = about["spacing"]
    foreground = torch.from_numpy(np.load(entry / FOREGROUND))
    return TrainingVolume(subject, stored, foreground, (k, j, i), about["voxel_hash"], about["orientation"])


def _checksum(path: Path) -> int:
    return zlib.crc32(np.memmap(path, dtype=np.uint8, mode="r"))  # type: ignore[arg-type]
