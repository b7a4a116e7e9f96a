"""The arguments of ``arssr report``; what is done with them is in `command`.

Kept free of PyTorch and numpy, so that its help is immediate.
"""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``arssr report``."""
    parser.set_defaults(action=("ArSSRLib.cohort.report.command", "run"))
    what = (
        "folder of results of arssr bids, for a page per subject and an index; or one result, a file or a DICOM series"
    )
    parser.add_argument("results", metavar="RESULTS", help=what)
    one = parser.add_argument_group("one result")
    one.add_argument(
        "--source", metavar="SCAN", help="volume or folder of a DICOM series that the result was made from"
    )
    one.add_argument("--series", metavar="UID", help="series of the scan, where its folder holds several DICOM series")
    one.add_argument("--uncertainty", metavar="FILE", help="its uncertainty, if it was written")
    where = "page to write, or folder of the pages (default: beside the results)"
    parser.add_argument("--output", metavar="PATH", help=where)
