"""The commands and the Python code in documents are valid for the current program."""

from __future__ import annotations

import ast
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

from ArSSRLib.commands.arguments import build_parser, join_numbers

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "ArSSRLib").rglob("*.md"))]


def commands_of(text: str) -> list[list[str]]:
    """Return the arguments of every `arssr` command in the code blocks of a document, without comments."""
    text = text.replace("\\\n", " ")
    lines = re.findall(r"^\$ (?:[\w.=-]+ )*?(?:[\w./-]+/)?arssr (.*)$", text, flags=re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


def understood(arguments: list[str]) -> bool:
    try:
        build_parser(arguments[0] if arguments else "").parse_args(join_numbers(arguments))
    except SystemExit as end:
        return end.code == 0
    return True


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_command_in_a_document_is_valid(document, capsys):
    text = document.read_text(encoding="utf-8")

    assert [command for command in commands_of(text) if not understood(command)] == []


def test_commands_in_documents_are_found():
    shown = {path.name for path in DOCUMENTS if commands_of(path.read_text(encoding="utf-8"))}

    assert {"README.md", "install.md", "dicom.md", "thick-slices.md", "training.md", "evaluation.md"} <= shown


def test_a_command_that_does_not_exist_is_detected(capsys):
    text = "$ arssr models fetch large\n$ OMP_NUM_THREADS=4 arssr upsample a.nii b.nii --scale 2  # twice as fine\n"

    assert [understood(command) for command in commands_of(text)] == [False, True]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_python_code_in_a_document_is_valid_and_imports_existing_names(document):
    blocks = re.findall(r"^```python\n(.*?)^```", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    nodes = [node for block in blocks for node in ast.walk(ast.parse(block)) if isinstance(node, ast.ImportFrom)]
    names = {(node.module, alias.name) for node in nodes for alias in node.names if node.module.startswith("ArSSRLib")}

    assert [(room, name) for room, name in names if not hasattr(import_module(room), name)] == []
