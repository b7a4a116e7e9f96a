"""The extension passes the checks of the Extensions Index, and each check fails for a defect."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from architecture import extension_index
from architecture.extension_files import ROOT
from architecture.extension_index import CHECKS, RefusedError


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_extension_passes_every_check(check):
    check(ROOT)


README = """# ArSSR
![one](one.png)
It makes the voxels of a volume smaller, by any factor, the same for all axes or one for each, and keeps its place.

**ArSSR** does that.

### Tutorial
1. Open Sample Data.
2. Press Apply.
3. Look.

## Remove it

## How to cite
https://doi.org/10.1109/JBHI.2022.3223106
"""


@pytest.fixture
def good(tmp_path) -> Path:
    """A small checkout that passes."""
    for name in ("ArSSR.json", "CMakeLists.txt", "LICENSE.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "README.md").write_text(README)
    (tmp_path / "one.png").write_bytes(b"")
    for module in ("ArSSR", "ArSSRLib"):
        (tmp_path / module).mkdir()
        (tmp_path / module / "room.py").write_text("import slicer\nimport numpy as np\n")
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    return tmp_path


def test_a_small_checkout_passes_every_check(good):
    for check in CHECKS:
        check(good)


def entry(**changes):
    """Change fields of the catalog entry; None removes one."""

    def change(root):
        fields = {**json.loads((root / "ArSSR.json").read_text()), **changes}
        kept = {name: value for name, value in fields.items() if value is not None}
        (root / "ArSSR.json").write_text(json.dumps(kept))

    return change


def edit(name, old, new):
    """Replace a text in a file that has it."""

    def change(root):
        content = (root / name).read_bytes()
        assert old.encode() in content
        (root / name).write_bytes(content.replace(old.encode(), new.encode()))

    return change


def add(name, content):
    def change(root):
        with (root / name).open("a") as file:
            file.write(content)

    return change


def remove(name):
    return lambda root: (root / name).unlink()


def grow(root):
    (root / "weights.bin").write_bytes(bytes(100))
    subprocess.run(["git", "-C", root, "add", "-N", "weights.bin"], check=True)
    with (root / "weights.bin").open("r+b") as file:
        file.truncate(101 * 2**20)  # sparse: needs no disk space


def grow_the_history(root):
    """Commit a large file, stored uncompressed, then delete it."""
    git = ["git", "-C", root, "-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "core.compression=0"]
    (root / "weights.bin").write_bytes(bytes(101 * 2**20))
    subprocess.run([*git, "add", "weights.bin"], check=True)
    subprocess.run([*git, "commit", "-qm", "Add"], check=True)
    subprocess.run([*git, "rm", "-q", "weights.bin"], check=True)
    subprocess.run([*git, "commit", "-qm", "Remove"], check=True)


@pytest.mark.parametrize(
    ("check", "break_it", "told"),
    [
        ("entry_has_the_fields_of_the_schema", edit("ArSSR.json", "\n", "\r\n"), "line ends"),
        ("entry_has_the_fields_of_the_schema", edit("ArSSR.json", "{", "{,"), "no JSON"),
        ("entry_has_the_fields_of_the_schema", entry(category=None), "fields are missing: .'category'"),
        ("entry_has_the_fields_of_the_schema", entry(homepage="https://a.b"), "unknown fields: .'homepage'"),
        ("entry_has_the_fields_of_the_schema", entry(tier="1"), "tier has the wrong type"),
        ("entry_has_the_fields_of_the_schema", entry(tier=True), "tier has the wrong type"),
        ("entry_has_the_fields_of_the_schema", entry(tier=6), "not 1 to 5"),
        ("entry_has_the_fields_of_the_schema", entry(scm_type="svn"), "unknown scm_type"),
        ("entry_has_the_fields_of_the_schema", entry(build_dependencies=[1]), "no text"),
        ("entry_has_the_fields_of_the_schema", edit("ArSSR.json", "v1.0.2", "v1.0.1"), "another schema"),
        ("entry_is_formatted", edit("ArSSR.json", '[\n    "PyTorch"\n  ]', '["PyTorch"]'), "would change"),
        ("rule_for_dicom_names_the_modality", entry(dicom_support_rule=None), "other series"),
        ("rule_for_dicom_names_the_modality", entry(dicom_support_rule="Modality == 'CT'"), "other series"),
        ("category_is_accepted", entry(category="Sharpening"), "unknown category"),
        ("dependencies_are_in_the_index", entry(build_dependencies=["Torch"]), "unknown extensions: .'Torch'"),
        ("names_follow_the_rules", lambda root: (root / "ArSSR.json").rename(root / "SlicerArSSR.json"), "is called"),
        ("names_follow_the_rules", entry(scm_url="https://github.com/ArSSR/ArSSR.git"), "called 'ArSSR'"),
        ("repository_address_is_well_formed", entry(scm_url="git@github.com:a/SlicerB.git"), "not scheme"),
        ("repository_address_is_well_formed", entry(scm_url="http://github.com/a/SlicerB.git"), "neither git"),
        ("project_is_called_as_the_extension", edit("CMakeLists.txt", "project(ArSSR)", "project(Arssr)"), "Arssr"),
        ("project_is_called_as_the_extension", edit("CMakeLists.txt", "project(ArSSR)", ""), "no project"),
        ("pictures_have_addresses", edit("CMakeLists.txt", "ICONURL", "ICON"), "no EXTENSION_ICONURL"),
        ("pictures_have_addresses", edit("CMakeLists.txt", '"https://raw', '"ftp://raw'), "is no address"),
        ("pictures_have_addresses", edit("CMakeLists.txt", "ArSSR.png", "ArSSR"), "is no picture"),
        ("metadata_is_on_one_line_each", edit("CMakeLists.txt", 'DEPENDS "', 'DEPENDS\n  "'), "not on one line"),
        ("metadata_is_on_one_line_each", edit("CMakeLists.txt", "research: not", "research; not"), "semicolon"),
        (
            "description_explains",
            lambda root: (root / "CMakeLists.txt").write_text('set(EXTENSION_DESCRIPTION "For MR of brains.")'),
            "short",
        ),
        (
            "description_explains",
            edit("CMakeLists.txt", "research: not", "research. Not"),
            "one or two sentences",
        ),
        ("description_explains", edit("CMakeLists.txt", "T1-weighted ", ""), "does not say 'T1'"),
        ("description_explains", edit("CMakeLists.txt", "not for diagnosis, ", ""), "not for diagnosis"),
        ("license_is_at_the_root", remove("LICENSE.txt"), "no licence"),
        ("repository_is_small", grow, "101 MB"),
        ("repository_is_small", grow_the_history, "101 MB"),
        (
            "readme_shows_and_cites",
            edit("README.md", "the voxels of a volume smaller, by any factor,", ""),
            "no summary",
        ),
        ("readme_shows_and_cites", edit("README.md", "![one](one.png)", ""), "no picture"),
        ("readme_shows_and_cites", remove("one.png"), "not there: one.png"),
        ("readme_shows_and_cites", edit("README.md", "**ArSSR**", "it"), "no sentence on the module"),
        ("readme_shows_and_cites", edit("README.md", "to cite", "to start"), "no section on citation"),
        ("readme_shows_and_cites", edit("README.md", "doi.org", "nowhere"), "no link to a publication"),
        ("readme_has_a_tutorial_with_data", edit("README.md", "Tutorial", "Steps"), "no tutorial"),
        ("readme_has_a_tutorial_with_data", edit("README.md", "3. Look", "Look"), "of 2 steps"),
        ("readme_has_a_tutorial_with_data", edit("README.md", "Sample Data", "a file"), "where its data"),
        ("readme_has_a_tutorial_with_data", edit("README.md", "Remove it", "Keep it"), "nothing on removal"),
        ("module_imports_only_what_slicer_has", add("ArSSR/room.py", "import torch\n"), "imports torch"),
        (
            "module_imports_only_what_slicer_has",
            add("ArSSR/room.py", "try:\n    import pydicom\nfinally:\n    0\n"),
            "pydicom",
        ),
        ("module_runs_nothing_at_import", add("ArSSR/room.py", "print('hello')\n"), "runs code"),
        ("torch_is_left_to_its_extension", add("ArSSR/room.py", "slicer.util.pip_install('torch')\n"), "itself"),
        ("nothing_is_sent_anywhere", add("ArSSRLib/room.py", "def f():\n    import requests\n"), "requests"),
        ("nothing_is_sent_anywhere", add("ArSSR/room.py", "from urllib.request import urlopen\n"), "urllib"),
    ],
)
def test_an_invalid_checkout_is_refused(good, check, break_it, told):
    break_it(good)

    with pytest.raises(RefusedError, match=told):
        getattr(extension_index, check)(good)


def test_every_check_has_a_failing_case():
    (broken,) = (mark for mark in test_an_invalid_checkout_is_refused.pytestmark if mark.name == "parametrize")

    assert {case[0] for case in broken.args[1]} == {check.__name__ for check in CHECKS}
