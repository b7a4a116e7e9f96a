"""The arguments of ``arssr bids``, with the names that BIDS Apps have in common.

Kept free of PyTorch and numpy, so that ``arssr bids --help`` is immediate; what is done with them is in `command`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ArSSRLib.cohort.dataset import SUFFIXES
from ArSSRLib.commands.arguments import add_target


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``arssr bids``, with the names that BIDS Apps have in common."""
    parser.set_defaults(action=("ArSSRLib.cohort.command", "run"))
    parser.add_argument("bids_dir", metavar="BIDS_DIR", help="root of a BIDS data set; nothing is written there")
    parser.add_argument("output_dir", metavar="OUTPUT_DIR", help="folder of the derivatives")
    level = "participant: upsample; group: check that every result is there"
    parser.add_argument("level", choices=("participant", "group"), help=level)
    chosen = parser.add_argument_group("choice of scans")
    chosen.add_argument("--participant-label", nargs="+", default=[], metavar="LABEL", help="without sub-")
    chosen.add_argument("--session-label", nargs="+", default=[], metavar="LABEL", help="without ses-")
    kinds = f"kinds of scans (default: {' '.join(SUFFIXES)})"
    chosen.add_argument("--suffix", nargs="+", default=list(SUFFIXES), metavar="SUFFIX", help=kinds)
    chosen.add_argument("--bids-filter-file", type=Path, metavar="JSON", help="queries of entities, as for fMRIPrep")
    share = "only share K of N, such as 3/40: for array jobs, which need no coordinator"
    chosen.add_argument("--shard", type=_share, default=(1, 1), metavar="K/N", help=share)
    add_target(parser)
    files = parser.add_argument_group("input and output")
    files.add_argument("--force", action="store_true", help="upsample even what looks like a label map")
    files.add_argument("--overwrite", action="store_true", help="replace results of other inputs, models or options")


def _share(text: str) -> tuple[int, int]:
    """Parse a share of the work, such as 3/40."""
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        msg = f'give a share as K/N with K from 1 to N, such as 3/40, not "{text}"'
        raise argparse.ArgumentTypeError(msg)
    return int(number), int(count)
