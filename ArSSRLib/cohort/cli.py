"""The arguments of ``arssr bids``, with the names that BIDS Apps have in common.

This file needs neither PyTorch nor numpy, so that ``arssr bids --help`` is immediate; `command` is the action.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ArSSRLib.cohort.dataset import SUFFIXES
from ArSSRLib.commands.arguments import add_target, named

CLUSTERS = ("slurm", "pbs", "lsf", "sge")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``arssr bids``, with the names that BIDS Apps have in common."""
    parser.set_defaults(action=("ArSSRLib.cohort.command", "run"))
    root = "root of a BIDS data set; its scans are never changed"
    parser.add_argument("bids_dir", metavar="BIDS_DIR", type=named, help=root)
    parser.add_argument("output_dir", metavar="OUTPUT_DIR", type=named, help="folder to write the derivatives to")
    level = "participant: upsample scans; group: check that all results exist, and write the report"
    parser.add_argument("level", choices=("participant", "group"), help=level)
    chosen = parser.add_argument_group("selection of scans")
    for name, prefix in (("participant", "sub-"), ("session", "ses-")):
        labels = f"{name}s, without {prefix} (default: all)"
        chosen.add_argument(f"--{name}-label", nargs="+", default=[], metavar="LABEL", help=labels)
    kinds = f"suffixes of the scans (default: {' '.join(SUFFIXES)})"
    chosen.add_argument("--suffix", nargs="+", default=list(SUFFIXES), metavar="SUFFIX", help=kinds)
    filters = "file with filters of BIDS entities, as for fMRIPrep"
    chosen.add_argument("--bids-filter-file", type=Path, metavar="JSON", help=filters)
    invalid = "do not check the data set first; the check uses the official validator if it is installed"
    chosen.add_argument("--skip-bids-validation", action="store_true", help=invalid)
    share = "process only share K of N, such as 3/40; for array jobs"
    chosen.add_argument("--shard", type=_share, default=(1, 1), metavar="K/N", help=share)
    add_target(parser, required=False)  # the group level does not upsample
    files = parser.add_argument_group("input and output")
    files.add_argument("--force", action="store_true", help="upsample a scan even if it looks like a label map")
    replaced = "replace results that were made from another input, model or options"
    files.add_argument("--overwrite", action="store_true", help=replaced)
    spread = "also write the standard deviation over the mirror images; needs --quality best"
    files.add_argument("--uncertainty", action="store_true", default=None, help=spread)
    _add_place(parser.add_argument_group("distribution of the work (needs the extra cluster)"))


def _add_place(group: argparse._ArgumentGroup) -> None:
    jobs = "number of processes on this machine, or of jobs with --cluster (default: 1)"
    group.add_argument("--jobs", type=_count, default=1, metavar="N", help=jobs)
    group.add_argument("--scheduler", default="", metavar="ADDRESS", help="use the workers of this Dask scheduler")
    queue = "submit jobs to this kind of queue with dask-jobqueue"
    group.add_argument("--cluster", choices=CLUSTERS, default="", help=queue)
    setting = "setting of dask-jobqueue, such as queue=long or walltime=08:00:00; can be repeated"
    group.add_argument(
        "--cluster-option", type=_setting, action="append", default=[], metavar="KEY=VALUE", help=setting
    )


def _count(text: str) -> int:
    """Parse a number of processes or jobs."""
    if not (text.isdecimal() and int(text) >= 1):
        msg = f'expected a whole number of at least 1, got "{text}"'
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _setting(text: str) -> tuple[str, object]:
    """Parse a setting, such as queue=long; the value may be JSON, such as a list."""
    name, equals, value = text.partition("=")
    if not (name.isidentifier() and equals):
        msg = f'expected a setting as KEY=VALUE, such as queue=long, got "{text}"'
        raise argparse.ArgumentTypeError(msg)
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _share(text: str) -> tuple[int, int]:
    """Parse a share of the work, such as 3/40."""
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        msg = f'expected a share as K/N with K from 1 to N, such as 3/40, got "{text}"'
        raise argparse.ArgumentTypeError(msg)
    return int(number), int(count)
