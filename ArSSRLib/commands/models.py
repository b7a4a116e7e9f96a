"""``arssr models`` and ``arssr convert-checkpoint``: what weights there are, and foreign ones made ours."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ArSSRLib.checkpoint import DEFAULT_MODEL, RegistryEntry, convert_checkpoint, registry, verify
from ArSSRLib.errors import CheckpointError, InputError


def run(args: argparse.Namespace) -> int:
    """List the bundled models, show the card of one, or verify their checksums.

    Returns:
        0, or 1 if a checksum is wrong.

    Raises:
        InputError: If there is no model of that name, or a name is missing.
        CheckpointError: If the installation is damaged.
    """
    entries = registry()
    if args.task == "list":
        if args.name is not None:
            msg = f'"arssr models list" takes no name; to see the card: arssr models show {args.name}'
            raise InputError(msg)
        _list(entries)
        return 0
    if args.task == "show":
        if args.name is None:
            msg = f"Which model? For example: arssr models show {DEFAULT_MODEL}"
            raise InputError(msg)
        print(_named(entries, args.name).card_text().rstrip())
        return 0
    return _verify(entries if args.name is None else [_named(entries, args.name)])


def convert(args: argparse.Namespace) -> int:
    """Convert a checkpoint of the published code.

    Raises:
        ArSSRError: If the source cannot be used or the target cannot be written.
    """
    target = convert_checkpoint(Path(args.source), Path(args.target), overwrite=args.overwrite)
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB; use it with --model {target}")
    return 0


def _list(entries: Sequence[RegistryEntry]) -> None:
    width = max((len(entry.name) for entry in entries), default=0)
    for entry in entries:
        least, largest = entry.trained_scales
        default = " (default)" if entry.name == DEFAULT_MODEL else ""
        print(
            f"{entry.name:<{width}}  {entry.title}{default}; {entry.contrast}, scales {least:g} to {largest:g} "
            f"(one axis to {entry.trained_thick_scale:g}), "
            f"{entry.license}"
        )


def _verify(entries: Sequence[RegistryEntry]) -> int:
    wrong = 0
    for entry in entries:
        try:
            print(f"{entry.name}: {verify(entry)} is what was published, SHA-256 {entry.sha256}")
        except CheckpointError as error:
            print(f"arssr: error: {error}", file=sys.stderr)
            wrong += 1
    return 1 if wrong else 0


def _named(entries: Sequence[RegistryEntry], name: str) -> RegistryEntry:
    for entry in entries:
        if entry.name == name:
            return entry
    msg = f'There is no model "{name}"; the models are {", ".join(entry.name for entry in entries)}.'
    raise InputError(msg)
