"""Volume nodes, regions of interest and sequences in a scene, made from arrays and numbers; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import phantoms
import slicer
import vtk
from vtk.util import numpy_support

from ArSSRLib.geometry import VolumeGeometry


def grid(kind: str) -> VolumeGeometry:
    """Return a grid of one of the kinds that are common in hospitals."""
    return {
        "axial": VolumeGeometry((9, 8, 7), (1.0, 1.0, 1.0)),
        "thick": VolumeGeometry((12, 11, 5), (0.7, 0.7, 4.8), (-80.0, 61.5, -203.25)),
        "oblique": VolumeGeometry((10, 9, 6), (0.9, 1.1, 2.5), (-31.0, 12.5, 47.25), phantoms.rotation(11, -17, 29)),
        "left-handed": VolumeGeometry(
            (7, 8, 6), (1.2, 0.8, 1.0), (40.0, -25.0, 10.0), (0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
        ),
    }[kind]


KINDS = ("axial", "thick", "oblique", "left-handed")


def blob(geometry: VolumeGeometry, *, dtype: str = "int16", height: float = 800.0) -> np.ndarray:
    """Return a smooth blob at the center of a grid, shape (k, j, i)."""
    axes = [np.linspace(-1, 1, n) for n in geometry.shape]
    k, j, i = np.meshgrid(*axes, indexing="ij")
    return (height * np.exp(-2 * (k**2 + j**2 + i**2))).astype(dtype)


def add_volume(
    geometry: VolumeGeometry, array: np.ndarray, *, name: str = "T1", class_name: str = "vtkMRMLScalarVolumeNode"
) -> slicer.vtkMRMLScalarVolumeNode:
    """Return a new volume node of the scene, displayed like loaded volumes in Slicer."""
    node = slicer.mrmlScene.AddNewNodeByClass(class_name, name)
    fill(node, geometry, array)
    node.CreateDefaultDisplayNodes()
    return node


def fill(node: slicer.vtkMRMLScalarVolumeNode, geometry: VolumeGeometry, array: np.ndarray) -> None:
    """Set the voxels, shape (k, j, i), and the position of a node, with VTK only."""
    image = vtk.vtkImageData()
    image.SetDimensions(array.shape[::-1])
    scalars = numpy_support.numpy_to_vtk(np.ascontiguousarray(array).ravel(), deep=True)
    image.GetPointData().SetScalars(scalars)
    node.SetAndObserveImageData(image)
    node.SetIJKToRASMatrix(vtk_matrix(geometry.ras_affine))


def vtk_matrix(matrix: np.ndarray) -> vtk.vtkMatrix4x4:
    """Return a 4x4 matrix as a VTK object."""
    result = vtk.vtkMatrix4x4()
    result.DeepCopy(np.ravel(matrix).tolist())
    return result


def array_of(node: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray:
    """Return a copy of the voxels of a node, shape (k, j, i)."""
    image = node.GetImageData()
    return numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1]).copy()


def ijk_to_ras(node: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray:
    """Return the IJK to RAS matrix of a node, shape (4, 4), before its transforms."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def corners(node: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray:
    """Return the eight outer corners of the field of view in the world, shape (8, 3), in RAS mm, with VTK."""
    size = node.GetImageData().GetDimensions()
    to_world = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(node.GetParentTransformNode(), None, to_world)
    index = np.array([[(-0.5, n - 0.5)[bit >> axis & 1] for axis, n in enumerate(size)] for bit in range(8)])
    points = index @ ijk_to_ras(node)[:3, :3].T + ijk_to_ras(node)[:3, 3]
    return np.array([to_world.TransformPoint(point) for point in points])


def add_transform(matrix: np.ndarray, *, name: str = "Transform") -> slicer.vtkMRMLLinearTransformNode:
    """Return a new linear transform of the scene, from its 4x4 matrix to the parent."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", name)
    node.SetMatrixTransformToParent(vtk_matrix(matrix))
    return node


def add_roi(center: Sequence[float], size: Sequence[float], *, axes: np.ndarray | None = None) -> slicer.vtkMRMLNode:
    """Return a new region of interest: center and size in RAS mm, along the columns of ``axes``."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "R")
    matrix = np.eye(4)
    matrix[:3, :3] = np.eye(3) if axes is None else axes
    matrix[:3, 3] = center
    node.SetAndObserveObjectToNodeMatrix(vtk_matrix(matrix))
    node.SetSize(*size)
    return node


def add_sequence(
    geometry: VolumeGeometry, arrays: Sequence[np.ndarray], values: Sequence[str], *, name: str = "Cine"
) -> tuple[slicer.vtkMRMLSequenceNode, slicer.vtkMRMLSequenceBrowserNode, slicer.vtkMRMLScalarVolumeNode]:
    """Return a new sequence of volumes, its browser, and the proxy that shows the first frame."""
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
    sequence.SetIndexName("trigger time")
    sequence.SetIndexUnit("ms")
    for array, value in zip(arrays, values, strict=True):
        frame = slicer.vtkMRMLScalarVolumeNode()
        frame.SetName(name)
        fill(frame, geometry, array)
        sequence.SetDataNodeAtValue(frame, value)
    proxy = add_volume(geometry, arrays[0], name=name)
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", f"{name} browser")
    browser.AddSynchronizedSequenceNodeID(sequence.GetID())
    browser.AddProxyNode(proxy, sequence, False)
    browser.SetSelectedItemNumber(0)
    return sequence, browser, proxy
