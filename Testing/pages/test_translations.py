"""The template for translators contains every text of the panel, and no names that must not be translated."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from pages.translations import TEMPLATE, lupdate_program, texts_of, write_template


def messages(path: Path) -> set[tuple[str, str]]:
    """Return the contexts and texts of a .ts file."""
    contexts = ElementTree.parse(path).getroot().iter("context")
    return {(c.findtext("name"), m.findtext("source")) for c in contexts for m in c.iter("message")}


def test_the_template_is_current(tmp_path):
    lupdate = lupdate_program()
    if lupdate is None:
        pytest.skip("lupdate is not installed (pip install PySide6-Essentials)")

    write_template(tmp_path / "now.ts", lupdate)

    assert messages(tmp_path / "now.ts") == messages(TEMPLATE), "run: python Testing/pages/translations.py"


def test_every_text_in_the_code_has_the_context_that_slicer_uses(tmp_path):
    assert ("ArSSR", "The comparison cannot be shown.") in messages(TEMPLATE)
    assert ("ArSSRPanel.choosers", "Make isotropic") in messages(TEMPLATE)
    assert ("ArSSRPanel.choosers", "CPU") in messages(TEMPLATE)


def test_names_of_parameters_are_not_translatable():
    texts = {text for _, text in messages(TEMPLATE)}

    assert [text for text in texts if re.fullmatch(r"[a-z]+[A-Z]\w+|vtk\w+|[a-z-]+: .*;", text)] == []


def test_a_text_that_could_not_be_found_is_refused(tmp_path):
    (tmp_path / "room.py").write_text('text = _(f"Done: {name}")\n')

    with pytest.raises(ValueError, match=r"room\.py, line 1: _ takes one plain text"):
        list(texts_of(tmp_path / "room.py"))
