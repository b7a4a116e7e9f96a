"""Packages the extension with the CMake macros of Slicer's sources: ``python Testing/supply/slicer_macros.py``.

Both arguments are existing source trees, of Slicer and of CTK, whose macro copies the scripts; nothing is downloaded,
and Slicer is not built. In a temporary folder, it configures, builds and installs the extension, and compares

* the installed files with those that the module needs: the files of `ArSSR` and `ArSSRLib` under version control;
* the description that Slicer generated with `ArSSR.s4ext`;
* the tests that Slicer would run with the existing tests.

Finally, the installed engine is used without the checkout. The exit code is 1 if there are differences, which are
listed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "Testing"))

from architecture.extension_files import MODULES, s4ext_fields  # noqa: E402 - beside this folder, not installed

HOST = Path(__file__).parent / "slicer_sources"
# The part of the description from CMakeLists.txt; the index takes the rest from ArSSR.json, and from the checkout.
GENERATED = ("build_subdirectory", "contributors", "depends", "description", "homepage", "iconurl", "screenshoturls")
# Slicer's own test of every module, and ours.
TESTS = {"py_nomainwindow_qSlicerArSSRModuleGenericTest", "py_ArSSR"}
IN_SOURCES = {"--slicer": "CMake/UseSlicer.cmake.in", "--ctk": "CMake/ctkMacroCompilePythonScript.cmake"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Package the extension, compare it, use it, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for flag, needed in IN_SOURCES.items():
        parser.add_argument(flag, type=Path, required=True, metavar="FOLDER", help=f"source tree, with {needed}")
    parsed = parser.parse_args(arguments)
    for flag, needed in IN_SOURCES.items():
        folder = getattr(parsed, flag.removeprefix("--"))
        if not (folder / needed).is_file():
            parser.error(f"{flag} {folder} has no {needed}; name the root of a source tree.")
    with tempfile.TemporaryDirectory(prefix="arssr-macros-") as name:
        differences = ship(Path(name), parsed.slicer.resolve(), parsed.ctk.resolve())
    print("\n".join(differences) or "Slicer's macros ship what the module needs.")
    return 1 if differences else 0


def ship(folder: Path, slicer: Path, ctk: Path) -> list[str]:
    """Install the extension into a folder with the macros of two source trees, and return the differences."""
    build, prefix = folder / "build", folder / "installed"
    cmake = shutil.which("cmake", path=str(Path(sys.executable).parent)) or "cmake"
    sources = [f"-DSlicer_DIR={HOST}", f"-DSLICER_SOURCE={slicer}", f"-DCTK_SOURCE={ctk}"]
    python = f"-DPYTHON_EXECUTABLE={sys.executable}"
    run([cmake, "-Wno-dev", "-S", ROOT, "-B", build, *sources, python, "-DBUILD_TESTING=ON"])
    run([cmake, "--build", build])
    run([cmake, "--install", build, "--prefix", prefix, "--component", "RuntimeLibraries"])
    (modules,) = prefix.rglob("qt-scripted-modules")
    shipped = {path.relative_to(modules).as_posix() for path in modules.rglob("*") if path.is_file()}
    scripts = {name for name in shipped if not name.endswith(".pyc")}
    print(f"{len(scripts)} files shipped, {len(shipped) - len(scripts)} of them compiled.")
    registered = "".join(path.read_text(encoding="utf-8") for path in build.rglob("CTestTestfile.cmake"))
    tests = set(re.findall(r"^add_test\(\W*(\w+)", registered, flags=re.MULTILINE))
    return [
        *(f"not shipped: {name}" for name in sorted(needed() - scripts)),
        *(f"shipped, but not needed: {name}" for name in sorted(scripts - needed())),
        *(f"not compiled: {name}" for name in sorted(scripts) if name.endswith(".py") and f"{name}c" not in shipped),
        *description_differences(prefix),
        *(f"a test that is missing, or that nobody knows: {name}" for name in sorted(tests ^ TESTS)),
        *unusable(modules, folder),
    ]


def needed() -> set[str]:
    """Return the files that the module needs, relative to the folder of modules; the engine is a subfolder."""
    listing = run(["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard", *MODULES])
    names = {name for name in listing.split("\0") if name and (ROOT / name).is_file()}
    return {name.removeprefix("ArSSR/") for name in names if Path(name).name != "CMakeLists.txt"}


def description_differences(prefix: Path) -> list[str]:
    """Compare the description that Slicer generated with the one in the checkout."""
    (generated,) = prefix.rglob("ArSSR.s4ext")
    written, ours = s4ext_fields(generated.parent), s4ext_fields(ROOT)
    return [
        f"ArSSR.s4ext, {name}: Slicer writes {written.get(name)!r}, not {ours[name]!r}"
        for name in GENERATED
        if written.get(name) != ours[name]
    ]


def unusable(modules: Path, folder: Path) -> list[str]:
    """Read every model with the installed engine, without the checkout on the path."""
    environment = {**os.environ, "PYTHONPATH": str(modules), "PYTHONDONTWRITEBYTECODE": "1"}
    where = "import ArSSRLib, sys; print(ArSSRLib.__file__)"
    found = run([sys.executable, "-c", where], cwd=folder, env=environment).strip()
    if not Path(found).is_relative_to(modules):
        return [f"the engine was not taken from {modules}, but from {found}"]
    print(run([sys.executable, "-m", "ArSSRLib", "models", "verify"], cwd=folder, env=environment).rstrip())
    return []


def run(command: Sequence[str | Path], **options: object) -> str:
    """Run a program and return its output; exit with its output if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    if done.returncode:
        print(done.stdout[-4000:], done.stderr[-4000:], sep="\n", file=sys.stderr)
        sys.exit(f"{command[0]} ended with code {done.returncode}.")
    return str(done.stdout)


if __name__ == "__main__":
    sys.exit(main())
