"""The record of a result as JSON values: everything for recreating it, and for verifying it.

A record contains no file name, folder, date or person, because file names often contain names of patients. It
identifies the input by the SHA-256 of its voxels, which reveals nothing without these voxels.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ArSSRLib import __version__
from ArSSRLib.acquisition.profile import SliceProfile
from ArSSRLib.acquisition.slice_gains import GainSummary
from ArSSRLib.errors import InputError, reason_of
from ArSSRLib.geometry import Region
from ArSSRLib.options import OPTIONS, UpsamplingOptions
from ArSSRLib.planning import Plan
from ArSSRLib.scratch import planes_of
from ArSSRLib.settings import converted
from ArSSRLib.volume import Volume

if TYPE_CHECKING:
    from ArSSRLib.model.interface import SuperResolutionModel
    from ArSSRLib.upsampling import Outcome

FORMAT = 2
MAXIMUM_BYTES = 100_000
SUFFIX = ".arssr.json"
# Largest difference between two runs, relative to the range of the result. In single precision on the CPU, tiles and
# threads only change the order of sums: 1e-6 was measured; elsewhere, kernels and their precision also differ.
TOLERANCE_CPU_FP32, TOLERANCE_ELSEWHERE = 1e-5, 2e-2

_DIGEST = re.compile("[0-9a-f]{64}")
# Keys of a record besides its format and the options, and the types of their values.
_KEYS: dict[str, Any] = {
    "version": str,
    "torch": str,
    "model": str,
    "model_sha256": str,
    "scale": tuple[float, float, float],
    "region": Region | None,
    "size": tuple[int, int, int],
    "threads": int,
    "tiles": int,
    "largest_tile": int,
    "input_sha256": str,
    "result_sha256": str,
    "disagreement": float | None,
    "slice_gains": GainSummary | None,
}


def record_of(volume: Volume, outcome: Outcome, model: SuperResolutionModel, plan: Plan) -> dict[str, Any]:
    """Return the record of the outcome of `ArSSRLib.upsampling.carry_out`."""
    import torch  # noqa: PLC0415 - reading a record needs none

    return {
        "format": FORMAT,
        "version": __version__,
        "torch": str(torch.__version__),
        "model": model.name,
        "model_sha256": model.sha256,
        "scale": list(plan.scale),
        "region": None if plan.region is None else [list(pair) for pair in plan.region],
        "size": list(outcome.volume.geometry.size),
        **plan.options.as_table(),
        "threads": torch.get_num_threads(),
        "tiles": len(plan.tiles),
        "largest_tile": max(tile.crop_voxels for tile in plan.tiles),
        "input_sha256": voxels_sha256(volume.array),
        "result_sha256": voxels_sha256(outcome.volume.array),
        "profile": plan.profile.as_table(),
        # Percent of the intensity range; four digits are enough for users.
        "disagreement": None if outcome.disagreement is None else float(f"{outcome.disagreement:.4g}"),
        "slice_gains": None if outcome.gains is None else asdict(outcome.gains.summary()),
    }


def voxels_sha256(array: npt.NDArray[Any]) -> str:
    """Return the checksum of voxels: their type, shape and bytes in memory order, little-endian.

    Equal intensities have the same checksum regardless of the format. Position and header are not included.

    Args:
        array: Shape (k, j, i), with the type that `ArSSRLib.io.read_volume` returns.
    """
    plain = array.dtype.newbyteorder("<")
    digest = hashlib.sha256(f"{plain.kind}{plain.itemsize} {array.shape}\n".encode("ascii"))
    for plane in planes_of(array):  # the result may exceed the memory
        digest.update(np.ascontiguousarray(plane, dtype=plain).data)
    return digest.hexdigest()


def sidecar_of(result: Path) -> Path:
    """Return the path of the record of a result, beside it."""
    return result.with_name(f"{result.name}{SUFFIX}")


def record_as_json(record: Mapping[str, Any]) -> bytes:
    """Return a record as the bytes of a file."""
    return (json.dumps(record, indent=1, allow_nan=False) + "\n").encode("ascii")


def read_record(path: Path) -> dict[str, Any]:
    """Read the record of a result.

    Raises:
        InputError: If there is none, or it is from another program or incomplete.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAXIMUM_BYTES + 1)
        return _checked(json.loads(content.decode("utf-8")) if len(content) <= MAXIMUM_BYTES else None)
    except FileNotFoundError as error:
        msg = f"{path}: does not exist; a result has a record if it was made with --provenance."
        raise InputError(msg) from error
    except (OSError, ValueError, RecursionError) as error:  # includes InputError, which is a ValueError
        msg = (
            f"{path}: cannot be read as a record ({reason_of(error)}); specify a result whose record arssr upsample "
            "--provenance wrote."
        )
        raise InputError(msg) from error


def tolerance(record: Mapping[str, Any], result: npt.NDArray[Any]) -> float:
    """Return the largest difference between two runs of one record, in scanner units.

    On the CPU, the same machine, versions, threads and tiles lead to bit-identical results; otherwise, integers may be
    rounded to the neighboring value if sums have another order.
    """
    single = record["device"] == "cpu" and record["precision"] == "fp32"
    values = result[np.isfinite(result)] if result.dtype.kind == "f" else result
    extent = float(values.max()) - float(values.min()) if values.size else 0.0
    allowed = extent * (TOLERANCE_CPU_FP32 if single else TOLERANCE_ELSEWHERE)
    return allowed if result.dtype.kind == "f" else max(1.0, allowed)


def _checked(record: object) -> dict[str, Any]:
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        msg = f"its format is not {FORMAT}"
        raise InputError(msg)
    odd = sorted(set(record) ^ {"format", "profile", *_KEYS, *(option.name for option in OPTIONS)})
    if odd:
        msg = f"it has unknown keys or lacks keys, such as {', '.join(map(str, odd[:3]))[:80]}"
        raise InputError(msg)
    UpsamplingOptions.from_table(record)
    SliceProfile.from_table(record["profile"])
    for key, hint in _KEYS.items():
        converted(key, record[key], hint, kind="record")
    digests = [record[key] for key in ("model_sha256", "input_sha256", "result_sha256")]
    if not all(map(_DIGEST.fullmatch, digests)) or not 1 <= record["threads"] <= 4096:
        msg = "it has a malformed checksum, or an impossible number of threads"
        raise InputError(msg)
    return record
