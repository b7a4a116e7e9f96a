"""Conversion between volume nodes and `Volume`: position, appearance and folder are kept."""

from __future__ import annotations

import mrml_volumes
import numpy as np
import pytest
import slicer
import vtk
from ArSSRPanel import nodes

from ArSSRLib.errors import InputError
from ArSSRLib.geometry import LPS_TO_RAS
from ArSSRLib.volume import Volume

ROTATION = np.array([[0.8, -0.6, 0.0, 11.0], [0.6, 0.8, 0.0, -7.0], [0.0, 0.0, 1.0, 3.5], [0.0, 0.0, 0.0, 1.0]])
SHEAR = np.array([[1.3, 0.4, 0.0, 5.0], [0.0, 0.7, 0.2, 0.0], [0.1, 0.0, -1.1, 2.0], [0.0, 0.0, 0.0, 1.0]])


@pytest.fixture
def thick(scene):
    """A volume with thick slices."""
    geometry = mrml_volumes.grid("thick")
    return mrml_volumes.add_volume(geometry, mrml_volumes.blob(geometry))


@pytest.mark.parametrize("kind", mrml_volumes.KINDS)
def test_a_node_is_read_with_its_voxels_and_its_position(scene, kind):
    geometry = mrml_volumes.grid(kind)
    array = mrml_volumes.blob(geometry)
    node = mrml_volumes.add_volume(geometry, array)

    volume = nodes.volumeFromNode(node)

    np.testing.assert_array_equal(volume.array, array)
    np.testing.assert_allclose(LPS_TO_RAS @ volume.geometry.affine, mrml_volumes.ijk_to_ras(node), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", mrml_volumes.KINDS)
def test_a_volume_is_written_to_a_node_at_its_exact_position(scene, kind):
    volume = Volume(mrml_volumes.blob(mrml_volumes.grid(kind), dtype="float32"), mrml_volumes.grid(kind))
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")

    nodes.updateNodeFromVolume(node, volume)

    np.testing.assert_array_equal(mrml_volumes.array_of(node), volume.array)
    np.testing.assert_allclose(mrml_volumes.ijk_to_ras(node), LPS_TO_RAS @ volume.geometry.affine, rtol=0, atol=1e-12)


@pytest.mark.parametrize("transforms", [[], [ROTATION], [ROTATION, SHEAR]], ids=["none", "linear", "two, one sheared"])
@pytest.mark.parametrize("kind", mrml_volumes.KINDS)
def test_a_finer_node_fills_the_field_of_view_of_the_input_in_the_world(scene, kind, transforms):
    geometry = mrml_volumes.grid(kind)
    node = mrml_volumes.add_volume(geometry, mrml_volumes.blob(geometry))
    below = node
    for matrix in transforms:
        parent = mrml_volumes.add_transform(matrix)
        below.SetAndObserveTransformNodeID(parent.GetID())
        below = parent
    fine = nodes.geometryOf(node).upsampled((2, 1.5, 3.3))
    result = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")

    nodes.updateNodeFromVolume(result, Volume(np.zeros(fine.shape, np.int16), fine))
    nodes.placeBeside(node, result)

    np.testing.assert_allclose(mrml_volumes.corners(result), mrml_volumes.corners(node), rtol=0, atol=1e-9)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"])
def test_every_voxel_type_is_supported(scene, dtype):
    geometry = mrml_volumes.grid("axial")
    array = mrml_volumes.blob(geometry, dtype=dtype, height=100)
    source = mrml_volumes.add_volume(geometry, array)
    target = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")

    nodes.updateNodeFromVolume(target, nodes.volumeFromNode(source))

    assert target.GetImageData().GetScalarType() == source.GetImageData().GetScalarType()
    np.testing.assert_array_equal(mrml_volumes.array_of(target), array)


def test_a_volume_of_bits_is_read_as_zeros_and_ones(scene):
    image = vtk.vtkImageData()
    image.SetDimensions(3, 3, 3)
    image.AllocateScalars(vtk.VTK_BIT, 1)
    array = np.arange(27).reshape(3, 3, 3) % 4 == 1
    for index, bit in enumerate(array.ravel()):
        image.GetPointData().GetScalars().SetValue(index, int(bit))
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    node.SetAndObserveImageData(image)

    np.testing.assert_array_equal(nodes.volumeFromNode(node).array, array)


def test_the_voxels_of_the_input_cannot_be_written_to(thick):
    with pytest.raises(ValueError, match="read-only"):
        nodes.volumeFromNode(thick).array[0, 0, 0] = 1


def test_a_sheared_matrix_is_refused_with_an_alternative(thick):
    thick.SetIJKToRASMatrix(mrml_volumes.vtk_matrix(SHEAR))
    sheared = vtk.vtkMatrix4x4()
    thick.GetIJKToRASMatrix(sheared)

    with pytest.raises(InputError, match=r"not perpendicular .* Resample Scalar Volume"):
        nodes.volumeFromNode(thick)


def test_a_node_that_gets_new_voxels_releases_the_old_ones(thick):
    old = thick.GetImageData()
    geometry = mrml_volumes.grid("axial")

    nodes.updateNodeFromVolume(thick, Volume(mrml_volumes.blob(geometry), geometry))

    assert old.GetReferenceCount() == 1  # only this test still has a reference


def test_a_result_is_displayed_like_the_input(scene, thick):
    shown = thick.GetDisplayNode()
    shown.SetAndObserveColorNodeID("vtkMRMLColorTableNodeRainbow")
    shown.AutoWindowLevelOff()
    shown.SetWindowLevel(321.5, 123.25)
    shown.SetThreshold(20, 700)
    shown.ApplyThresholdOn()
    shown.InterpolateOff()
    shown.SetInvertDisplayScalarRange(True)
    target = mrml_volumes.add_volume(mrml_volumes.grid("axial"), mrml_volumes.blob(mrml_volumes.grid("axial")))

    nodes.copyAppearance(thick, target)

    assert looks(target) == looks(thick)


def test_equal_intensities_look_equal_also_where_the_levels_of_the_input_are_automatic(scene, thick):
    geometry = mrml_volumes.grid("axial")
    target = mrml_volumes.add_volume(geometry, mrml_volumes.blob(geometry, height=5000))
    assert thick.GetDisplayNode().GetAutoWindowLevel()
    assert target.GetDisplayNode().GetWindow() != thick.GetDisplayNode().GetWindow()

    nodes.copyAppearance(thick, target)
    target.GetImageData().Modified()

    assert looks(target) == looks(thick)


def test_an_input_without_display_settings_gives_a_result_with_the_default_display(scene):
    source = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    geometry = mrml_volumes.grid("axial")
    mrml_volumes.fill(source, geometry, mrml_volumes.blob(geometry))
    target = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")

    nodes.copyAppearance(source, target)

    assert target.GetDisplayNode() is not None


def test_a_result_is_in_the_study_of_the_input(scene, thick):
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    study = hierarchy.CreateStudyItem(hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "P"), "S")
    hierarchy.CreateItem(study, thick)
    result = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")

    nodes.placeBeside(thick, result)

    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(result)) == study


