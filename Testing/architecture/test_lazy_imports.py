"""Entries that must start fast, or before anything is installed, import no large packages."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

HEAVY = ("torch", "numpy", "scipy", "nibabel", "SimpleITK", "matplotlib")


def loaded_after(code: str) -> set[str]:
    """Return the large packages that a new interpreter has loaded after running ``code``."""
    report = f"import sys\n{code}\nprint('LOADED', *[name for name in {HEAVY} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True, timeout=120)
    return set(result.stdout.splitlines()[-1].split()[1:])


def test_importing_the_package_requires_no_other_package():
    assert loaded_after("import ArSSRLib; ArSSRLib.__version__; dir(ArSSRLib)") == set()


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["upsample", "--help"], ["upsample", "a", "b"], ["bids", "--help"]]
)
def test_the_command_line_parses_without_loading_anything_heavy(arguments):
    code = f"from ArSSRLib.cli import main\ntry:\n    main({arguments})\nexcept SystemExit:\n    print()"

    assert loaded_after(code) == set()


def test_geometry_and_volumes_do_not_load_pytorch():
    assert "torch" not in loaded_after("from ArSSRLib import ArSSRError, Volume, VolumeGeometry")


def test_planning_and_exchanging_volumes_do_not_load_pytorch():
    code = """
from ArSSRLib import Volume, VolumeGeometry, read_volume, write_volume
from ArSSRLib.checkpoint import DEFAULT_MODEL, find_entry, registry, verify
from ArSSRLib.io import itk
from ArSSRLib.options import DEFAULT_OPTIONS
from ArSSRLib.planning import Work
verify(find_entry(DEFAULT_MODEL))
numbers = {"halo": 1, "bytes_per_coarse_voxel": 1, "encoding_cost": 40.0, "base_memory": 0, "available_memory": 10**10}
Work(VolumeGeometry((4, 4, 4), (1.0, 1.0, 1.0)), "i2", 2, DEFAULT_OPTIONS, **numbers).plan()"""

    assert "torch" not in loaded_after(code)


def test_deciding_on_the_slice_profile_does_not_load_pytorch():
    code = """
import numpy as np
from ArSSRLib import Volume, VolumeGeometry
from ArSSRLib.acquisition.decision import decide
from ArSSRLib.options import DEFAULT_OPTIONS
array = np.random.default_rng(0).normal(900, 90, (20, 20, 20))
array[:5] = -9999
print(decide(Volume(array, VolumeGeometry((20, 20, 20), (1.0, 1.0, 1.0))), DEFAULT_OPTIONS))"""

    assert "torch" not in loaded_after(code)


def test_the_panel_imports_only_packages_that_slicer_has():
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "ArSSR").rglob("*.py")]
    lines = {
        ast.unparse(node)
        for tree in trees
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("ArSSRLib")
    }
    lacking = ("torch", "psutil", "safetensors", "nibabel", "pydicom", "tqdm")
    code = "\n".join([*sorted(lines), f"print([name for name in {lacking} if name in sys.modules])"])
    result = subprocess.run([sys.executable, "-c", f"import sys\n{code}"], capture_output=True, text=True, check=True)

    assert len(lines) > 0
    assert result.stdout.strip() == "[]"


def test_a_job_is_refused_before_anything_heavy_is_loaded():
    code = """
from ArSSRLib.errors import InputError
from ArSSRLib.worker import main
from ArSSRLib.worker.job import job_from_table
try:
    job_from_table({"format": 2})
except InputError:
    print()"""

    assert loaded_after(code) == set()


def test_the_registry_of_weights_requires_no_other_package():
    assert loaded_after("from ArSSRLib.checkpoint import registry, sha256_of; dir(registry)") == set()


def test_functions_for_weights_are_loaded_on_first_use():
    code = """
import ArSSRLib.checkpoint as checkpoint
assert "load_model" in dir(checkpoint)
assert all(getattr(checkpoint, name) is not None for name in checkpoint.__all__)
try:
    checkpoint.nonsense
except AttributeError as error:
    assert "nonsense" in str(error)"""

    assert "torch" in loaded_after(code)


def test_every_public_name_can_be_loaded():
    code = "import ArSSRLib\nassert all(getattr(ArSSRLib, name) is not None for name in ArSSRLib.__all__)"

    assert "torch" in loaded_after(code)


def test_an_unknown_name_raises_the_usual_error_of_python():
    code = "import ArSSRLib\ntry:\n    ArSSRLib.nonsense\nexcept AttributeError as error:\n    print(error)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)

    assert result.stdout.strip() == "module 'ArSSRLib' has no attribute 'nonsense'"
