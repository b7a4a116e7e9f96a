"""Packed training volumes, small enough to transfer: prepared, on one grid, in 8 bits, cropped to the anatomy.

    python -m ArSSRLib.training.packing FOLDER TARGET --spacing 1.2

A packed volume is one ``.npz`` file that needs only NumPy. Training uses it as it is, without normalizing or resampling
it again. Rounding to 8 bits adds noise of -57 dB of the intensity range, below that of any scanner.
"""

from __future__ import annotations

import argparse
import io
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ArSSRLib.errors import ArSSRError, InputError
from ArSSRLib.geometry import VolumeGeometry, times
from ArSSRLib.io.sources import Source, find_sources, read_checked, subject_of
from ArSSRLib.leftovers import write_whole
from ArSSRLib.training.preparation import FOREGROUND, Preparation, prepare
from ArSSRLib.volume import Volume, hash_of

SUFFIX = ".npz"
# Intensity per step: the foreground threshold lies between two steps, so that rounding moves no voxel across it.
STEP = FOREGROUND / 20.5
# Steps above which a voxel counts as anatomy, and the margin kept around it in voxels.
ANATOMY, MARGIN = 4, 3


def packed_sources(data: Path, split: str) -> list[Source]:
    """Return the packed volumes of a folder, or the result of `find_sources` if there are none.

    Raises:
        InputError: As `find_sources` does.
    """
    packed = sorted(data.glob(f"*{SUFFIX}")) if data.is_dir() else []
    return [Source(path, subject_of(path)) for path in packed] or find_sources(data, split)


def pack(path: Path, target: Path, spacing: float) -> int:
    """Pack the volume of a file or DICOM folder at an isotropic spacing in mm, 0 for its own grid; return the bytes.

    Raises:
        InputError: If the volume cannot be used.
        OutputError: If the file cannot be written.
    """
    original = read_checked(path)
    volume = prepare(original, Preparation(spacing=spacing))
    steps = np.clip(np.rint(volume.array / STEP), 0, 255).astype(np.uint8)
    places = np.argwhere(steps > ANATOMY)
    if len(places) == 0:
        msg = f"{path.name} shows nothing but background; omit it from the training data."
        raise InputError(msg)
    first, last = np.maximum(places.min(0) - MARGIN, 0), places.max(0) + MARGIN + 1
    box = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
    content: dict[str, npt.NDArray[Any]] = {
        "voxels": np.ascontiguousarray(steps[box]),
        "step": np.array(STEP),
        "spacing": np.array(volume.geometry.spacing),
        "direction": np.array(volume.geometry.direction),
        "voxel_hash": np.array(hash_of(original.array)),
    }
    # `np.savez_compressed` needs 17 % more space; `np.load` reads any ZIP compression.
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_LZMA) as archive:
        for name, array in content.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
    write_whole(target, data.getvalue())
    return len(data.getvalue())


def unpacked(path: Path, preparation: Preparation) -> tuple[Volume, str]:
    """Read a packed volume, and the hash of the original voxels.

    It is float32 in about [0, 1], with the spacing and the directions of the original but another origin.

    Raises:
        InputError: If it cannot be read, or was packed for another preparation.
    """
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            content = {name: file[name] for name in ("voxels", "step", "spacing", "direction", "voxel_hash")}
        array = content["voxels"].astype(np.float32) * np.float32(content["step"])
        (k, j, i), (x, y, z) = array.shape, (float(s) for s in content["spacing"])
        geometry = VolumeGeometry((i, j, k), (x, y, z), direction=tuple(float(d) for d in content["direction"]))
    except Exception as error:  # a damaged archive raises arbitrary exceptions
        msg = f"{path.name} is not a packed volume ({type(error).__name__}); pack the original again."
        raise InputError(msg) from error
    wanted = preparation.spacing
    if wanted and max(abs(s - wanted) for s in geometry.spacing) > 0.05 * wanted:
        shown = times(geometry.spacing, 3)
        msg = (
            f"{path.name} is packed at {shown} mm, but the recipe asks for {wanted:g} mm; set target_spacings to [0], "
            f"or pack with --spacing {wanted:g}."
        )
        raise InputError(msg)
    if preparation.crop_and_pad or preparation.normalization != "percentile":
        msg = f'{path.name} is a packed volume; set normalization to "percentile" and crop_and_pad to [].'
        raise InputError(msg)
    return Volume(array, geometry), str(content["voxel_hash"])


def ground_truth(path: Path, preparation: Preparation) -> tuple[Volume, str]:
    """Return a volume as ground truth, whether its file is packed or not, and the hash of its original voxels.

    Raises:
        InputError: If the volume cannot be used.
    """
    if path.suffix == SUFFIX:
        return unpacked(path, preparation)
    volume = read_checked(path)
    return prepare(volume, preparation), hash_of(volume.array)


def main(words: Sequence[str] | None = None) -> int:
    """Pack a folder; returns the exit status."""
    parser = argparse.ArgumentParser(description="Pack training volumes so that they travel.")
    parser.add_argument("data", type=Path, metavar="FOLDER", help="volumes, or a CSV file as recipes take it")
    parser.add_argument("target", type=Path, metavar="TARGET", help="folder for the packed volumes")
    parser.add_argument("--split", default="train", help="which rows of a CSV file (default %(default)s)")
    parser.add_argument("--spacing", type=float, default=1.2, metavar="MM", help="(default %(default)s); 0 keeps grids")
    parser.add_argument("--megabytes", type=float, metavar="N", help="stop before the folder is larger")
    arguments = parser.parse_args(words)
    total = 0
    try:
        arguments.target.mkdir(parents=True, exist_ok=True)
        for source in find_sources(arguments.data, arguments.split):
            target = arguments.target / f"{source.path.name.split('.')[0]}{SUFFIX}"
            size = target.stat().st_size if target.exists() else pack(source.path, target, arguments.spacing)
            if arguments.megabytes is not None and total + size > 1e6 * arguments.megabytes:
                target.unlink()
                break
            total += size
    except (ArSSRError, OSError) as error:
        print(f"packing: {error}", file=sys.stderr)
        return 2
    print(f"{total / 1e6:.1f} MB in {arguments.target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
