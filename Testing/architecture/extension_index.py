"""The checks of the reviewers of the Extensions Index on a submission, as far as possible without a network.

Each check takes the root of a checkout and raises `RefusedError` with its finding. Checks that need the network are not
included: that the addresses respond, that the repository can be cloned, and that it has the topic
"3d-slicer-extension".
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

SCHEMA = (
    "https://raw.githubusercontent.com/Slicer/Slicer/main/Schemas/slicer-extension-catalog-entry-schema-v1.0.2.json"
)
REQUIRED_FIELDS = {"$schema", "category", "scm_url"}
FIELD_TYPES = {
    "$schema": str,
    "category": str,
    "scm_url": str,
    "scm_revision": str,
    "scm_type": str,
    "build_dependencies": list,
    "dicom_support_rule": str,
    "build_subdirectory": str,
    "enabled": bool,
    "tier": int,
}
# Categories of the index that are suitable for an image filter.
CATEGORIES = {"Analysis", "Filtering", "Image Synthesis", "Neuroimaging", "Utilities"}
# Extensions in the index on which we may depend.
EXTENSIONS = {"PyTorch"}
REPOSITORY_PREFIXES = ("Slicer", "SlicerExtension-", "SlicerExtension_")
LICENSE_NAMES = ("LICENSE", "LICENCE", "License.txt", "license.txt", "LICENSE.txt", "COPYING", "COPYING.txt")
PICTURES = (".png", ".jpg", ".jpeg", ".gif")
LARGEST_REPOSITORY = 100 * 2**20
# The index requires one image, one sentence per module, a citation and a tutorial that states the source of its data.
MODULES = ("ArSSR",)
IN_SLICER = {"slicer", "vtk", "qt", "ctk", "SimpleITK", "numpy", "scipy"}
NETWORK = {"urllib", "urllib3", "requests", "http", "socket", "ftplib", "aiohttp", "httpx"}


class RefusedError(AssertionError):
    """A reason for a reviewer to reject the submission."""


def entry_has_the_fields_of_the_schema(root: Path) -> None:
    """The entry is JSON with Unix line ends, and has exactly the fields of schema 1.0.2, with their types."""
    raw = (root / "ArSSR.json").read_bytes()
    _require(b"\r" not in raw, "the entry has line ends other than LF")
    fields = _entry(root)
    _require(set(fields) >= REQUIRED_FIELDS, f"fields are missing: {sorted(REQUIRED_FIELDS - set(fields))}")
    _require(set(fields) <= set(FIELD_TYPES), f"unknown fields: {sorted(set(fields) - set(FIELD_TYPES))}")
    for name, value in fields.items():
        fits = isinstance(value, FIELD_TYPES[name]) and (FIELD_TYPES[name] is bool or not isinstance(value, bool))
        _require(fits, f"{name} has the wrong type: {value!r}")
    _require(fields["$schema"].split("#")[0] == SCHEMA, f"another schema: {fields['$schema']}")
    _require(all(isinstance(name, str) for name in fields.get("build_dependencies", [])), "a dependency is no text")
    _require(1 <= fields.get("tier", 1) <= 5, f"the tier is not 1 to 5: {fields.get('tier')}")
    _require(fields.get("scm_type", "git") in ("git", "local"), f"unknown scm_type: {fields.get('scm_type')}")


def entry_is_formatted(root: Path) -> None:
    """The entry has the format of the index's formatter: two spaces per level, one array element per line."""
    written = (root / "ArSSR.json").read_text(encoding="utf-8")
    _require(written == json.dumps(_entry(root), indent=2) + "\n", "the formatter would change the entry")


def rule_for_dicom_names_the_modality(root: Path) -> None:
    """Slicer suggests the extension for the series that it can read: MR only."""
    rule = _entry(root).get("dicom_support_rule", "")
    _require(rule == "Modality == 'MR'", f"proposed for other series than MR: {rule!r}")


def category_is_accepted(root: Path) -> None:
    """The category is in the index."""
    category = _entry(root)["category"]
    _require(category in CATEGORIES, f"unknown category: {category}")


def dependencies_are_in_the_index(root: Path) -> None:
    """Every required extension exists."""
    unknown = set(_entry(root).get("build_dependencies", [])) - EXTENSIONS
    _require(not unknown, f"unknown extensions: {sorted(unknown)}")


