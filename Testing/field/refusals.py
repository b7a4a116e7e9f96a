"""Provokes every refusal and every warning, and writes the page that lists the messages.

``python Testing/field/refusals.py > docs/reference/refusals.md`` updates the page; a test runs the same cases. The
cases are defined in `refused_volumes`, `refused_requests`, `refused_recipes` and `warned`.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":  # as pytest does
    ROOT = Path(__file__).resolve().parents[2]
    sys.path[:0] = [str(ROOT), str(ROOT / "Testing")]

from field import refused_makers, refused_requests, refused_volumes, warned
from field.refused_volumes import Case

from ArSSRLib.cli import main
from ArSSRLib.worker import run
from ArSSRLib.worker.cancellation import Cancellation
from ArSSRLib.worker.events import Events

HEAD = """# Refusals and warnings

What ArSSR cannot read, write or do, and what it warns about. Each row was tried, and shows the exact message. A refusal
is one line on standard error with exit code 2, and leaves nothing behind. `FOLDER` stands for the folder of the files.
The panel in Slicer shows the same messages.

```console
$ python Testing/field/refusals.py > docs/reference/refusals.md  # in a checkout: try all again
```
"""
GROUPS = (("arssr info and arssr upsample", refused_volumes.CASES), *refused_requests.GROUPS)
WARNINGS = "Warnings"
WARNED = "\nThe result is written nevertheless, and the exit code is 0.\n"


class Tried(NamedTuple):
    """Outcome of a case: the exit code, the lines on standard error without the folder, and the files left behind."""

    code: int
    lines: list[str]
    left: list[str]


def refusal(case: Case, folder: Path, *more: str) -> Tried:
    """Run a case.

    Args:
        case: The command and its files.
        folder: An empty folder for it.
        more: Arguments for `arssr upsample`, unless the case names a model.
    """
    before_models = os.environ.get("ARSSR_MODELS_FOLDER")
    os.environ["ARSSR_MODELS_FOLDER"] = str(folder / "models")
    try:
        arguments = case(folder)
        before = set(folder.rglob("*"))
        added = more if arguments[0] == "upsample" and "--model" not in arguments else ()
        code, said = _called([*arguments, *added])
    finally:
        if before_models is None:
            del os.environ["ARSSR_MODELS_FOLDER"]
        else:
            os.environ["ARSSR_MODELS_FOLDER"] = before_models
    left = sorted(path.name for path in set(folder.rglob("*")) - before)
    lines = said.replace(f"{folder}/", "FOLDER/").replace(str(folder), "FOLDER").strip().splitlines()
    return Tried(code, lines, left if code else [])


def message_of(lines: list[str]) -> str:
    """Return the message of a refusal, or of the first warning."""
    warnings = [line for line in lines if line.startswith("arssr: warning: ")]
    line = lines[-1] if lines and lines[-1].startswith("arssr: error: ") else (warnings or lines or [""])[0]
    return line.removeprefix("arssr: error: ").removeprefix("arssr: warning: ")


def _called(arguments: list[str]) -> tuple[int, str]:
    if arguments[0] == "worker":
        return _worker(arguments[1:])
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            code = main(arguments)
        except SystemExit as error:  # argparse
            code = int(error.code or 0)
    return code, said.getvalue()


def _worker(arguments: list[str]) -> tuple[int, str]:
    with tempfile.TemporaryFile() as output:
        events = Events(output.fileno())
        code = run(arguments, events, Cancellation(events))
        output.seek(0)
        last = json.loads(output.read().splitlines()[-1])
    return code, f"arssr: error: {last.get('message', '')}"


def page() -> str:
    """Return the page, and print unexpected outcomes."""
    parts = [HEAD]
    for title, cases in (*GROUPS, (WARNINGS, warned.CASES)):
        parts.append(f"\n## {title}\n")
        parts.append(WARNED if title == WARNINGS else "")
        parts.append("\n| tried | message |\n| --- | --- |\n")
        for name, case in cases.items():
            with tempfile.TemporaryDirectory() as folder:
                code, lines, left = refusal(case, Path(folder), "--model", str(refused_makers.tiny()(Path(folder))))
            if left or code != (0 if title == WARNINGS else 2):
                print(f"{name}: exit code {code}, left behind: {left}; {lines}", file=sys.stderr)
            parts.append(f"| {name} | {message_of(lines).replace('|', chr(92) + '|')} |\n")
    return "".join(parts)


if __name__ == "__main__":
    print(page(), end="")
