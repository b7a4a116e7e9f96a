"""Counts the lines of the engine and the module, and the lines that each topic has added since a revision.

``python Testing/supply/lines.py`` prints, per room, the lines of Python at the revision and now (comments, docstrings
and blank lines count), and splits the difference by commit. Each commit counts as a whole, additions minus deletions:
STYLE, COMP and DOC, those in `HOUSE`, and uncommitted changes count as restructuring; all others count as new features
and fixes. The current lines minus the new features and fixes are the size of the old part: the engine, panel, training
and evaluation of that revision after restructuring.
"""

from __future__ import annotations

import argparse
import subprocess
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("ArSSR", "ArSSRLib")
BASE = "5223af8"
HOUSE_PREFIXES = ("STYLE", "COMP", "DOC")
# Commits of other prefixes that moved, renamed or generalized what was there.
HOUSE = ("fbef629", "fb18446", "c7c4df5", "9c4f441", "1dae4a3", "d0fa6f0", "dd50b7b", "ef8e15c")
# Prefixes of the largest commits of each topic; all others are "fixes and the rest".
TOPICS = {
    "slice profile, consistency, quality, uncertainty": (
        "84b94c0 789ca2d 9cfc37c 708100a 8cbe85d 7986780 924e88d e09fa19"
    ),
    "even slices": "11edac8 641ed84",
    "training: packed volumes, batches on the device": "d524407 96024a5 c252a3c 86acc23",
    "choice of the fastest path on a GPU": "e6579ce",
    "robust reading, padding, phase": "ba14b09 cbeb3e0 6c6c2db 10ae30a c7657a6 4d5b19f",
    "cohort and report": (
        "0429016 4a60ade 0592edd 4485bf8 3e2bcf2 48a094e f28ca90 10783ed eb29973 ba1c739 0cffc10 347d830"
    ),
    "comparison, lens and preview": "f85ade8 b3dba08 96dd2cc c75744d e0331d2 aec61ea e98d205 c94b7ca",
    "panel: new choices, estimates, reader": "fd0b3de a22ea0a 9c00f28 fddbf11",
}


def git(*arguments: str) -> str:
    """Return the output of a git command."""
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def room_of(path: str) -> str:
    """Return the folder of a file, or the package itself for the single files in it."""
    return path.rsplit("/", 1)[0]


def lines_at(revision: str) -> Counter[str]:
    """Return the lines of Python per room at a revision."""
    rooms: Counter[str] = Counter()
    for entry in git("grep", "-c", "", revision, "--", *(f"{folder}/*.py" for folder in FOLDERS)).splitlines():
        path, count = entry.removeprefix(f"{revision}:").rsplit(":", 1)
        rooms[room_of(path)] += int(count)
    return rooms


def lines_now() -> Counter[str]:
    """Return the lines of Python per room in the working tree."""
    rooms: Counter[str] = Counter()
    for path in (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")):
        rooms[room_of(path.relative_to(ROOT).as_posix())] += path.read_text(encoding="utf-8").count("\n")
    return rooms


def topic_of(commit: str, subject: str) -> str:
    """Return the topic of a commit with new features or fixes, or an empty string for restructuring."""
    if subject.startswith(HOUSE_PREFIXES) or commit.startswith(HOUSE):
        return ""
    named = (topic for topic, commits in TOPICS.items() if commit.startswith(tuple(commits.split())))
    return next(named, "fixes and the rest")


def other_work(base: str) -> tuple[Counter[str], Counter[str]]:
    """Return the net lines that new features and fixes have added since a revision, per room and per topic."""
    rooms: Counter[str] = Counter()
    topics: Counter[str] = Counter()
    topic = ""
    log = git("log", "--no-renames", "--numstat", "--format=%h\t%s", f"{base}..HEAD", "--", *FOLDERS)
    for line in log.splitlines():
        match line.split("\t"):
            case [added, deleted, path] if added.isdigit():
                if topic and path.endswith(".py"):
                    rooms[room_of(path)] += int(added) - int(deleted)
                    topics[topic] += int(added) - int(deleted)
            case [commit, subject]:
                topic = topic_of(commit, subject)
    return rooms, topics


def main() -> None:
    """Print the two tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("base", nargs="?", default=BASE, help="revision to compare with")
    base = parser.parse_args().base
    before, now, (other, topics) = lines_at(base), lines_now(), other_work(base)
    print(f"{'room':<32}{'before':>8}{'now':>8}{'other work':>12}{'old part':>10}")
    for room in sorted({*before, *now}):
        print(f"{room:<32}{before[room]:>8}{now[room]:>8}{other[room]:>12}{now[room] - other[room]:>10}")
    old = now.total() - other.total()
    print(f"{'all':<32}{before.total():>8}{now.total():>8}{other.total():>12}{old:>10}\n")
    for topic, lines in topics.most_common():
        print(f"{lines:>7}  {topic}")
    print(f"The old part has {old / before.total() - 1:+.1%} lines.")


if __name__ == "__main__":
    main()