def names_follow_the_rules(root: Path) -> None:
    """The extension's name does not start with "Slicer", but the repository's name does."""
    (entry,) = root.glob("*.json")
    _require(not entry.stem.lower().startswith("slicer"), f"the extension is called {entry.stem}")
    repository = urlsplit(_entry(root)["scm_url"].strip("/")).path.split("/")[-1].removesuffix(".git")
    _require(repository.startswith(REPOSITORY_PREFIXES), f"the repository is called {repository!r}")


def repository_address_is_well_formed(root: Path) -> None:
    """The address has a scheme that the index can clone."""
    address = _entry(root)["scm_url"]
    _require("://" in address, f"not scheme://host/path: {address}")
    _require(urlsplit(address).scheme in ("git", "https"), f"neither git nor https: {address}")


def project_is_called_as_the_extension(root: Path) -> None:
    """The first project() of CMake has the name of the entry."""
    found = re.findall(r"project\s*\(\s*([^\s)]+)", _cmake(root), flags=re.IGNORECASE)
    _require(bool(found), "no project() in CMakeLists.txt")
    _require(found[0].strip("\"'") == "ArSSR", f"the project is called {found[0]}")


def pictures_have_addresses(root: Path) -> None:
    """Icon and screenshots are set on one line each, as addresses of pictures."""
    for name in ("ICONURL", "SCREENSHOTURLS"):
        found = re.findall(rf'set\s*\(EXTENSION_{name}\s*"([^"]+)"\s*\)', _cmake(root), flags=re.IGNORECASE)
        _require(bool(found), f"no EXTENSION_{name}")
        for address in found[0].split():
            _require(address.startswith("http"), f"EXTENSION_{name} is no address: {address}")
            _require(address.lower().endswith(PICTURES), f"EXTENSION_{name} is no picture: {address}")


def metadata_is_on_one_line_each(root: Path) -> None:
    """Every EXTENSION_ variable is set on a single line and not empty; Slicer truncates a value at a semicolon."""
    for line in _cmake(root).splitlines():
        if re.match(r"\s*set\s*\(EXTENSION_", line):
            _require(";" not in line, f"would be cut at its semicolon: {line}")
            _require(re.fullmatch(r'set\(EXTENSION_\w+ "[^"]+"\)', line) is not None, f"not on one line: {line}")


def description_explains(root: Path) -> None:
    """The description is one or two sentences, and states its images, its purpose and its limits."""
    found = re.findall(r'set\(EXTENSION_DESCRIPTION "([^"]+)"\)', _cmake(root))
    _require(bool(found) and len(found[0].split()) >= 12, f"too short a description: {found}")
    _require(len(re.findall(r"\.(?:\s|$)", found[0])) in (1, 2), f"not one or two sentences: {found[0]}")
    for said in (r"\bMR\b", "T1", "brain", r"\b[Ff]or\b", "not for diagnosis"):
        _require(re.search(said, found[0]) is not None, f"the description does not say {said!r}: {found[0]}")


def license_is_at_the_root(root: Path) -> None:
    """The root has a license file with a recognized name."""
    _require(any((root / name).is_file() for name in LICENSE_NAMES), "no licence at the root")


