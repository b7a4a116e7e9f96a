"""The pages of docs/ build without warnings, load nothing from other machines, and have pictures or commands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path

import pytest

from ArSSRLib.io.formats import FORMATS

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
# Elements that a browser loads by itself, and the attribute with the address; links (`a`) wait for a click.
LOADED = {
    "audio": "src",
    "embed": "src",
    "iframe": "src",
    "image": "href",
    "img": "src",
    "link": "href",
    "object": "data",
    "script": "src",
    "source": "src",
    "video": "src",
}
# A <link> that names a page instead of loading a file.
NAMING = {"canonical", "prev", "next", "alternate"}


class LoadedAddresses(HTMLParser):
    """Collects the addresses that a page makes a browser load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        fields = dict(attrs)
        if tag == "link" and set((fields.get("rel") or "").split()) & NAMING:
            return
        if address := fields.get(LOADED.get(tag, "")):
            self.found.append(address)


def loaded_by(html: str) -> list[str]:
    parser = LoadedAddresses()
    parser.feed(html)
    return parser.found


def is_elsewhere(address: str) -> bool:
    return "//" in address.split("?", maxsplit=1)[0] and not address.startswith("data:")


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The built pages; a warning is an error."""
    if missing := [name for name in ("mkdocs", "material", "mkdocstrings") if find_spec(name) is None]:
        pytest.skip(f"not installed: {', '.join(missing)} (pip install -e '.[docs]')")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


def test_every_page_of_docs_is_built(site):
    built = {path.relative_to(site).as_posix() for path in site.rglob("index.html")}

    for page in PAGES:
        name = page.relative_to(ROOT / "docs").with_suffix("").as_posix().removesuffix("index").strip("/")
        assert f"{name}/index.html" in built, page


def test_every_file_format_is_listed(site):
    page = (site / "reference" / "command-line" / "index.html").read_text(encoding="utf-8")
    rows = [re.sub(r"<[^>]+>", " ", row) for row in re.findall(r"<tr>.*?</tr>", page, flags=re.DOTALL)]

    for known in FORMATS:
        row = next(row for row in rows if row.split()[:1] == [known.name])
        assert set(known.suffixes) <= set(re.findall(r"\.[\w.]+", row))
        assert ("description" in row) == ("description" in known.keeps)


def test_no_page_loads_anything_from_another_machine(site):
    pages = sorted(site.rglob("*.html"))

    assert len(pages) > len(PAGES)
    elsewhere = {(page.name, a) for page in pages for a in loaded_by(page.read_text("utf-8")) if is_elsewhere(a)}
    assert elsewhere == set()


def test_no_style_sheet_loads_anything_from_another_machine(site):
    sheets = sorted(site.rglob("*.css"))

    assert len(sheets) >= 3
    for sheet in sheets:
        addresses = re.findall(r"""(?:url\(|@import\s+)["']?([^"')\s;]+)""", sheet.read_text("utf-8"))
        assert [address for address in addresses if is_elsewhere(address)] == [], sheet.name


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://example.org/a.js"></script>',
        '<link rel="stylesheet" href="//example.org/a.css">',
        '<p><img alt="" src="http://example.org/a.png"></p>',
    ],
)
def test_an_external_address_is_detected(html):
    assert [is_elsewhere(address) for address in loaded_by(html)] == [True]


def test_pictures_of_the_repository_are_shown(site):
    tutorial = (site / "tutorial" / "index.html").read_text("utf-8")
    pictures = [address for address in loaded_by(tutorial) if address.endswith(".png") and "Screenshots" in address]

    assert len(pictures) >= 4
    assert [address for address in pictures if not (site / "tutorial" / address).is_file()] == []


def test_the_help_of_every_command_is_shown(site):
    text = (site / "reference" / "command-line" / "index.html").read_text("utf-8")

    assert "--memory-limit" in text
    assert "--resume" in text
    assert re.findall(r"&lt;!--|<!-- arssr", text) == []


def test_the_front_page_of_the_site_is_the_readme_without_its_badges(site):
    page = (site / "index.html").read_text("utf-8")

    assert "First result" in page
    assert "badge.svg" not in page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_shows_a_picture_or_a_command(page):
    text = page.read_text(encoding="utf-8")

    assert re.search(r"^```(console|python|bibtex)|^!\[|^<!-- arssr", text, flags=re.MULTILINE), page


def test_every_column_of_a_table_has_a_name(site):
    pages = sorted(site.rglob("*.html"))

    assert [page.parent.name for page in pages if re.search(r"<th[^>]*>\s*</th>", page.read_text("utf-8"))] == []


def test_options_and_short_values_stay_on_one_line(site):
    options = (site / "how-to" / "memory-and-speed" / "index.html").read_text("utf-8")
    values = (site / "index.html").read_text("utf-8")

    assert "<code data-unbroken>--memory-limit</code>" in options
    assert "<td data-unbroken>2 x 2 x 2, point</td>" in values
