"""The action of ``arssr bids``: find the scans, have them upsampled, report every outcome."""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections import Counter
from pathlib import Path

from tqdm import tqdm

from ArSSRLib.checkpoint import DEFAULT_MODELS
from ArSSRLib.cohort.dataset import Found, Selection, find_scans, read_filter, share_of
from ArSSRLib.cohort.derivatives import prepare
from ArSSRLib.cohort.distribution import outcomes_of
from ArSSRLib.cohort.failures import forget, keep
from ArSSRLib.cohort.memory import share_of_worker
from ArSSRLib.cohort.places import Place
from ArSSRLib.cohort.processing import FAILED, Task, load
from ArSSRLib.cohort.report.command import DONE, SOME_FAILED, report, require_packages
from ArSSRLib.cohort.report.survey import survey
from ArSSRLib.cohort.validation import validate
from ArSSRLib.commands.arguments import options_of
from ArSSRLib.errors import ClusterError, InputError, printable
from ArSSRLib.upsampling import decided

logger = logging.getLogger(__name__)


def run(args: argparse.Namespace) -> int:
    """Upsample the scans of a data set, or report on their results.

    Returns:
        0, or 1 if a scan failed or a result is missing.

    Raises:
        ArSSRError: If the request as a whole cannot be fulfilled.
    """
    root, output = Path(args.bids_dir), Path(args.output_dir)
    if args.level == "participant" and not any((args.scale, args.spacing, args.size, args.isotropic)):
        msg = "The participant level needs a target resolution; add one of --isotropic, --scale, --spacing and --size."
        raise InputError(msg)
    place = Place(args.jobs, args.scheduler, args.cluster, dict(args.cluster_option))
    selection = Selection(
        tuple(label.removeprefix("sub-") for label in args.participant_label),
        tuple(label.removeprefix("ses-") for label in args.session_label),
        tuple(args.suffix),
        read_filter(args.bids_filter_file) if args.bids_filter_file else (),
    )
    found = find_scans(root, selection)
    if not args.skip_bids_validation:
        validate(root, selection)
    for path, reason in {**found.left, **found.empty}.items():
        print(printable(f"{path}: left out, because it {reason}"))
    for path, reason in found.unfetched.items():
        print(printable(f"error: {path}: {reason}"))
    if args.level == "group":
        return max(_report(found, root, output), SOME_FAILED if found.unfetched else DONE)
    options = options_of(args)
    if place.is_this_machine:
        decided(options)  # a missing device is one error, not one per scan
    load(args.model or DEFAULT_MODELS[options.quality])
    return _upsample(found, root, place, args)


def _upsample(found: Found, root: Path, place: Place, args: argparse.Namespace) -> int:
    """Upsample the scans of this share; a failure does not stop the others."""
    tasks = _tasks(found, root, args)
    share = share_of_worker(tasks, place)  # before anything is written, because it may refuse
    prepare(root, Path(args.output_dir), "arssr bids")
    by_path = {task.scan.path: task for task in tasks}
    forget(tasks)
    states: Counter[str] = Counter()
    code, started = DONE, time.monotonic()
    with tqdm(total=len(tasks), unit="scan", disable=None) as bar:
        try:
            for outcome in outcomes_of(tasks, place, share):
                states[outcome.state] += 1
                if outcome.state == FAILED:
                    keep(by_path[outcome.path], outcome)
                for text in outcome.warnings:
                    logger.warning("%s: %s", outcome.path, text)
                state = "error" if outcome.state == FAILED else outcome.state
                left = (time.monotonic() - started) * (len(tasks) / states.total() - 1)
                count = f"{states.total()} of {len(tasks)}, {tqdm.format_interval(left)} left"
                tqdm.write(printable(f"{state}: {outcome.message} ({outcome.seconds:.1f} s; {count})"))
                bar.update()
        except ClusterError as error:
            if not states:
                raise
            logger.error("%s", error)
            code = SOME_FAILED
    failed = states[FAILED]
    finished = states.total() - failed
    absent = f", and {len(found.unfetched)} folders were not fetched" if found.unfetched else ""
    print(f"{finished} of {len(tasks)} scans are finished, {failed} failed, {len(found.left)} left out{absent}")
    return SOME_FAILED if failed or found.unfetched else code


def _tasks(found: Found, root: Path, args: argparse.Namespace) -> list[Task]:
    how = {name: getattr(args, name) for name in ("scale", "spacing", "size", "isotropic", "force", "overwrite")}
    options = options_of(args)
    model = args.model or DEFAULT_MODELS[options.quality]
    model = str(Path(model).resolve()) if Path(model).is_file() else model
    folders = str(root.resolve()), str(Path(args.output_dir).resolve())
    return [Task(*folders, scan, how, model, options) for scan in share_of(found.scans, args.shard)]


def _report(found: Found, root: Path, output: Path) -> int:
    """Write the report once every scan has a result or has failed, and update the description of the folder.

    Until then, list the scans without a result.
    """
    if not output.is_dir():
        msg = f"{output}: does not exist; run the participant level first."
        raise InputError(msg)
    require_packages()
    items = survey(output, root, found, chosen=True)
    finished = sum(item.result is not None for item in items)
    failed = [item for item in items if item.failure]
    missing = [item for item in items if item.result is None and not (item.failure or item.left)]
    if missing:
        for item in failed:
            print(printable(f"{item.scan}: failed: {item.failure}"))
        for item in missing:
            print(printable(f"{item.scan}: has no result yet"))
        print(json.dumps({"finished": finished, "failed": len(failed), "missing": len(missing)}))
        return SOME_FAILED
    prepare(root, output, "arssr bids", renew=True)
    return report(items, output, output)
