"""Conversion of a region of interest to a box of voxels of the result."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import slicer
import vtk

from ArSSRLib.errors import InputError
from ArSSRLib.geometry import Region
from ArSSRPanel.nodes import geometryOf

# Points along each axis of the region. The corners would be sufficient with linear transforms only.
POINTS = 9
# Fraction of a voxel that a face may exceed without including the next voxel, to allow for rounding.
TOLERANCE = 1e-6


def regionOf(roi: slicer.vtkMRMLMarkupsROINode, node: slicer.vtkMRMLScalarVolumeNode, scale: Sequence[float]) -> Region:
    """Return the voxels of the upsampled grid that a region of interest touches, (first, stop) along i, j, k.

    The region may be rotated, and both nodes may have parent transforms. The result is the bounding box in voxels,
    clipped to the volume.

    Raises:
        InputError: If the region has no extent or is outside the volume.
    """
    if min(roi.GetSize()) <= 0:
        msg = f'The region of interest "{roi.GetName()}" has no extent; place its corners in a view first.'
        raise InputError(msg)
    fine = geometryOf(node).upsampled(scale)
    inverse = np.linalg.inv(fine.ras_affine)
    index = _pointsOf(roi, node) @ inverse[:3, :3].T + inverse[:3, 3]  # in voxels from the center of the first one
    box = []
    for axis, size in enumerate(fine.size):
        # Voxel n extends from n - 0.5 to n + 0.5.
        first = math.floor(index[:, axis].min() + 0.5 + TOLERANCE)
        stop = math.ceil(index[:, axis].max() + 0.5 - TOLERANCE)
        box.append((max(first, 0), min(stop, size)))
    if any(first >= stop for first, stop in box):
        msg = (
            f'The region of interest "{roi.GetName()}" lies outside the volume "{node.GetName()}"; move it onto the '
            "anatomy, or use no region of interest."
        )
        raise InputError(msg)
    return (box[0], box[1], box[2])


def _pointsOf(roi: slicer.vtkMRMLMarkupsROINode, node: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray:
    """Return points throughout the region, shape (N, 3), in RAS mm before the transforms of the volume."""
    toVolume = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(
        roi.GetParentTransformNode(), node.GetParentTransformNode(), toVolume
    )
    steps = [np.linspace(-0.5, 0.5, POINTS) * extent for extent in roi.GetSize()]
    objectToNode = roi.GetObjectToNodeMatrix()
    return np.array(
        [toVolume.TransformPoint(objectToNode.MultiplyPoint((*point, 1.0))[:3]) for point in itertools.product(*steps)]
    )
