"""The built and installed files are complete, and CMake and the catalog entries agree."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from architecture.extension_files import (
    MODULES,
    ROOT,
    cmake_settings,
    json_fields,
    listed,
    on_disk,
    s4ext_fields,
)

SETTINGS = ("HOMEPAGE", "CONTRIBUTORS", "DESCRIPTION", "ICONURL", "SCREENSHOTURLS", "DEPENDS")
HOST = Path(__file__).parent / "cmake_host"
# Only the folders that users get are copied.
NEEDED = ("CMakeLists.txt", "LICENSE.txt", "README.md", *MODULES)


@pytest.fixture(scope="session")
def cmake() -> str:
    """The cmake program of the environment, or of the system."""
    program = shutil.which("cmake", path=str(Path(sys.executable).parent)) or shutil.which("cmake")
    if program is None:
        pytest.skip("cmake is not installed (pip install cmake)")
    if not any(map(shutil.which, ("cc", "gcc", "clang", "cl"))):
        pytest.skip("no C compiler, which CMake looks for in every project")
    return program


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A copy of the built folders, which a test may modify."""
    root = tmp_path / "checkout"
    root.mkdir()
    for name in NEEDED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, root / name)
    return root


def configure(cmake: str, root: Path, build: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [cmake, "-S", root, "-B", build, f"-DSlicer_DIR={HOST}", "-DBUILD_TESTING=ON", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="session")
def build(cmake, tmp_path_factory) -> Path:
    """The extension, configured with the stand-ins for Slicer's CMake files."""
    folder = tmp_path_factory.mktemp("build")
    done = configure(cmake, ROOT, folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("module", MODULES)
def test_the_listed_files_are_exactly_the_existing_ones(module):
    files = listed(module, "SCRIPTS") + listed(module, "RESOURCES")

    assert len(files) == len(set(files))
    assert set(files) == on_disk(module)


@pytest.mark.parametrize("module", MODULES)
def test_python_files_are_scripts_and_the_rest_resources(module):
    assert {Path(file).suffix for file in listed(module, "SCRIPTS")} == {".py"}
    assert not any(file.endswith(".py") for file in listed(module, "RESOURCES"))


def test_the_panel_the_icon_and_the_requirements_are_shipped():
    needed = {"Resources/UI/ArSSR.ui", "Resources/Icons/ArSSR.png", "Resources/requirements.txt"}

    assert needed <= set(listed("ArSSR", "RESOURCES"))


def test_the_panel_installs_the_packages_of_the_engine_in_the_same_versions():
    engine = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    lines = (ROOT / "ArSSR" / "Resources" / "requirements.txt").read_text("utf-8").splitlines()

    assert {line for line in lines if not line.startswith("#")} <= set(engine)


def test_slicer_finds_one_module_in_its_folder():
    # Slicer treats every other .py file there as a module; an __init__.py would hide the module.
    assert [path.name for path in (ROOT / "ArSSR").glob("*.py")] == ["ArSSR.py"]


def test_the_icon_has_the_size_that_the_catalog_requires():
    for path in (ROOT / "Resources" / "ArSSR.png", ROOT / "ArSSR" / "Resources" / "Icons" / "ArSSR.png"):
        picture = path.read_bytes()
        assert picture[:8] == b"\x89PNG\r\n\x1a\n"
        assert struct.unpack(">II", picture[16:24]) == (128, 128)


def test_the_catalog_entries_match_cmake():
    cmake, s4ext, entry = cmake_settings(), s4ext_fields(), json_fields()

    for name in SETTINGS:
        assert s4ext[name.lower()] == cmake[name], name
    for name in ("category", "dicom_support_rule", "build_subdirectory"):
        assert s4ext[name] == entry[name], name
    assert entry["build_dependencies"] == cmake["DEPENDS"].split()
    assert (s4ext["scmurl"], s4ext["scmrevision"]) == (entry["scm_url"], entry["scm_revision"])
    assert int(s4ext["tier"]) == entry["tier"]


def test_all_addresses_are_in_one_repository():
    cmake, entry = cmake_settings(), json_fields()
    repository = cmake["HOMEPAGE"]

    assert entry["scm_url"] == f"{repository}.git"
    raw = repository.replace("//github.com/", "//raw.githubusercontent.com/") + f"/{entry['scm_revision']}/"
    for url in [cmake["ICONURL"], *cmake["SCREENSHOTURLS"].split()]:
        assert url.startswith(raw)
        assert (ROOT / url.removeprefix(raw)).is_file(), url


def test_cmake_records_the_settings_of_the_extension(build):
    record = dict(line.partition("=")[::2] for line in (build / "extension.txt").read_text("utf-8").splitlines())

    assert record["PROJECT_NAME"] == "ArSSR"
    for name in SETTINGS:
        assert record[f"EXTENSION_{name}"] == cmake_settings()[name]
    assert Path(record["EXTENSION_LICENSE_FILE"]).samefile(ROOT / "LICENSE.txt")


def test_the_self_test_of_the_module_is_registered(build):
    record = (build / "extension.txt").read_text("utf-8")

    assert f"TESTS={(ROOT / 'ArSSR' / 'ArSSR.py').as_posix()}\n" in record


def test_every_file_is_installed(cmake, build, tmp_path):
    command = [cmake, "--install", build, "--prefix", tmp_path]
    subprocess.run(command, capture_output=True, check=True, timeout=300)

    # The engine is in a folder with its name beside the module, so that both can be imported.
    modules = tmp_path / "lib" / "scripted-modules"
    installed = {path.relative_to(modules).as_posix() for path in modules.rglob("*") if path.is_file()}
    assert installed == on_disk("ArSSR") | {f"ArSSRLib/{file}" for file in on_disk("ArSSRLib")}


def test_a_listed_file_that_does_not_exist_stops_the_build(cmake, checkout, tmp_path):
    (checkout / "ArSSRLib" / "volume.py").unlink()

    done = configure(cmake, checkout, tmp_path / "build")

    assert done.returncode != 0
    assert "nonexistent file 'volume.py'" in done.stderr


def test_an_unlisted_file_is_detected(checkout):
    (checkout / "ArSSR" / "ArSSRPanel" / "forgotten.py").write_text('"""Not in the list."""\n')

    files = listed("ArSSR", "SCRIPTS", checkout) + listed("ArSSR", "RESOURCES", checkout)

    assert on_disk("ArSSR", checkout) - set(files) == {"ArSSRPanel/forgotten.py"}
