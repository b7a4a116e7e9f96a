"""The allowed imports between rooms, read from the source with `ast`, without running it.

A file imports only from lower floors, and the engine never imports Slicer.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENGINE = ROOT / "ArSSRLib"
FILES = sorted(ENGINE.rglob("*.py"))
SLICER_ONLY = {"slicer", "qt", "ctk", "vtk", "vtkmodules", "PythonQt"}
FLOORS = {
    "errors": 0,
    "process": 0,
    "streams": 0,
    "packages": 1,
    "settings": 1,
    "options": 1,
    "geometry": 1,
    "coordinates": 1,
    "interpolation": 1,
    "acquisition": 2,
    "normalization": 1,
    "complex_parts": 1,
    "metrics": 1,
    "device": 1,
    "filenames": 1,
    "leftovers": 1,
    "folders": 0,
    "convolution": 1,
    "model": 2,
    "kernels": 2,
    "backends": 2,
    "padding": 2,
    "planning": 2,
    "scratch": 2,
    "tiling": 1,
    "volume": 2,
    "resampling": 3,
    "upsampling": 3,
    "checkpoint": 3,
    "io": 3,
    "figure": 3,
    "record": 3,
    "timing": 3,
    "cli": 4,
    "commands": 4,
    "worker": 4,
    "__init__": 5,
    "__main__": 5,
    "training": 4,
    "evaluation": 4,
    "cohort": 4,
}
# Entries never import each other. The command line is one entry in two rooms, and loads what it starts when called.
# Kernels and backends are other implementations of the networks, and import them; networks import neither.
MAY_ALSO_IMPORT = {
    # Volumes and plans contain slice profiles.
    "volume": {"acquisition"},
    "planning": {"acquisition"},
    # The decision on a slice profile reads a volume and its padding; a volume only contains profiles.
    "acquisition": {"padding", "volume"},
    # A record contains the outcome of an upsampling.
    "record": {"upsampling"},
    "cli": {"commands", "cohort", "training", "evaluation"},
    # Each scan of a cohort is upsampled like a single volume.
    "cohort": {"commands"},
    "kernels": {"model"},
    "backends": {"model"},
}
# Packages that only these rooms may import.
ONLY_IN = {
    "SimpleITK": {"io"},
    "nibabel": {"io"},
    "pydicom": {"io"},
    "matplotlib": {"figure", "evaluation"},
    "safetensors": {"checkpoint"},
    "openvino": {"backends"},
    "ants": {"evaluation"},
    # No room may open a connection.
    **{name: set() for name in ("pooch", "requests", "urllib", "http", "socket")},
    # For the processor's name on macOS, for ANTs in the evaluation, and for the BIDS validator of a cohort.
    "subprocess": {"cohort", "device", "evaluation"},
    # Only available for GPUs on Linux.
    "triton": {"kernels"},
    "tqdm": {"cohort", "commands", "worker", "training", "evaluation"},
    "argparse": {"cli", "cohort", "commands", "worker", "training", "evaluation"},
    **{name: {"cohort"} for name in ("bids2table", "dask", "dask_jobqueue", "distributed")},
    "jinja2": {"cohort"},
    "PIL": {"cohort"},
}


def room_of(path: Path) -> str:
    return path.relative_to(ENGINE).parts[0].removesuffix(".py")


def imports_of(path: Path, *, at_file_scope: bool = False) -> set[str]:
    """Return the dotted names that a file imports; relative ones are made absolute."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = ["ArSSRLib", *path.relative_to(ENGINE).parts[:-1]]
    names = set()
    for node in ast.iter_child_nodes(tree) if at_file_scope else ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*start, *(node.module or "").split(".")]).rstrip(".")
            names |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return names


def engine_rooms(names: set[str]) -> set[str]:
    """Return the rooms of the engine among imported names."""
    return {name.split(".")[1] for name in names if name.startswith("ArSSRLib.")} & set(FLOORS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ENGINE).as_posix())
def test_a_file_imports_only_from_lower_floors(path):
    room = room_of(path)
    assert room in FLOORS, f"{path.name} has no floor: add it to the layout and to this test"

    not_below = {other for other in engine_rooms(imports_of(path)) if FLOORS[other] >= FLOORS[room]}

    assert not_below - {room} - MAY_ALSO_IMPORT.get(room, set()) == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ENGINE).as_posix())
def test_the_engine_never_imports_slicer(path):
    assert {name.split(".")[0] for name in imports_of(path)} & SLICER_ONLY == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ENGINE).as_posix())
def test_a_restricted_package_is_imported_only_in_its_room(path):
    outside = {name.split(".")[0] for name in imports_of(path)}

    assert {name for name in outside & set(ONLY_IN) if room_of(path) not in ONLY_IN[name]} == set()


@pytest.mark.parametrize("path", [*FILES, *sorted((ROOT / "ArSSR").rglob("*.py"))], ids=lambda path: path.name)
def test_no_shell_is_used(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]

    assert {ast.unparse(call.func) for call in calls} & {"os.system", "os.popen", "eval", "exec"} == set()
    assert [call.lineno for call in calls if any(word.arg == "shell" for word in call.keywords)] == []


def test_the_command_line_loads_training_only_when_needed():
    names = imports_of(ENGINE / "cli.py", at_file_scope=True)

    assert engine_rooms(names) & {"training", "evaluation", "worker"} == set()


def test_networks_import_only_what_concerns_tensors():
    rooms = set().union(*(engine_rooms(imports_of(path)) for path in FILES if room_of(path) == "model"))

    assert rooms <= {"errors", "coordinates", "interpolation", "convolution", "model"}


def test_geometry_imports_no_library_for_tensors_or_files():
    outside = {name.split(".")[0] for name in imports_of(ENGINE / "geometry.py")}

    assert outside & {"torch", "scipy", "nibabel", "SimpleITK"} == set()


def test_no_room_is_called_utils():
    names = {path.stem for path in FILES} | {path.parent.name for path in FILES}

    assert names & {"utils", "util", "helpers", "helper", "common", "misc"} == set()


def test_cmake_lists_exactly_the_existing_files():
    listing = (ENGINE / "CMakeLists.txt").read_text(encoding="utf-8")
    listed = re.findall(r"^\s+([\w./-]+\.\w+)\s*$", listing, flags=re.MULTILINE)
    on_disk = {
        path.relative_to(ENGINE).as_posix()
        for path in ENGINE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.name != "CMakeLists.txt"
    }

    assert len(listed) == len(set(listed))
    assert set(listed) == on_disk
