"""What ``arssr bids`` does: find the scans, have them upsampled, say what became of each."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tqdm import tqdm

from ArSSRLib.checkpoint import DEFAULT_MODELS
from ArSSRLib.cohort.dataset import Found, Selection, find_scans, read_filter, share_of
from ArSSRLib.cohort.derivatives import finished_sources, prepare
from ArSSRLib.cohort.processing import FAILED, Task, load, process
from ArSSRLib.commands.arguments import options_of
from ArSSRLib.errors import InputError, printable
from ArSSRLib.upsampling import decided

DONE, SOME_FAILED = 0, 1


def run(args: argparse.Namespace) -> int:
    """Upsample the scans of a data set, or check that all of them are.

    Returns:
        0, or 1 if a scan failed or a result is missing.

    Raises:
        ArSSRError: If the request as a whole cannot be met.
    """
    root, output = Path(args.bids_dir), Path(args.output_dir)
    found = find_scans(root, _selection(args))
    for path, reason in found.left.items():
        print(printable(f"{path}: left out, it {reason}"))
    if args.level == "group":
        return _check(found, output)
    options = decided(options_of(args))  # a missing device is one error, not one for each scan
    load(args.model or DEFAULT_MODELS[options.quality])
    prepare(root, output, "arssr bids")
    return _upsample(found, root, args)


def _selection(args: argparse.Namespace) -> Selection:
    return Selection(
        tuple(label.removeprefix("sub-") for label in args.participant_label),
        tuple(label.removeprefix("ses-") for label in args.session_label),
        tuple(args.suffix),
        read_filter(args.bids_filter_file) if args.bids_filter_file else (),
    )


def _upsample(found: Found, root: Path, args: argparse.Namespace) -> int:
    """Upsample the scans of this share; a bad one never stops the others."""
    how = {name: getattr(args, name) for name in ("scale", "spacing", "size", "isotropic", "force", "overwrite")}
    options = options_of(args)
    model = args.model or DEFAULT_MODELS[options.quality]
    scans = share_of(found.scans, args.shard)
    failed = 0
    for scan in tqdm(scans, unit="scan", disable=None):
        outcome = process(Task(str(root.resolve()), str(Path(args.output_dir).resolve()), scan, how, model, options))
        failed += outcome.state == FAILED
        words = f"error: {outcome.message}" if outcome.state == FAILED else f"{outcome.state}: {outcome.message}"
        tqdm.write(printable(f"{words} ({outcome.seconds:.1f} s)"))
    print(f"{len(scans) - failed} of {len(scans)} scans are finished, {failed} failed, {len(found.left)} left out")
    return SOME_FAILED if failed else DONE


def _check(found: Found, output: Path) -> int:
    """Say which scans have no result yet."""
    if not output.is_dir():
        msg = f"{output}: does not exist; run the level participant first."
        raise InputError(msg)
    finished = finished_sources(output)
    missing = [scan.path for scan in found.scans if scan.path not in finished]
    for path in missing:
        print(printable(f"{path}: has no result yet"))
    print(json.dumps({"finished": len(found.scans) - len(missing), "missing": len(missing)}))
    return SOME_FAILED if missing else DONE
