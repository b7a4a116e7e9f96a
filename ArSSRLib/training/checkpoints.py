"""The state of a run on disk: written completely or not at all, and read back only by the run that it belongs to."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ArSSRLib.errors import CheckpointError, OutputError

LAST, BEST, FINAL = "last.pt", "best.safetensors", "final.safetensors"
# What may differ between a run and its continuation: where things lie, how long it takes, and how often it is judged.
# The number of items a step is compared over all processes instead.
STEERABLE = frozenset(
    {"training_data", "validation_data", "output", "cache", "compile", "batch_items", "steps", "learning_rate"}
    | {"warm_up_steps", "hold_share", "halve_every", "validate_every", "validation_stride", "checkpoint_every"}
)
_KEYS = frozenset({"model", "average", "optimizer", "step", "seconds", "best", "validated", "recipe", "items", "data"})


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state under a temporary name first; what was there before stays until the new one is complete.

    Raises:
        OutputError: If it cannot be written, for instance because the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with temporary.open("wb") as file:
            torch.save(dict(state), file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:  # PyTorch's archive writer raises the latter for a full disk
        kept = "the checkpoint before it is unharmed" if path.exists() else "there is none before it"
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        msg = (
            f"{path}: step {state['step']} cannot be saved ({reason}); {kept}. Free space, then continue with --resume."
        )
        raise OutputError(msg) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def read_state(path: Path, expected: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """Read the state of a run.

    Args:
        path: Its file.
        expected: What the run that goes on is: ``recipe`` (a table), ``items`` a step and ``data`` (a hash).
        device: Where its tensors go.

    Raises:
        CheckpointError: If there is none, it cannot be read, or belongs to another run; the message says what differs.
    """
    if not path.exists():
        msg = f"{path} does not exist, so there is nothing to continue; start without --resume."
        raise CheckpointError(msg)
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # whatever damaged bytes bring about; nothing in them was run
        msg = f"{path} cannot be resumed ({type(error).__name__}: it is damaged); start anew without --resume."
        raise CheckpointError(msg) from error
    if not isinstance(state, dict) or not set(state) >= _KEYS:
        msg = f"{path} is not a state that this ArSSR saved; begin a new run with --init best.safetensors."
        raise CheckpointError(msg)
    found = differences(state["recipe"], expected["recipe"])
    if state["items"] != expected["items"]:
        found.append(f"items a step over all processes: {state['items']}, now {expected['items']}")
    if state["data"] != expected["data"]:
        found.append("the voxels of the training volumes")
    if found:
        msg = (
            f"{path} belongs to another run: {'; '.join(found)}. Set it as it was, or begin a new run in another "
            "output with --init best.safetensors."
        )
        raise CheckpointError(msg)
    return state


def differences(saved: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what makes two recipes different runs, key by key, such as "seed: 0, now 1"."""
    found = []
    for key in sorted(saved.keys() | now.keys()):
        old, new = saved.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += [f"{key}.{text}" for text in differences(old, new)]
        elif key not in STEERABLE and old != new:
            found.append(f"{key}: {old}, now {new}")
    return found
