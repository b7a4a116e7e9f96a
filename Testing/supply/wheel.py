"""Builds the wheel and uses it like a user, outside the checkout: ``python Testing/supply/wheel.py``.

In a temporary folder: builds source archive and wheel with `build`, installs the wheel into an empty environment, and
there, outside the repository, imports the package, calls the command, and upsamples a small volume on a phantom's grid.
Not part of `make test`: pip needs the network, or a folder of wheels (`PIP_FIND_LINKS`).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PHANTOM = """
import numpy as np
from ArSSRLib import Volume, VolumeGeometry, write_volume
geometry = VolumeGeometry(size=(20, 24, 10), spacing=(1.0, 1.0, 2.0), origin=(-10.0, 5.0, 3.0))
k, j, i = np.indices(geometry.shape, dtype=np.float32)
ellipsoid = ((i - 9) / 8) ** 2 + ((j - 11) / 9) ** 2 + ((k - 5) / 4) ** 2 < 1
write_volume(Volume(ellipsoid * (100 + 10 * np.sin(i)).astype(np.float32), geometry), "phantom.nii.gz")
"""
CHECK = """
import numpy as np
import ArSSRLib
from ArSSRLib import read_volume
from pathlib import Path
assert Path(ArSSRLib.__file__).is_relative_to(Path({environment!r})), ArSSRLib.__file__
assert Path(ArSSRLib.__file__).with_name("py.typed").is_file()
assert [name for name in ArSSRLib.__all__ if not hasattr(ArSSRLib, name)] == []
before, after = read_volume("phantom.nii.gz"), read_volume("isotropic.nii.gz")
assert after.geometry.size == (20, 24, 20), after.geometry.size
np.testing.assert_allclose(after.geometry.corners(), before.geometry.corners(), atol=1e-4)
print("largest intensity", before.array.max(), "->", after.array.max())
"""


def main() -> None:
    """Build the wheel, install it, and use it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="also copy source archive and wheel there")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="arssr-wheel-") as name:
        folder = Path(name).resolve()
        step("build", [sys.executable, "-m", "build", "--outdir", folder / "dist", ROOT])
        (wheel,) = (folder / "dist").glob("*.whl")
        use(wheel, folder)
        if args.keep is not None:
            shutil.copytree(folder / "dist", args.keep, dirs_exist_ok=True)


def use(wheel: Path, folder: Path) -> None:
    """Install a wheel into an empty environment and upsample a phantom with it."""
    step("create an empty environment", [sys.executable, "-m", "venv", folder / "environment"])
    programs = folder / "environment" / ("Scripts" if os.name == "nt" else "bin")
    python, arssr = programs / "python", programs / "arssr"
    step("install the wheel", [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel])
    work = folder / "work"
    work.mkdir()
    step("arssr --help", [arssr, "--help"], work)
    step("make a phantom", [python, "-c", PHANTOM], work)
    step("arssr info", [arssr, "info", "phantom.nii.gz"], work)
    step("arssr models verify", [arssr, "models", "verify"], work)
    step("arssr upsample", [arssr, "upsample", "phantom.nii.gz", "isotropic.nii.gz", "--isotropic"], work)
    step("check the result", [python, "-c", CHECK.format(environment=str(folder / "environment"))], work)


def step(title: str, command: list[str | Path], folder: Path | None = None) -> None:
    """Run one command without this checkout on its path; end with its output if it fails."""
    started = time.monotonic()
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - started
    print(f"{'ok' if done.returncode == 0 else 'FAILED':<6} {seconds:6.1f} s  {title}", flush=True)
    if done.returncode != 0:
        sys.exit(done.stdout + done.stderr)


if __name__ == "__main__":
    main()
