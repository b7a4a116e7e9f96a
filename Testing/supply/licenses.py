"""Write LICENSES.md from the installed packages: ``python Testing/supply/licenses.py``.

It lists every package of constraints.txt with its version and the license in its metadata.
"""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "LICENSES.md"
HEAD = """# Licenses of what ArSSR uses

Written by `python Testing/supply/licenses.py` from the metadata of the packages in `constraints.txt`. None of them is
part of this repository. *Needed by* names the extra that installs it; *engine* is always installed, and *through
others* marks dependencies of dependencies.

| package | version | license | needed by |
| --- | --- | --- | --- |
"""
_CLASSIFIER = "License :: OSI Approved :: "


def pins() -> dict[str, str]:
    """Return the packages of constraints.txt and their versions."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def license_of(name: str) -> str:
    """Return the license of an installed package, as stated in its metadata."""
    try:
        found = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return "not installed here"
    expression = found.get("License-Expression")
    classifiers = [text.removeprefix(_CLASSIFIER) for text in found.get_all("Classifier", []) if _CLASSIFIER in text]
    text = (found.get("License") or "").strip()
    if expression:
        return expression
    if text not in ("", "UNKNOWN") and "\n" not in text and len(text) < 60:
        return text
    return ", ".join(classifiers) or "see the package"


def needed_by() -> dict[str, str]:
    """Return the packages that directly require a package."""
    import tomllib  # noqa: PLC0415

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = {"engine": project["dependencies"], **project["optional-dependencies"]}
    users: dict[str, list[str]] = {}
    for group, requirements in groups.items():
        for requirement in requirements:
            users.setdefault(_canonical(re.split(r"[<>=;!~ \[]", requirement)[0]), []).append(group)
    return {name: ", ".join(sorted(set(groups))) for name, groups in users.items()}


def table() -> str:
    """Return the whole file."""
    users = needed_by()
    rows = [
        f"| {name} | {version} | {license_of(name)} | {users.get(_canonical(name), 'through others')} |\n"
        for name, version in sorted(pins().items(), key=lambda pin: pin[0].lower())
    ]
    return HEAD + "".join(rows)


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    FILE.write_text(table(), encoding="utf-8")
    sys.exit(0)
