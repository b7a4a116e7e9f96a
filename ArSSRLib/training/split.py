"""Divide a data set by subject once, and write the split as a CSV file for recipes.

    python -m ArSSRLib.training.split FOLDER hcp1200.csv --pattern "*/T1w/T1w*restore.nii.gz" --counts 780 111 222

All volumes of a subject are in the same split. The same folder and seed result in the same split.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from ArSSRLib.errors import ArSSRError, InputError
from ArSSRLib.io.sources import SPLITS, subject_of


def _split_by_subject(folder: Path, pattern: str, counts: Sequence[int], seed: int) -> list[tuple[Path, str, str]]:
    """Return the path, split and subject of every volume in a folder whose subject was drawn.

    A file in a subfolder belongs to the subject with the name of the subfolder; a file directly in the folder, to the
    subject in its own name. ``counts`` are the numbers of subjects for training, validation and test.
    """
    by_subject: dict[str, list[Path]] = {}
    for path in sorted(folder.glob(pattern)):
        parts = path.relative_to(folder).parts
        by_subject.setdefault(parts[0] if len(parts) > 1 else subject_of(path), []).append(path)
    if len(by_subject) < sum(counts) or min(counts) < 0 or sum(counts) == 0:
        wanted = " + ".join(map(str, counts))
        msg = (
            f"{folder} has {len(by_subject)} subjects that match {pattern}, but {wanted} were requested; request "
            "fewer, or change the pattern."
        )
        raise InputError(msg)
    subjects = sorted(by_subject)
    random.Random(seed).shuffle(subjects)
    splits = [name for name, count in zip(SPLITS, counts, strict=True) for _ in range(count)]
    drawn = sorted(zip(subjects, splits, strict=False))
    return [(path, split, subject) for subject, split in drawn for path in by_subject[subject]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the CSV file; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("table", type=Path, help="the CSV file to write; paths in it are relative to its folder")
    parser.add_argument("--pattern", default="*.nii.gz", help="which files (default %(default)s)")
    parser.add_argument("--counts", type=int, nargs=3, required=True, metavar=("TRAIN", "VAL", "TEST"))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    try:
        rows = _split_by_subject(args.folder, args.pattern, args.counts, args.seed)
        with args.table.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["path", "split", "subject"])
            start = args.table.resolve().parent
            # Not Path.relative_to, which does not support "..".
            writer.writerows([os.path.relpath(path.resolve(), start), *rest] for path, *rest in rows)
    except (ArSSRError, OSError) as error:
        print(f"split: error: {error}", file=sys.stderr)
        return 2
    print(f"{args.table}: {len(rows)} volumes of {sum(args.counts)} subjects")
    return 0


if __name__ == "__main__":
    sys.exit(main())
