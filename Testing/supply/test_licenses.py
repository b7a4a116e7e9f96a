"""LICENSES.md lists every pinned package, and the engine needs no package that would restrict its distribution."""

from __future__ import annotations

import re

from supply.licenses import FILE, needed_by, pins


def rows() -> dict[str, list[str]]:
    lines = FILE.read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return {cell[0]: cell[1:] for cell in cells[1:] if not cell[0].startswith("---")}


def test_every_pinned_package_is_listed_with_its_version_and_a_license():
    listed = rows()

    assert {name: cells[0] for name, cells in listed.items()} == pins(), "run: python Testing/supply/licenses.py"
    assert [name for name, cells in listed.items() if not cells[1] or cells[1] == "not installed here"] == []


def test_every_direct_dependency_is_pinned():
    pinned = {re.sub(r"[-_.]+", "-", name).lower() for name in pins()}

    # Tools that `make setup` does not install: atheris has wheels for Linux only, the linters are for other systems.
    by_hand = {name for name, extras in needed_by().items() if extras in ("fuzz", "recipes")}
    assert set(needed_by()) - pinned - by_hand == set()


def test_the_engine_needs_no_package_under_the_gpl():
    users = {name: cells[1] for name, cells in rows().items() if "engine" in cells[2]}

    assert len(users) >= 7
    assert [name for name, license_ in users.items() if "GPL" in license_] == []
