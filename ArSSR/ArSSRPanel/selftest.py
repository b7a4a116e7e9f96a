"""The self-test of *Reload and Test*: the whole path of a volume node through the worker, with a tiny model."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import slicer.util
import vtk
from slicer.i18n import tr as _

from ArSSRLib import __file__ as engine
from ArSSRLib.options import UpsamplingOptions
from ArSSRPanel.dependencies import describeInstallation, findInstallation
from ArSSRPanel.process import pythonExecutable

SCALE = (2.0, 2.0, 3.0)
# Oblique and left-handed, so that shifted or mirrored anatomy is detected.
PHANTOM_IJK_TO_RAS = ((-0.8, 0.9, 0.0, 12.0), (0.6, 1.2, 0.0, -7.0), (0.0, 0.0, -3.0, 40.0), (0.0, 0.0, 0.0, 1.0))
TINY_MODEL = """
import sys
import torch
from ArSSRLib.checkpoint import save_model
from ArSSRLib.model.arssr2 import ArSSR2Config
from ArSSRLib.model.registry import build_model
torch.manual_seed(0)
model = build_model(ArSSR2Config(channels=8, blocks=1, feature_channels=8, decoder_layers=1))
save_model(model, sys.argv[1], metadata={})
"""


def resultLiesOverItsInput(logic: Any) -> str:
    """Upsample a phantom, verify that it keeps its position and that the input is not changed, and report in one line.

    Raises:
        AssertionError: If the result or its position is wrong.
    """
    found = findInstallation()
    if not found.complete:
        return _("ArSSR: nothing was upsampled. {state}").format(state=describeInstallation(found))
    phantom = makePhantom()
    before = slicer.util.arrayFromVolume(phantom).copy()
    with tempfile.TemporaryDirectory(prefix="ArSSR-test-") as folder:
        model = makeTinyModel(Path(folder) / "tiny.safetensors")
        options = UpsamplingOptions(device="cpu")
        result = logic.process(phantom, scale=SCALE, model=str(model), options=options)
    expected = [
        round(size * factor) for size, factor in zip(phantom.GetImageData().GetDimensions(), SCALE, strict=True)
    ]
    _check(list(result.GetImageData().GetDimensions()) == expected, f"size {result.GetImageData().GetDimensions()}")
    moved = float(np.abs(corners(result) - corners(phantom)).max())
    _check(moved < 1e-6, f"a corner of the field of view moved by {moved:.3g} mm")
    _check(np.array_equal(slicer.util.arrayFromVolume(phantom), before), "the input was changed")
    fine = slicer.util.arrayFromVolume(result)
    _check(fine.dtype == before.dtype and fine.min() >= before.min() - 50, "the intensities are not those of the input")
    blocks = fine.reshape(before.shape[0], 3, before.shape[1], 2, before.shape[2], 2).mean(axis=(1, 3, 5))
    likeness = float(np.corrcoef(blocks.ravel(), before.ravel())[0, 1])
    _check(likeness > 0.95, f"the result is unlike its input (correlation {likeness:.3f})")
    return _("ArSSR: a phantom was upsampled; its corners moved by {moved} mm.").format(moved=f"{moved:.1e}")


def makePhantom() -> slicer.vtkMRMLScalarVolumeNode:
    """Return a new volume node with a bright off-center ellipsoid, on an oblique, left-handed grid."""
    k, j, i = np.meshgrid(np.arange(10), np.arange(14), np.arange(16), indexing="ij")
    distance = ((i - 6.0) / 6.0) ** 2 + ((j - 8.0) / 5.0) ** 2 + ((k - 5.0) / 4.0) ** 2
    array = (800 / (1 + np.exp(6 * (distance - 1)))).astype(np.int16)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "ArSSR phantom")
    slicer.util.updateVolumeFromArray(node, array)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(np.array(PHANTOM_IJK_TO_RAS)))
    return node


def makeTinyModel(path: Path) -> Path:
    """Write untrained weights of a small network, using the Python with PyTorch."""
    environment = {**os.environ, "PYTHONPATH": str(Path(engine).parents[1]), "PYTHONUTF8": "1"}
    command = [pythonExecutable(), "-c", TINY_MODEL, str(path)]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=300)
    return path


def corners(node: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray:
    """Return the outer corners of the field of view of a volume, in RAS mm, shape (8, 3)."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    faces = [(-0.5, size - 0.5) for size in node.GetImageData().GetDimensions()]
    points = [(i, j, k, 1.0) for i in faces[0] for j in faces[1] for k in faces[2]]
    return np.array(points) @ slicer.util.arrayFromVTKMatrix(matrix).T[:, :3]


def _check(holds: bool, found: str) -> None:
    """Fail with the findings; `assert` would have no effect in an optimized Python."""
    if not holds:
        raise AssertionError(found)
