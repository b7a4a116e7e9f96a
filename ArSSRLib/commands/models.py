"""``arssr models`` and ``arssr convert-checkpoint``: listing, importing and converting weights."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ArSSRLib.checkpoint import (
    DEFAULT_MODEL,
    RegistryEntry,
    convert_checkpoint,
    import_model,
    imported_models,
    registry,
    remove_model,
    verify,
)
from ArSSRLib.errors import CheckpointError, InputError, printable


def run(args: argparse.Namespace) -> int:
    """List the models, show a card, verify checksums, or import or remove a model.

    Returns:
        0, or 1 if a checksum is wrong.

    Raises:
        InputError: If there is no model of that name, or a name is missing or not expected.
        ArSSRError: If a model cannot be imported or removed, or the installation is damaged.
    """
    _check_operand(args)
    if args.task == "import":
        entry = import_model(Path(args.name), name=args.alias)
        print(f"{entry.path}: imported; use it with --model {entry.name}")
        return 0
    if args.task == "remove":
        print(f"{remove_model(args.name)}: removed")
        return 0
    entries = [*registry(), *imported_models()]
    if args.task == "list":
        _list(entries)
    elif args.task == "show":
        print(_named(entries, args.name).card_text().rstrip())
    else:
        present = [entry for entry in entries if not entry.imported or entry.path.exists()]
        return _verify(present if args.name is None else [_named(entries, args.name)])
    return 0


def convert(args: argparse.Namespace) -> int:
    """Convert a checkpoint of the published code.

    Raises:
        ArSSRError: If the source is not usable or the target cannot be written.
    """
    target = convert_checkpoint(Path(args.source), Path(args.target), overwrite=args.overwrite)
    print(
        f"{printable(str(target))}: {target.stat().st_size / 1e6:.1f} MB; use it with --model {printable(str(target))}"
    )
    return 0


def _check_operand(args: argparse.Namespace) -> None:
    if args.task == "list" and args.name is not None:
        msg = f'"arssr models list" takes no name; to see the model card, run "arssr models show {args.name}".'
        raise InputError(msg)
    if args.task in ("show", "import", "remove") and args.name is None:
        what, example = ("file", "weights.safetensors") if args.task == "import" else ("model", DEFAULT_MODEL)
        msg = f'"arssr models {args.task}" needs a {what}, for example "arssr models {args.task} {example}".'
        raise InputError(msg)
    if args.alias is not None and args.task != "import":
        msg = f'--as names an imported model, but "arssr models {args.task}" imports none; omit it.'
        raise InputError(msg)


def _list(entries: Sequence[RegistryEntry]) -> None:
    width = max((len(entry.name) for entry in entries), default=0)
    for entry in entries:
        least, largest = entry.trained_scales
        default = " (default)" if entry.name == DEFAULT_MODEL else ""
        line = (
            f"{entry.name:<{width}}  {entry.title}{default}; {entry.contrast}, scales {least:g} to {largest:g} "
            f"(one axis to {entry.trained_thick_scale:g}), {entry.license}"
        )
        print(printable(line))


def _verify(entries: Sequence[RegistryEntry]) -> int:
    wrong = 0
    for entry in entries:
        try:
            print(f"{entry.name}: {verify(entry)} matches its checksum, SHA-256 {entry.sha256}")
        except CheckpointError as error:
            print(f"arssr: error: {error}", file=sys.stderr)
            wrong += 1
    return 1 if wrong else 0


def _named(entries: Sequence[RegistryEntry], name: str) -> RegistryEntry:
    for entry in entries:
        if entry.name == name:
            return entry
    msg = f'There is no model "{name}"; choose one of {", ".join(entry.name for entry in entries)}.'
    raise InputError(msg)
