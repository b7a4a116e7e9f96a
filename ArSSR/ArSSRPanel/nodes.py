"""Conversion between volume nodes and `Volume` of the engine: voxels, position, display and hierarchy.

The two conventions meet here: RAS and MRML nodes on one side, LPS and arrays on the other. Input nodes are only read.
`request` decides which nodes can be upsampled; files and processes are handled elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import slicer
import slicer.util
import vtk
from vtk.util import numpy_support

from ArSSRLib.geometry import VolumeGeometry, times_label
from ArSSRLib.volume import FileHeader, Volume

HELPER_ATTRIBUTE = "ArSSR.Helper"


def geometryOf(node: slicer.vtkMRMLScalarVolumeNode) -> VolumeGeometry:
    """Return the grid of a volume node before parent transforms.

    Raises:
        InputError: If the node has no voxels, or its IJK to RAS matrix is singular, sheared or not finite.
    """
    image = node.GetImageData()
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    affine = slicer.util.arrayFromVTKMatrix(matrix)
    return VolumeGeometry.from_ras_affine(image.GetDimensions() if image else (0, 0, 0), affine)


def grayVolumes() -> list[slicer.vtkMRMLScalarVolumeNode]:
    """Return the volumes of the scene that can be sharpened; label maps, which are also volumes, are excluded."""
    volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    shown = (volume for volume in volumes if not volume.GetHideFromEditors())
    return [volume for volume in shown if volume.GetClassName() == "vtkMRMLScalarVolumeNode"]


def addHelperVolume(name: str) -> slicer.vtkMRMLScalarVolumeNode:
    """Add an empty temporary volume, which is hidden from lists and never saved."""
    node = slicer.vtkMRMLScalarVolumeNode()
    node.SetName(name)
    node.SetSaveWithScene(False)
    node.SetHideFromEditors(True)
    node.SetAttribute(HELPER_ATTRIBUTE, "1")
    slicer.mrmlScene.AddNode(node)
    # Not CreateDefaultDisplayNodes, which would search all voxels for levels that are then replaced.
    display = slicer.vtkMRMLScalarVolumeDisplayNode()
    display.SetSaveWithScene(False)
    slicer.mrmlScene.AddNode(display)
    display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeGrey")
    node.SetAndObserveDisplayNodeID(display.GetID())
    return node


def volumeFromNode(node: slicer.vtkMRMLScalarVolumeNode) -> Volume:
    """Return the voxels of a volume node as a read-only view, and its position before parent transforms.

    Raises:
        InputError: If the node is not one grayscale volume on a rectangular grid.
    """
    geometry = geometryOf(node)
    array = numpy_support.vtk_to_numpy(node.GetImageData().GetPointData().GetScalars())
    array = array.reshape(geometry.shape)
    array.flags.writeable = False
    # The type is stated, so that it is kept in the file between the processes, including 64-bit integers.
    return Volume(array, geometry, FileHeader(dtype=array.dtype))


def updateNodeFromVolume(node: slicer.vtkMRMLScalarVolumeNode, volume: Volume) -> None:
    """Replace the voxels and the position of a volume node by those of a volume."""
    image = vtk.vtkImageData()
    image.SetDimensions(volume.geometry.size)
    image.AllocateScalars(numpy_support.get_vtk_array_type(volume.array.dtype), 1)
    # A new image instead of filling the old one, which a frame of a sequence may share with its proxy.
    numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())[:] = volume.array.ravel()
    with slicer.util.NodeModify(node):
        node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(volume.geometry.ras_affine))
        node.SetAndObserveImageData(image)


def bentTransform(node: slicer.vtkMRMLNode) -> str:
    """Return the effect of a non-linear parent transform on a run; "" if there is none."""
    transform = node.GetParentTransformNode() if node.IsA("vtkMRMLTransformableNode") else None
    if transform is None or transform.IsTransformToWorldLinear():
        return ""
    return (
        f'The volume is under the non-linear transform "{transform.GetName()}". It is upsampled as it is before that '
        "transform, and so are the spacing and the scale meant; the result is put under the same transform."
    )


def copyAppearance(source: slicer.vtkMRMLScalarVolumeNode, target: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Copy the display of ``source`` to ``target``: window and level, color, threshold, interpolation, unit."""
    target.SetVoxelValueQuantity(source.GetVoxelValueQuantity())
    target.SetVoxelValueUnits(source.GetVoxelValueUnits())
    shown, display = source.GetDisplayNode(), target.GetDisplayNode()
    if shown is None:
        if display is None:
            target.CreateDefaultDisplayNodes()
        return
    if display is None:
        # Not CreateDefaultDisplayNodes, which would search all voxels for levels that are replaced below.
        display = target.GetScene().AddNewNodeByClass("vtkMRMLScalarVolumeDisplayNode")
    with slicer.util.NodeModify(display):
        display.SetAndObserveColorNodeID(shown.GetColorNodeID())
        display.SetInterpolate(shown.GetInterpolate())
        display.SetInvertDisplayScalarRange(shown.GetInvertDisplayScalarRange())
        # Automatic levels would be computed from the voxels of the target, so that equal intensities would look
        # different.
        display.SetAutoWindowLevel(False)
        display.SetAutoThreshold(False)
        display.SetApplyThreshold(shown.GetApplyThreshold())
        display.SetThreshold(shown.GetLowerThreshold(), shown.GetUpperThreshold())
        display.SetWindowLevel(shown.GetWindow(), shown.GetLevel())
    target.SetAndObserveDisplayNodeID(display.GetID())


def placeBeside(source: slicer.vtkMRMLNode, target: slicer.vtkMRMLNode) -> None:
    """Give ``target`` the parent transform and the subject hierarchy parent of ``source``."""
    if source.IsA("vtkMRMLTransformableNode"):
        transform = source.GetParentTransformNode()  # GetTransformNodeID would change the time stamp of the input
        target.SetAndObserveTransformNodeID(transform.GetID() if transform else None)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(source.GetScene())
    item = hierarchy.GetItemByDataNode(source)
    if item == hierarchy.GetInvalidItemID():
        return
    parent = hierarchy.GetItemParent(item)
    placed = hierarchy.GetItemByDataNode(target)
    if placed == hierarchy.GetInvalidItemID():
        hierarchy.CreateItem(parent, target)
    else:
        hierarchy.SetItemParent(placed, parent)


def outputName(node: slicer.vtkMRMLNode, scale: Sequence[float]) -> str:
    """Return the name of a result: "T1 ArSSR 2x", or "T1 ArSSR 1x1x4" if the axes differ (i, j, k)."""
    return f"{node.GetName() or 'Volume'} ArSSR {times_label(scale)}"
