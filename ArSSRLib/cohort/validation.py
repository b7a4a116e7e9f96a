"""Validation of the names and descriptions in a data set: by the official BIDS validator if it is installed.

Otherwise, the names of scans are checked here, so that a misspelled scan is reported, not silently left out.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ArSSRLib.cohort.dataset import Selection
from ArSSRLib.errors import InputError, printable

# The official validator from PyPI, and from other sources.
PROGRAMS = ("bids-validator-deno", "bids-validator")
# Errors of a single scan: it is reported when it is processed, and the others are upsampled.
OF_ONE_SCAN = {"EMPTY_FILE", "NIFTI_HEADER_UNREADABLE"}
_NAME = re.compile(r"(sub-[a-zA-Z0-9]+)(?:_(ses-[a-zA-Z0-9]+))?(?:_[a-z]+-[a-zA-Z0-9+]+)*_([a-zA-Z0-9]+)\.nii(?:\.gz)?")
# Number of errors that are reported in full.
_SHOWN = 3

logger = logging.getLogger(__name__)


def validate(root: Path, selection: Selection) -> None:
    """Validate a data set; warn about scans whose names are not valid in BIDS.

    Raises:
        InputError: If the official validator finds errors.
    """
    program = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
    if program is not None:
        _ask(program, root)
        return
    for path in _misnamed(root, selection):
        logger.warning(
            "%s: does not follow the naming rules of BIDS and is skipped; rename it, or add --skip-bids-validation.",
            printable(path),
        )


def _ask(program: str, root: Path) -> None:
    """Refuse what the official validator refuses, except for unreadable scans."""
    command = [program, str(root), "--json", "--ignoreNiftiHeaders", "--ignoreWarnings"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, encoding="utf-8")
    try:
        issues: list[dict[str, Any]] = json.loads(answer.stdout)["issues"]["issues"]
        errors = [issue for issue in issues if issue["severity"] == "error" and issue["code"] not in OF_ONE_SCAN]
    except (ValueError, KeyError, TypeError):
        logger.warning(
            "%s gave no readable result (exit code %d), so the data set was not validated; run it by itself to see "
            "why.",
            program,
            answer.returncode,
        )
        return
    if errors:
        shown = "; ".join(f"{issue['code']} at {issue.get('location', '/')}" for issue in errors[:_SHOWN])
        more = f"; and {len(errors) - _SHOWN} more" if len(errors) > _SHOWN else ""
        msg = (
            f"{root}: {Path(program).name} reports errors: {shown}{more}. Correct them, list them in .bidsignore, or "
            "add --skip-bids-validation."
        )
        raise InputError(msg)


def _misnamed(root: Path, selection: Selection) -> Iterator[str]:
    """Yield the NIfTI files of anatomy folders with names that are not valid in BIDS, relative to the root."""
    suffixes = {suffix.lower(): suffix for suffix in selection.suffixes}
    subjects = [f"sub-{label}" for label in selection.participants] or ["sub-*"]
    for subject in subjects:
        for path in sorted(root.glob(f"{subject}/**/anat/*.nii*")):
            parts = path.relative_to(root).parts
            match = _NAME.fullmatch(path.name)
            session = parts[1] if len(parts) == 4 else None
            fits = match is not None and (match[1], match[2]) == (parts[0], session)
            if not fits or (match and suffixes.get(match[3].lower(), match[3]) != match[3]):
                yield "/".join(parts)
