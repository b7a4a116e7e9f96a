"""Progress of a command: a bar for people, JSON lines for programs, or nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ArSSRLib.errors import printable

BAR_FORMAT = "{desc} {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left"


class Reporter:
    """Reports the work on one volume after another.

    Args:
        mode: "auto" draws a bar if stderr is a terminal; "json" prints one object per line on stdout, each with a
            "stage": read, upsample (with "fraction"), write, draw, done (with "output" and its properties), or failed
            (with "message"); "none" prints only the final line of each volume.
    """

    def __init__(self, mode: str) -> None:
        self._json = mode == "json"
        self._draws = mode == "auto" and sys.stderr is not None and sys.stderr.isatty()
        self._bar: tqdm[Any] | None = None
        self._source = ""

    def stage(self, name: str, source: str) -> None:
        """Start a stage of the work on the volume ``source``."""
        self._source = source
        self._say(stage=name, input=source)

    def fraction(self, value: float) -> None:
        """Update the finished fraction of the upsampling, in [0, 1]."""
        self._say(stage="upsample", input=self._source, fraction=round(value, 4))
        if self._draws:
            if self._bar is None:
                # disable=None would query the terminal again, which was done above.
                name = printable(Path(self._source).name)
                self._bar = tqdm(
                    total=100, desc=name, bar_format=BAR_FORMAT, leave=False, mininterval=0, file=sys.stderr
                )
            self._bar.update(100 * value - self._bar.n)

    def done(self, result: Mapping[str, Any], line: str) -> None:
        """Report a volume that was written, as data or as a line of text."""
        self.close()
        self._say(stage="done", input=self._source, **result)
        if not self._json:
            print(printable(line), flush=True)

    def failed(self, source: str, message: str) -> None:
        """Report a volume that could not be upsampled."""
        self.close()
        self._say(stage="failed", input=source, message=message)
        print(f"arssr: error: {printable(message)}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Remove the bar from the terminal."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _say(self, **fields: Any) -> None:  # noqa: ANN401  whatever JSON can hold
        if self._json:
            print(json.dumps(fields), flush=True)