def repository_is_small(root: Path) -> None:
    """The checkout and its history together stay below 100 MB."""
    listing = subprocess.run(["git", "-C", root, "ls-files", "-z"], capture_output=True, text=True, check=True).stdout
    files = sum((root / name).stat().st_size for name in listing.split("\0") if name and (root / name).is_file())
    # Only what a clone receives: unreachable objects of this checkout and its packing do not count.
    history = subprocess.run(
        ["git", "-C", root, "rev-list", "--all", "--objects", "--disk-usage"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    size = files + int(history)
    _require(size < LARGEST_REPOSITORY, f"the repository has {size / 2**20:.0f} MB")


def readme_shows_and_cites(root: Path) -> None:
    """The README starts with the purpose, has an existing image, names each module, and says how to cite."""
    text = _readme(root)
    opening = re.split(r"^##+ ", text, flags=re.MULTILINE)[0]
    _require(len(re.sub(r"[#!]\S*.*\n", "", opening).split()) >= 20, "no summary at its start")
    pictures = [path for path in re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", text) if "://" not in path]
    _require(bool(pictures), "no picture")
    for path in pictures:
        _require((root / path).is_file(), f"a picture that is not there: {path}")
    for module in MODULES:
        _require(f"**{module}**" in text, f"no sentence on the module {module}")
    _require(re.search(r"^#+ .*cite", text, flags=re.MULTILINE | re.IGNORECASE) is not None, "no section on citation")
    _require("doi.org/" in text, "no link to a publication")


def readme_has_a_tutorial_with_data(root: Path) -> None:
    """The README has a tutorial in steps, which states the source of its data and how to delete loaded data."""
    found = re.search(r"^#+ [^\n]*tutorial[^\n]*\n(.*?)(?=^#|\Z)", _readme(root), flags=re.M | re.S | re.I)
    _require(found is not None, "no tutorial")
    steps = re.findall(r"^\d+\. ", found[1], flags=re.MULTILINE)
    _require(len(steps) >= 3, f"a tutorial of {len(steps)} steps")
    _require("Sample Data" in found[1], "the tutorial does not say where its data comes from")
    _require(re.search(r"remov|delet", _readme(root), flags=re.IGNORECASE) is not None, "nothing on removal")


def module_imports_only_what_slicer_has(root: Path) -> None:
    """At file scope, the module imports only Python, packages of Slicer, its own rooms, and the engine."""
    allowed = set(sys.stdlib_module_names) | IN_SLICER | {"ArSSRPanel", "ArSSR", "ArSSRLib"}
    for path in sorted((root / "ArSSR").rglob("*.py")):
        for name in _imports(_run_at_import(path)):
            _require(name in allowed, f"{path.name} imports {name} at file scope")


def module_runs_nothing_at_import(root: Path) -> None:
    """At file scope, the only bare call is the one that finds the engine for the subsequent imports."""
    for path in sorted((root / "ArSSR").rglob("*.py")):
        for node in _run_at_import(path):
            calls = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
            _require(not calls or ast.unparse(node) == "findEngine()", f"{path.name} runs code at file scope")


def torch_is_left_to_its_extension(root: Path) -> None:
    """PyTorch is never installed by pip directly."""
    for path in sorted((root / "ArSSR").rglob("*.py")):
        found = re.search(r"pip_(install|ensure)\([^)]*torch", path.read_text(encoding="utf-8"))
        _require(found is None, f"{path.name} installs PyTorch itself")


def nothing_is_sent_anywhere(root: Path) -> None:
    """No shipped file uses a network."""
    for module in ("ArSSR", "ArSSRLib"):
        for path in sorted((root / module).rglob("*.py")):
            names = _imports(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
            _require(not names & NETWORK, f"{path.name} imports {sorted(names & NETWORK)}")


CHECKS: list[Callable[[Path], None]] = [
    entry_has_the_fields_of_the_schema,
    entry_is_formatted,
    rule_for_dicom_names_the_modality,
    category_is_accepted,
    dependencies_are_in_the_index,
    names_follow_the_rules,
    repository_address_is_well_formed,
    project_is_called_as_the_extension,
    pictures_have_addresses,
    metadata_is_on_one_line_each,
    description_explains,
    license_is_at_the_root,
    repository_is_small,
    readme_shows_and_cites,
    readme_has_a_tutorial_with_data,
    module_imports_only_what_slicer_has,
    module_runs_nothing_at_import,
    torch_is_left_to_its_extension,
    nothing_is_sent_anywhere,
]


def _require(condition: bool, found: str) -> None:
    if not condition:
        raise RefusedError(found)


def _entry(root: Path) -> dict:
    try:
        return json.loads((root / "ArSSR.json").read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        msg = f"the entry is no JSON: {error}"
        raise RefusedError(msg) from error


def _cmake(root: Path) -> str:
    return (root / "CMakeLists.txt").read_text(encoding="utf-8")


def _readme(root: Path) -> str:
    return (root / "README.md").read_text(encoding="utf-8")


def _run_at_import(path: Path) -> Iterator[ast.AST]:
    """Return the statements of a file that run when it is imported, except those for type checkers."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        if isinstance(node, ast.If | ast.Try):
            yield from ast.walk(node)


def _imports(nodes: Iterator[ast.AST]) -> set[str]:
    """Return the packages that statements import."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add((node.module or "").split(".")[0])
    return names
