"""MkDocs hook: a line `<!-- arssr upsample --help -->` becomes the help text of that command, as it is today."""

from __future__ import annotations

import contextlib
import io
import os
import re
from unittest import mock

from mkdocs.structure.pages import Page

from ArSSRLib.cli import main

_MARK = re.compile(r"^<!-- arssr ([\w -]*--help) -->$", flags=re.MULTILINE)


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Put the help texts in the place of their marks."""
    return _MARK.sub(lambda match: help_of(match[1].split()), markdown)


def help_of(arguments: list[str]) -> str:
    """Return what a command prints, 100 columns wide, as a block of text."""
    printed = io.StringIO()
    with (
        mock.patch.dict(os.environ, COLUMNS="100"),
        contextlib.redirect_stdout(printed),
        contextlib.suppress(SystemExit),
    ):
        main(arguments)
    return f"```text\n{printed.getvalue().rstrip()}\n```"
