"""The arguments of ``arssr report``; `command` is the action.

This file needs neither PyTorch nor numpy, so that its help is immediate.
"""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``arssr report``."""
    parser.set_defaults(action=("ArSSRLib.cohort.report.command", "run"))
    what = (
        "results folder of arssr bids, for one page per subject and an index; or a single result, file or DICOM series"
    )
    parser.add_argument("results", metavar="RESULTS", help=what)
    one = parser.add_argument_group("single result")
    one.add_argument("--source", metavar="SCAN", help="volume file or DICOM folder that the result was made from")
    one.add_argument("--series", metavar="UID", help="series of the scan, if its DICOM folder contains several")
    one.add_argument("--uncertainty", metavar="FILE", help="uncertainty of the result, if it was written")
    where = "page to write, or folder for the pages (default: beside the results)"
    parser.add_argument("--output", metavar="PATH", help=where)
