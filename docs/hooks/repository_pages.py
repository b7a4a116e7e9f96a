"""MkDocs hook: files outside docs/ become pages, every link works in both places, and short values are not broken.

A page is written for the repository: its links are relative to the file that they stand in. In the site, docs/ is the
root and the listed files (`extra.repository_pages` in mkdocs.yml) keep their path; README.md is the front page. Links
to files that are not part of the site lead to the repository. Badges are left out: they come from other machines.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
# The target of a Markdown link or picture, without its title; code spans with brackets before a parenthesis are rare
# enough that none is in these pages.
_LINK = re.compile(r"(?<=\]\()([^)\s#]+)(#[^)\s]*)?(?=[)\s])")
_BADGE = re.compile(r"^\[!\[[^\]]*\]\(https?://.*\n", flags=re.MULTILINE)
_FENCE = re.compile(r"^(```.*?^```)", flags=re.DOTALL | re.MULTILINE)
# What a browser would break at a hyphen or a blank: options in the text, and values in cells of tables.
_UNBROKEN = re.compile(r"<(code|td)>(?=(?:(?<=<code>)--?[\w-]{1,30}</code>)|(?:(?<=<td>)[-+≈]? ?\d[^<]{0,15}</td>))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the listed files of the repository, pages and pictures alike, under the path that they have there."""
    for pattern in config.extra["repository_pages"]:
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, _in_site(name), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point every relative link of a page to where its target lies in the site, or to the repository."""
    site = {file.src_uri for file in files}
    source = PurePosixPath(_in_repository(page.file.src_uri))

    def moved(match: re.Match[str]) -> str:
        """Return the target of one link as it is called in the site."""
        target, anchor = match[1], match[2] or ""
        if ":" in target:
            return match[0]
        path = os.path.normpath(source.parent / target).replace(os.sep, "/")
        in_site = _in_site(path)
        if in_site in site:
            return os.path.relpath(in_site, PurePosixPath(page.file.src_uri).parent).replace(os.sep, "/") + anchor
        if (ROOT / path).exists():
            return config.extra["repository"] + path + anchor
        return match[0]  # MkDocs reports it

    parts = _FENCE.split(_BADGE.sub("", markdown))
    parts[::2] = [_LINK.sub(moved, text) for text in parts[::2]]
    return "".join(parts)


def on_page_content(html: str, **_: object) -> str:
    """Mark the elements whose content stays on one line, for the style sheet."""
    return _UNBROKEN.sub(r"<\1 data-unbroken>", html)


def _in_site(path: str) -> str:
    """Return what a file of the repository is called in the site."""
    return "index.md" if path == "README.md" else path.removeprefix("docs/")


def _in_repository(uri: str) -> str:
    """Return the path in the repository of a page of the site."""
    if uri == "index.md":
        return "README.md"
    return uri if (ROOT / uri).is_file() else f"docs/{uri}"
