"""Every refusal: one line, exit code 2, nothing left behind, and the words that the documentation has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from field.refusals import CASES, HEAD, refusal

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "refusals.md"
# File names and numbers that differ from run to run and from machine to machine.
VOLATILE = re.compile(r"\d[\d.,_]*\+?\w*")
ROWS = dict(re.findall(r"^\| (.*?) \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("name", CASES)
def test_a_refusal_is_one_line_that_the_documentation_has(name, tmp_path, tiny_weights):
    code, said = refusal(CASES[name], tmp_path, "--model", str(tiny_weights))
    message = said.strip().splitlines()[-1].removeprefix("arssr: error: ")

    assert code == 2
    assert said.count("arssr: error: ") == 1
    assert re.search(r"[;:,.] ?(\w+ )*\w+", message)
    assert VOLATILE.sub("#", message) == VOLATILE.sub("#", ROWS[name].replace("\\|", "|"))


def test_the_page_has_these_refusals_and_no_others():
    assert set(ROWS) - {"tried", "---"} == set(CASES)
    assert PAGE.read_text(encoding="utf-8").startswith(HEAD)
