"""Training state on disk: written completely or not at all, and resumed only by the run that it belongs to."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ArSSRLib.errors import CheckpointError, OutputError
from ArSSRLib.leftovers import write_whole
from ArSSRLib.training.recipe import default_table

LAST, BEST, FINAL = "last.pt", "best.safetensors", "final.safetensors"
# Keys that may differ between a run and its continuation: locations, duration, and how often it is validated. Instead
# of the items per process, the items per step over all processes are compared.
STEERABLE = frozenset(
    {"training_data", "validation_data", "output", "cache", "compile", "batch_items", "steps", "learning_rate"}
    | {"warm_up_steps", "hold_share", "halve_every", "validate_every", "validation_stride", "checkpoint_every"}
)
# Attributes of a `Trainer` in a state: those that have a state of their own, and numbers.
PARTS, NUMBERS = ("model", "average", "optimizer"), ("step", "seconds", "best", "validated")
_KEYS = frozenset({*PARTS, *NUMBERS, "recipe", "items", "data"})


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a training state; the previous file stays in place until the new one is complete.

    Raises:
        OutputError: If it cannot be written, for instance because the disk is full.
    """
    content = io.BytesIO()
    torch.save(dict(state), content)
    try:
        write_whole(path, content.getvalue())
    except OutputError as error:
        kept = "the previous checkpoint is intact" if path.exists() else "there is no previous checkpoint"
        reason = getattr(error.__cause__, "strerror", None) or error.__cause__
        msg = (
            f"{path}: step {state['step']} cannot be saved ({reason}); {kept}. Free space, then continue with --resume."
        )
        raise OutputError(msg) from error


def read_state(path: Path, expected: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """Read the state of a run, if it has the identity of the run that continues, see `Trainer._identity`.

    Raises:
        CheckpointError: If the file is missing, cannot be read, or belongs to another run; the message lists the
            differences.
    """
    if not path.exists():
        msg = f"{path} does not exist, so there is nothing to continue; start without --resume."
        raise CheckpointError(msg)
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # damaged bytes raise arbitrary exceptions; no code in them was run
        msg = f"{path} is damaged and cannot be resumed ({type(error).__name__}); start again without --resume."
        raise CheckpointError(msg) from error
    if not isinstance(state, dict) or not set(state) >= _KEYS:
        msg = f"{path} is not a state saved by this version of ArSSR; start a new run with --init best.safetensors."
        raise CheckpointError(msg)
    # A key newer than the state was at its default then.
    found = differences(default_table() | state["recipe"], expected["recipe"])
    if state["items"] != expected["items"]:
        found.append(f"items per step over all processes: {state['items']}, now {expected['items']}")
    if state["data"] != expected["data"]:
        found.append("the voxels of the training volumes")
    if found:
        msg = (
            f"{path} belongs to another run: {'; '.join(found)}. Restore these settings, or start a new run in "
            "another output folder with --init best.safetensors."
        )
        raise CheckpointError(msg)
    return state


def differences(saved: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the differences that make two recipes different runs, key by key, such as "seed: 0, now 1"."""
    found = []
    for key in sorted(saved.keys() | now.keys()):
        old, new = saved.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += [f"{key}.{text}" for text in differences(old, new)]
        elif key not in STEERABLE and old != new:
            found.append(f"{key}: {old}, now {new}")
    return found
