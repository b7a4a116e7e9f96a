"""A region of interest becomes the smallest box of fine voxels that contains it."""

from __future__ import annotations

import mrml_volumes
import numpy as np
import phantoms
import pytest
import vtk
from ArSSRPanel.nodes import geometryOf
from ArSSRPanel.region import regionOf

from ArSSRLib.errors import InputError
from ArSSRLib.geometry import LPS_TO_RAS

TURN = np.reshape(phantoms.rotation(20, -35, 10), (3, 3))
SHIFT = np.array([[0.0, -1.0, 0.0, 30.0], [1.0, 0.0, 0.0, -12.0], [0.0, 0.0, 1.0, 4.0], [0.0, 0.0, 0.0, 1.0]])


def volume(kind: str):
    geometry = mrml_volumes.grid(kind)
    return mrml_volumes.add_volume(geometry, mrml_volumes.blob(geometry))


def touched(roi, node, scale) -> list:
    """Return the fine voxels that contain a point of the box, determined on a lattice of points."""
    fine = geometryOf(node).upsampled(scale)
    steps = np.stack(np.meshgrid(*[np.linspace(-0.5, 0.5, 41)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    toWorld = vtk.vtkMatrix4x4()
    if roi.GetParentTransformNode():
        roi.GetParentTransformNode().GetMatrixTransformToWorld(toWorld)
    box = matrixOf(toWorld) @ matrixOf(roi.GetObjectToNodeMatrix())
    nodeToWorld = vtk.vtkMatrix4x4()
    if node.GetParentTransformNode():
        node.GetParentTransformNode().GetMatrixTransformToWorld(nodeToWorld)
    toIndex = np.linalg.inv(matrixOf(nodeToWorld) @ LPS_TO_RAS @ fine.affine)
    whole = toIndex @ box
    # Slightly inside the faces, so that coinciding faces do not touch the next voxel.
    index = (steps * np.array(roi.GetSize()) * (1 - 1e-9)) @ whole[:3, :3].T + whole[:3, 3]
    voxels = np.floor(index + 0.5).astype(int)
    return [
        (max(int(low), 0), min(int(high) + 1, n))
        for low, high, n in zip(voxels.min(axis=0), voxels.max(axis=0), fine.size, strict=True)
    ]


def matrixOf(matrix: vtk.vtkMatrix4x4) -> np.ndarray:
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


@pytest.mark.parametrize("kind", mrml_volumes.KINDS)
@pytest.mark.parametrize("turned", [False, True])
def test_the_region_contains_exactly_the_voxels_that_the_box_touches(scene, kind, turned):
    node = volume(kind)
    center = mrml_volumes.corners(node).mean(axis=0) + np.array([0.31, -0.17, 0.23])
    roi = mrml_volumes.add_roi(center, (2.9, 3.3, 3.7), axes=TURN if turned else None)

    assert list(regionOf(roi, node, (2, 1.5, 3))) == touched(roi, node, (2, 1.5, 3))


@pytest.mark.parametrize("under", ["volume", "roi", "both"])
def test_transforms_of_the_volume_and_of_the_box_are_respected(scene, under):
    node = volume("oblique")
    moved = mrml_volumes.add_transform(SHIFT)
    if under != "roi":
        node.SetAndObserveTransformNodeID(moved.GetID())
    center = mrml_volumes.corners(node).mean(axis=0)
    if under != "volume":
        center = (np.linalg.inv(SHIFT) @ [*center, 1])[:3]
    roi = mrml_volumes.add_roi(center, (3.1, 2.9, 4.3), axes=TURN)
    if under != "volume":
        roi.SetAndObserveTransformNodeID(moved.GetID())

    assert list(regionOf(roi, node, (2, 2, 2))) == touched(roi, node, (2, 2, 2))


def test_faces_that_coincide_with_voxel_faces_do_not_touch_the_next_voxel(scene):
    node = volume("axial")  # 9 x 8 x 7 voxels of 1 mm, the first at the origin; LPS is RAS turned by 180 degrees
    roi = mrml_volumes.add_roi((-4.0, -3.5, 3.0), (3.0, 2.0, 1.0))

    # In LPS, 2.5 to 5.5, 2.5 to 4.5 and 2.5 to 3.5 mm: faces of voxels of half a millimeter.
    assert regionOf(roi, node, (2, 2, 2)) == ((6, 12), (6, 10), (6, 8))


def test_a_box_larger_than_the_volume_selects_all_of_it(scene):
    node = volume("oblique")
    roi = mrml_volumes.add_roi(mrml_volumes.corners(node).mean(axis=0), (900, 900, 900))

    assert regionOf(roi, node, (2, 2, 2)) == ((0, 20), (0, 18), (0, 12))


def test_a_box_beside_the_volume_is_refused(scene):
    with pytest.raises(InputError, match='"R" lies outside the volume "T1"; move it onto the anatomy'):
        regionOf(mrml_volumes.add_roi((500, 0, 0), (9, 9, 9)), volume("axial"), (2, 2, 2))


def test_a_box_without_corners_is_refused(scene):
    roi = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "R")
    roi.SetSize(0, 0, 0)

    with pytest.raises(InputError, match='"R" has no extent; place its corners'):
        regionOf(roi, volume("axial"), (2, 2, 2))


def test_a_nonlinear_transform_is_sampled_between_the_corners_of_the_box(scene):
    node = volume("axial")
    source, target = vtk.vtkPoints(), vtk.vtkPoints()
    for x in (-40, -4, 40):
        for y in (-40, 40):
            for z in (-40, 40):
                source.InsertNextPoint(x, y, z)
                target.InsertNextPoint(x, y, z + (2.0 if x == -4 else 0.0))  # the middle is moved up by 2 mm
    spline = vtk.vtkThinPlateSplineTransform()
    spline.SetBasisToR()
    spline.SetSourceLandmarks(source)
    spline.SetTargetLandmarks(target)
    bent = scene.AddNewNodeByClass("vtkMRMLTransformNode", "Warp")
    bent.SetAndObserveTransformToParent(spline)
    roi = mrml_volumes.add_roi((-4.0, -3.5, 1.0), (60.0, 4.0, 1.0))
    roi.SetAndObserveTransformNodeID(bent.GetID())

    region = regionOf(roi, node, (2, 2, 2))

    lifted = [spline.TransformPoint(x, -3.5, 1.5)[2] for x in np.linspace(-34, 26, 61)]
    assert region[2][1] == np.ceil((max(lifted) + 0.5) * 2) > np.ceil((lifted[0] + 0.5) * 2)
