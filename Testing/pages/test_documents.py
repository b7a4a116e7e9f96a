"""The documents at the root name existing files, and agree with each other and with the code."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from pages.front_page import README, updated

import ArSSRLib

ROOT = Path(__file__).resolve().parents[2]
# Possible beginnings of a path in CONTRIBUTING.md, and paths that exist only after a command.
BASES = (ROOT, ROOT / "ArSSRLib", ROOT / "ArSSR", ROOT / "Testing")
MADE_BY_COMMANDS = (".venv", "site", "demo_output")
SUFFIXES = (".cff", ".cmake", ".json", ".md", ".py", ".s4ext", ".toml", ".txt", ".ui", ".yml")


def paths_named_in(text: str) -> set[str]:
    """Return the texts in backquotes, or after `python` in a command, that look like a path."""
    quoted = re.findall(r"`([^`\s]+)`", text) + re.findall(r"python3? ([^\s`-][^\s`]*)", text)
    named = {name.strip(",;:") for name in quoted if re.fullmatch(r"\.?[\w*.{},/-]+", name)}
    paths = {name for name in named if name.endswith(SUFFIXES) or "/" in name}
    return {path for path in paths if path.split("/")[0] not in MADE_BY_COMMANDS and not path.isupper()}


def exists(name: str) -> bool:
    return any(next(base.glob(name.rstrip("/")), None) is not None for base in BASES)


@pytest.mark.parametrize("document", ["CONTRIBUTING.md", "SECURITY.md"])
def test_every_path_that_a_document_names_exists(document):
    named = paths_named_in((ROOT / document).read_text(encoding="utf-8"))

    assert len(named) >= 5
    assert sorted(name for name in named if not exists(name)) == []


def test_a_path_that_does_not_exist_is_detected():
    text = "Look at `io/nifti.py`, `model/gone.py` and `Testing/gone/`, then run `python Testing/gone.py`, not `a.b`."

    missing = {name for name in paths_named_in(text) if not exists(name)}

    assert missing == {"model/gone.py", "Testing/gone/", "Testing/gone.py"}


def test_the_tables_of_the_front_page_match_their_sources():
    text = README.read_text(encoding="utf-8")

    assert updated(text) == text, "run: python Testing/pages/front_page.py"


def test_a_front_page_without_markers_is_refused():
    with pytest.raises(LookupError, match="models: begin"):
        updated("# ArSSR\n")


def test_the_front_page_is_short_enough_to_read():
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("document", ["README.md", "docs/faq.md"])
def test_quoted_messages_match_the_code_exactly(document):
    quoted = quoted_messages((ROOT / document).read_text(encoding="utf-8"))
    source = words_of_the_code()

    assert len(quoted) >= 5
    assert [text for text in quoted if any(part not in source for part in re.split(r" ?\.\.\.,? ?", text))] == []


def quoted_messages(text: str) -> list[str]:
    """Return the first column of the troubleshooting table, and headings in quotes."""
    section = text.partition("## Troubleshooting")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return [part for cell in cells for part in re.findall(r"`([^`]+)`", cell)] + re.findall(
        r'^### "([^"]+)"$', text, flags=re.MULTILINE
    )


def words_of_the_code() -> str:
    """Return the code of engine and panel, with strings over several lines joined."""
    paths = [*(ROOT / "ArSSRLib").rglob("*.py"), *(ROOT / "ArSSR").rglob("*.py")]
    source = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    return re.sub(r'"\s*\n\s*f?"', "", source)


def test_version_change_log_and_citation_agree():
    newest = re.search(r"^## \[(\d[^\]]*)\] - (\d{4}-\d\d-\d\d)$", read("CHANGELOG.md"), flags=re.MULTILINE)
    citation = dict(re.findall(r'^(version|date-released): "?([^"\n]+)', read("CITATION.cff"), flags=re.MULTILINE))

    assert newest is not None
    assert citation == {"version": newest[1], "date-released": newest[2]}
    assert ArSSRLib.__version__ in (newest[1], f"{newest[1]}.dev0")
    assert f"version = {{{newest[1]}}}" in read("docs/cite.md")


def test_all_documents_name_the_same_repository():
    address = json.loads(read("ArSSR.json"))["scm_url"].removesuffix(".git")

    assert f"repository-code: {address}" in read("CITATION.cff")
    for document in ("README.md", "mkdocs.yml", "pyproject.toml", "docs/install.md", "docs/cite.md"):
        found = set(re.findall(r"https://github\.com/[\w-]+/[\w-]+", read(document)))
        assert found == {address}, document


def test_the_extras_of_make_setup_match_contributing():
    makefile = re.search(r"^EXTRAS := (.*)$", read("Makefile"), flags=re.MULTILINE)
    extras = tomllib.loads(read("pyproject.toml"))["project"]["optional-dependencies"]

    assert makefile is not None
    assert set(makefile[1].split(",")) <= set(extras)
    for document in ("CONTRIBUTING.md", ".github/workflows/tests.yml"):
        assert f".[{makefile[1]}]" in read(document), document


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_page_of_the_api_documents_exactly_the_public_names():
    documented = re.findall(r"^::: ArSSRLib\.(\w+)$", read("docs/reference/api.md"), flags=re.MULTILINE)

    assert sorted(documented) == sorted(set(ArSSRLib.__all__) - {"__version__"})


def test_every_public_name_exists():
    assert [name for name in ArSSRLib.__all__ if not hasattr(ArSSRLib, name)] == []
