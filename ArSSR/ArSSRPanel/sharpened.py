"""The axis along which a result differs most from its input, and the planes and views that show it.

Only spacings and directions count here, not voxels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import slicer
import slicer.util
import vtk

# Factors and spacings count as equal up to this ratio.
EQUAL = 1.05


def sharpenedAxis(spacing: Sequence[float], factors: Sequence[float]) -> int | None:
    """Return the axis with the largest factor, or with the largest spacing if the factors are equal.

    None if the spacings, in mm along i, j, k, are equal, too.
    """
    for lengths in (factors, spacing):
        if max(lengths) > EQUAL * min(lengths):
            return int(np.argmax(lengths))
    return None


def sharpenedOrientation(
    inputVolume: slicer.vtkMRMLScalarVolumeNode, resultVolume: slicer.vtkMRMLScalarVolumeNode
) -> str:
    """Return the orientation that shows the improvement: a plane that contains that axis."""
    before, after = inputVolume.GetSpacing(), resultVolume.GetSpacing()
    axis = sharpenedAxis(before, [coarse / fine for coarse, fine in zip(before, after, strict=True)])
    if axis is None:
        return "Axial"
    matrix = vtk.vtkMatrix4x4()
    inputVolume.GetIJKToRASDirectionMatrix(matrix)
    thick = slicer.util.arrayFromVTKMatrix(matrix)[:3, axis]
    # Sagittal planes contain every thick axis except the left-right one, which axial planes contain.
    return "Axial" if np.argmax(np.abs(thick)) == 0 else "Sagittal"


def turnToSharpened(
    node: slicer.vtkMRMLSliceNode,
    inputVolume: slicer.vtkMRMLScalarVolumeNode,
    resultVolume: slicer.vtkMRMLScalarVolumeNode,
) -> None:
    """Rotate a view to the orientation that shows the improvement, along the axes of an oblique volume."""
    node.SetOrientation(sharpenedOrientation(inputVolume, resultVolume))
    node.RotateToVolumePlane(resultVolume)


def bestView(names: Iterable[str], widgets: dict[str, Any], axis: np.ndarray | None) -> str:
    """Return the name of the slice view whose plane is most parallel to an axis; "" if there are no views.

    The axis is a direction in RAS, shape (3,); without one, it is the first view.
    """

    def across(name: str) -> float:
        """Return the cosine of the angle between the axis and the normal of the view."""
        normal = slicer.util.arrayFromVTKMatrix(widgets[name].mrmlSliceNode().GetSliceToRAS())[:3, 2]
        return 0.0 if axis is None else round(float(abs(normal @ axis) / np.linalg.norm(axis)), 2)

    return min(names, key=across, default="")