def test_a_result_is_moved_to_the_folder_of_another_input(scene, thick):
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    folders = [hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), name) for name in "AB"]
    hierarchy.CreateItem(folders[0], thick)
    result = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    hierarchy.CreateItem(folders[1], result)

    nodes.placeBeside(thick, result)

    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(result)) == folders[0]


def test_linear_and_nonlinear_parent_transforms_are_distinguished(scene, thick):
    descriptions = [nodes.bentTransform(thick)]
    thick.SetAndObserveTransformNodeID(mrml_volumes.add_transform(ROTATION).GetID())
    descriptions.append(nodes.bentTransform(thick))
    bent = scene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "Warp")
    spline = vtk.vtkThinPlateSplineTransform()
    bent.SetAndObserveTransformToParent(spline)
    thick.SetAndObserveTransformNodeID(bent.GetID())
    descriptions.append(nodes.bentTransform(thick))

    assert descriptions[:2] == ["", ""]
    assert '"Warp"' in descriptions[2]
    assert "non-linear" in descriptions[2]


@pytest.mark.parametrize(
    ("scale", "name"),
    [((2, 2, 2), "T1 ArSSR 2x"), ((2.5, 2.5, 2.5), "T1 ArSSR 2.5x"), ((1, 1, 4), "T1 ArSSR 1x1x4")],
)
def test_a_result_is_named_by_its_input_and_its_scale(thick, scale, name):
    assert nodes.outputName(thick, scale) == name


def looks(node) -> dict:
    display = node.GetDisplayNode()
    getters = (
        "GetWindow GetLevel GetApplyThreshold GetLowerThreshold GetUpperThreshold "
        "GetInterpolate GetColorNodeID GetInvertDisplayScalarRange"
    )
    return {getter: getattr(display, getter)() for getter in getters.split()}
