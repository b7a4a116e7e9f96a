"""What must start fast, or before anything is installed, imports nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "numpy", "scipy", "nibabel", "SimpleITK", "matplotlib")


def loaded_after(code: str) -> set[str]:
    """Return which heavy packages a fresh interpreter has loaded after running ``code``."""
    report = f"import sys\n{code}\nprint('LOADED', *[name for name in {HEAVY} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True, timeout=120)
    return set(result.stdout.splitlines()[-1].split()[1:])


def test_importing_the_package_needs_nothing_installed():
    assert loaded_after("import ArSSRLib; ArSSRLib.__version__; dir(ArSSRLib)") == set()


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["upsample", "--help"], ["upsample", "a", "b"]])
def test_the_command_line_parses_without_loading_anything_heavy(arguments):
    code = f"from ArSSRLib.cli import main\ntry:\n    main({arguments})\nexcept SystemExit:\n    print()"

    assert loaded_after(code) == set()


def test_geometry_and_volumes_need_no_pytorch():
    assert "torch" not in loaded_after("from ArSSRLib import ArSSRError, Volume, VolumeGeometry")


def test_every_public_name_can_be_loaded():
    code = "import ArSSRLib\nassert all(getattr(ArSSRLib, name) is not None for name in ArSSRLib.__all__)"

    assert "torch" in loaded_after(code)


def test_an_unknown_name_is_refused_as_python_does():
    code = "import ArSSRLib\ntry:\n    ArSSRLib.nonsense\nexcept AttributeError as error:\n    print(error)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)

    assert result.stdout.strip() == "module 'ArSSRLib' has no attribute 'nonsense'"
