"""MkDocs hook: texts of the current program in the place of marks.

`<!-- arssr upsample --help -->` becomes the help text of that command, and `<!-- formats -->` a table of file formats.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from unittest import mock

from mkdocs.structure.pages import Page

from ArSSRLib.cli import main
from ArSSRLib.io.formats import FORMATS

_MARK = re.compile(r"^<!-- arssr ([\w -]*--help) -->$", flags=re.MULTILINE)
_FORMATS = "<!-- formats -->"
# Fields of the `FileHeader` in the words of users.
_KEPT = {
    "dtype": "voxel type",
    "scaled": "slope",
    "description": "description",
    "qform_code": "form codes",
    "sform_code": "form codes",
    "metadata": "display window",
}


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Put the texts in the place of their marks."""
    return _MARK.sub(lambda match: help_of(match[1].split()), markdown).replace(_FORMATS, table_of_formats())


def table_of_formats() -> str:
    """Return a table of the file formats."""
    rows = ["| format | read | written | larger than the memory | also stored |", "| --- | --- | --- | --- | --- |"]
    for known in FORMATS:
        read, written = (", ".join(f"`{suffix}`" for suffix in each) for each in (known.suffixes, known.written))
        kept = ", ".join(dict.fromkeys(words for name, words in _KEPT.items() if name in known.keeps))
        rows.append(f"| {known.name} | {read} | {written} | {'yes' if known.streamed else 'no'} | {kept} |")
    return "\n".join(rows)


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
