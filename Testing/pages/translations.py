"""Writes the template for translations of the panel: ``python Testing/pages/translations.py``.

It contains every text of the .ui file, and every text passed to `_` in the module and its rooms, with the context in
which Slicer looks it up (`slicer.i18n.getContext`): the name of the package and of the file. Qt's lupdate writes the
file; because it supports neither `_` nor these contexts, it reads a list of calls derived from the code.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "ArSSR"
TEMPLATE = ROOT / "Resources" / "Translations" / "ArSSR_en-US.ts"


def lupdate_program() -> Path | None:
    """Return Qt's program from PySide6, or None."""
    spec = find_spec("PySide6")
    if spec is None or spec.origin is None:
        return None
    program = Path(spec.origin).with_name("lupdate.exe" if sys.platform == "win32" else "lupdate")
    return program if program.is_file() else None


def texts_of(path: Path) -> Iterator[tuple[str, str]]:
    """Return the context and the text of every call of `_` in a Python file.

    Raises:
        ValueError: If the argument of a call is not one literal text, whose translation Slicer could not find.
    """
    context = path.stem if path.parent == MODULE else f"{path.parent.name}.{path.stem}"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_":
            match node.args:
                case [ast.Constant(value=str(text))]:
                    yield context, text
                case _:
                    msg = f"{path.name}, line {node.lineno}: _ takes one plain text, got {ast.unparse(node)}."
                    raise ValueError(msg)


def write_template(target: Path, lupdate: Path) -> None:
    """Write the template of all texts of the panel.

    Args:
        target: The .ts file, which is replaced.
        lupdate: Path of Qt's program.
    """
    calls = [call for path in sorted(MODULE.rglob("*.py")) for call in texts_of(path)]
    with tempfile.TemporaryDirectory() as name:
        listing = Path(name) / "texts.py"
        lines = [f"QCoreApplication.translate({context!r}, {text!r})\n" for context, text in calls]
        listing.write_text("".join(lines), encoding="utf-8")
        forms = sorted(MODULE.rglob("*.ui"))
        target.unlink(missing_ok=True)
        languages = ["-source-language", "en_US", "-target-language", "en_US"]
        command = [lupdate, *forms, listing, "-silent", "-locations", "none", *languages, "-ts", target]
        subprocess.run(command, check=True, timeout=60)


if __name__ == "__main__":
    program = lupdate_program()
    if program is None:
        sys.exit("lupdate was not found: pip install PySide6-Essentials.")
    TEMPLATE.parent.mkdir(exist_ok=True)
    write_template(TEMPLATE, program)
