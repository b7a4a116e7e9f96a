"""Refusals are one line with exit code 2, leave nothing behind, and match the documentation, as do warnings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from field.refusals import GROUPS, HEAD, WARNINGS, message_of, refusal
from field.warned import CASES as WARNED

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "refusals.md").read_text(encoding="utf-8")
# File names and numbers that differ between runs and machines.
VOLATILE = re.compile(r"\d[\d.,_]*\+?\w*")
REFUSED = [(title, name, case) for title, cases in GROUPS for name, case in cases.items()]


def rows(title):
    """Return the rows of a section of the page: the case, and the message."""
    section = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    table = re.findall(r"^\| (.*?) \| (.*) \|$", section, re.MULTILINE)
    return {tried: message.replace("\\|", "|") for tried, message in table if tried not in ("tried", "---")}


def same(found, written):
    return VOLATILE.sub("#", found) == VOLATILE.sub("#", written)


@pytest.mark.parametrize(("title", "name", "case"), REFUSED, ids=[f"{title}: {name}" for title, name, _ in REFUSED])
def test_a_refusal_is_one_line_that_the_documentation_lists(title, name, case, tmp_path, tiny_weights):
    code, lines, left = refusal(case, tmp_path, "--model", str(tiny_weights))

    assert (code, left) == (2, [])
    assert sum("arssr: error: " in line for line in lines) == 1
    assert same(message_of(lines), rows(title)[name])


@pytest.mark.parametrize("name", WARNED)
def test_a_warning_is_one_line_that_the_documentation_lists(name, tmp_path, tiny_weights):
    code, lines, _ = refusal(WARNED[name], tmp_path, "--model", str(tiny_weights))

    assert code == 0
    assert any(line.startswith("arssr: warning: ") for line in lines)
    assert same(message_of(lines), rows(WARNINGS)[name])


def test_the_page_has_these_rows_and_no_others():
    for title, cases in (*GROUPS, (WARNINGS, WARNED)):
        assert list(rows(title)) == list(cases)
    assert PAGE.count("\n## ") == len(GROUPS) + 1
    assert PAGE.startswith(HEAD)


def test_no_message_contains_python_notation():
    for title in [title for title, _ in GROUPS] + [WARNINGS]:
        for message in rows(title).values():
            assert not re.search(r"\bErrno\b|\bNone\b|\bTrue\b|\bFalse\b|<class|Path\(|\(\d+, *\)", message), message
