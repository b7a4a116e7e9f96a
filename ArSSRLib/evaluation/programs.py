"""External programs, run on a case as a user would run them, with their processor time.

They run as separate processes and are never imported. A program receives the volume on a grid with equal edges, because
some programs derive the size of their result from a rounded ratio of spacings. Its result must lie on the fine grid
of the same field of view, and is then assigned to the grid of the truth, whose edges differ by less than a hundredth.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from ArSSRLib.errors import ArSSRError, InputError, one_line
from ArSSRLib.evaluation.cases import Case
from ArSSRLib.geometry import VolumeGeometry, scale_label, times
from ArSSRLib.io import write_volume
from ArSSRLib.io.files import replacing
from ArSSRLib.volume import Volume

# Largest relative difference between the edges of a truth; above it, the program would see another shape.
EQUAL = 0.01


class ProgramMissing(ArSSRError):  # noqa: N818 - a state of this machine, not a mistake
    """A program is not installed."""


def grids_of(case: Case) -> tuple[VolumeGeometry, VolumeGeometry]:
    """Return the grids of the input and of the expected result: edges of fine voxels are replaced by their mean.

    Raises:
        InputError: If the edges differ by a hundredth or more.
    """
    edges = np.array(case.fine.spacing)
    if np.ptp(edges) >= EQUAL * edges.mean():
        shown = times(edges, 4)
        msg = f"{case.subject}: voxels of {shown} mm; a program needs equally long edges, so set a spacing in mm."
        raise InputError(msg)
    # Rounded to hundredths of a millimeter, as in headers, so that ratios of spacings are exact.
    edge = round(float(edges.mean()), 2)
    fine = VolumeGeometry(case.fine.size, (edge,) * 3, case.fine.origin, case.fine.direction)
    return fine.resized(case.coarse.geometry.size), fine


def run_program(command: str, case: Case, result: Path) -> None:
    """Run a program on a case, and store the processor time beside its result.

    Args:
        command: Command line as in a shell; ``{input}`` is the volume, ``{folder}`` the folder of the result,
            ``{profile}`` the degradation, and ``{thickness}`` the full width at half maximum of a slice in voxels of
            the result.
        case: The case.
        result: The expected output file.

    Raises:
        ProgramMissing: If the program is not installed.
        InputError: If it fails or writes no result.
    """
    name, *words = shlex.split(command)
    program = shutil.which(name)
    if program is None:
        msg = f"the program {name} is not installed"
        raise ProgramMissing(msg)
    result.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{case.subject}_{scale_label(case.scale)}_{case.degradation}.nii.gz"
        write_volume(Volume(case.coarse.array, grids_of(case)[0]), path)
        values = {"input": path, "folder": result.parent, "profile": case.degradation, "thickness": max(case.factors)}
        before = processor_seconds()
        # The command is from the user's own protocol.
        done = subprocess.run(
            [program, *(word.format(**values) for word in words)], capture_output=True, text=True, check=False
        )
        seconds = processor_seconds() - before
    if done.returncode != 0 or not result.is_file():
        reason = one_line((done.stderr or done.stdout)[-400:]) or "it printed nothing"
        msg = f"{name} ended with exit code {done.returncode} and wrote no {result}: {reason}"
        raise InputError(msg)
    with replacing(_note_of(result), ".json") as temporary:
        temporary.write_text(json.dumps({"processor_seconds": round(seconds, 1)}) + "\n", encoding="utf-8")


def noted_seconds(result: Path) -> float:
    """Return the processor time stored beside a result, or NaN."""
    try:
        return float(json.loads(_note_of(result).read_text(encoding="utf-8"))["processor_seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return float("nan")


def processor_seconds() -> float:
    """Return the processor time of this process and of its finished child processes.

    On a busy machine, or with several threads, it is more meaningful than the elapsed time.
    """
    return sum(os.times()[:4])


def _note_of(result: Path) -> Path:
    return result.with_name(f"{result.name}.json")
