"""A box drawn in the views as a box of voxels of the result."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import slicer
import vtk

from ArSSRLib.errors import InputError
from ArSSRLib.geometry import Region, VolumeGeometry
from ArSSRPanel.nodes import geometryOf

# Points along each axis of the box. Its corners would do, if no transform were bent.
POINTS = 9
# Part of a voxel that a face may stick out without counting as touching the next one: rounding, not a wish.
TOLERANCE = 1e-6


def regionOf(roi: slicer.vtkMRMLMarkupsROINode, node: slicer.vtkMRMLScalarVolumeNode, scale: Sequence[float]) -> Region:
    """Return the voxels of the upsampled grid that a region of interest touches, (first, stop) along i, j, k.

    The box may be turned, and either node may be under transforms. The result is the smallest box of voxels around
    it, cut at the faces of the volume.

    Raises:
        InputError: If the region of interest has no extent or misses the volume.
    """
    if min(roi.GetSize()) <= 0:
        msg = f'The region of interest "{roi.GetName()}" has no extent; place its corners in a view first.'
        raise InputError(msg)
    fine = geometryOf(node).upsampled(scale)
    index = _toIndex(_pointsOf(roi, node), fine)
    box = []
    for axis, size in enumerate(fine.size):
        # Voxel n fills n - 0.5 to n + 0.5.
        first = math.floor(index[:, axis].min() + 0.5 + TOLERANCE)
        stop = math.ceil(index[:, axis].max() + 0.5 - TOLERANCE)
        box.append((max(first, 0), min(stop, size)))
    if any(first >= stop for first, stop in box):
        msg = (
            f'The region of interest "{roi.GetName()}" lies outside the volume "{node.GetName()}"; '
            "move it onto the anatomy, or use none."
        )
        raise InputError(msg)
    return (box[0], box[1], box[2])


def _pointsOf(roi: slicer.vtkMRMLMarkupsROINode, node: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray:
    """Return points all over the box, shape (N, 3), in RAS mm before the transforms of the volume."""
    toVolume = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(
        roi.GetParentTransformNode(), node.GetParentTransformNode(), toVolume
    )
    steps = [np.linspace(-0.5, 0.5, POINTS) * extent for extent in roi.GetSize()]
    objectToNode = roi.GetObjectToNodeMatrix()
    return np.array(
        [toVolume.TransformPoint(objectToNode.MultiplyPoint((*point, 1.0))[:3]) for point in itertools.product(*steps)]
    )


def _toIndex(points: np.ndarray, geometry: VolumeGeometry) -> np.ndarray:
    """Return where points in RAS mm lie on a grid, shape (N, 3), in voxels from the center of the first one."""
    inverse = np.linalg.inv(geometry.ras_affine)
    return points @ inverse[:3, :3].T + inverse[:3, 3]
