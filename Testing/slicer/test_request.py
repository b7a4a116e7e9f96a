"""Impossible requests are refused before the run starts, with a message that says what to do instead."""

from __future__ import annotations

import math

import mrml_volumes
import numpy as np
import pytest
import slicer
import vtk
from ArSSRPanel.request import makeRequest

from ArSSRLib.checkpoint import DEFAULT_MODEL
from ArSSRLib.errors import CheckpointError, InputError


@pytest.fixture
def thick(scene):
    """12 x 11 x 5 voxels of 0.7 x 0.7 x 4.8 mm."""
    geometry = mrml_volumes.grid("thick")
    return mrml_volumes.add_volume(geometry, mrml_volumes.blob(geometry))


@pytest.mark.parametrize(
    ("asked", "size"),
    [
        ({"scale": 2}, (24, 22, 10)),
        ({"scale": (1, 1, 4)}, (12, 11, 20)),
        ({"scale": np.array([1.5, 1, 1])}, (18, 11, 5)),
        ({"spacing": 0.35}, (24, 22, 69)),
        ({"spacing": (0.7, 0.7, 1.2)}, (12, 11, 20)),
        ({"isotropic": True}, (12, 11, 34)),
    ],
)
def test_scale_spacing_and_isotropic_become_the_same_three_numbers(thick, asked, size):
    request = makeRequest(thick, **asked)

    assert request.outputGeometry.size == size
    assert request.scale == tuple(new / old for new, old in zip(size, (12, 11, 5), strict=True))


def test_a_request_uses_the_default_model_and_device_auto_unless_specified(thick):
    request = makeRequest(thick, scale=2)

    assert (request.model, request.options.device, request.options.precision) == (DEFAULT_MODEL, "auto", "auto")
    assert request.options.memory_limit is None
    assert (request.roi, request.region, request.outputVolume) == (None, None, None)


def test_making_a_request_does_not_modify_the_input(thick):
    before = thick.GetMTime()

    makeRequest(thick, scale=2)

    assert thick.GetMTime() == before


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "exactly one of scale, spacing and isotropic; got 0"),
        ({"scale": 2, "spacing": 1}, "exactly one .* got 2"),
        ({"scale": 2, "isotropic": True}, "exactly one .* got 2"),
        ({"scale": 0.5}, "at least 1, got 0.5"),
        ({"scale": math.nan}, "finite"),
        ({"scale": "two"}, "one factor or three"),
        ({"scale": (2, 2)}, "got 2"),
        ({"scale": 1}, "would not change; choose a larger scale"),
        ({"spacing": 0}, "positive length"),
        ({"spacing": "fine"}, "positive length in mm"),
        ({"spacing": (1, 1)}, "three"),
        ({"spacing": 2}, "coarser than"),
        ({"scale": 1e6}, "choose a smaller scale"),
        ({"scale": 2, "allFrames": True}, '"T1" is not a frame of a sequence'),
    ],
)
def test_numbers_that_cannot_be_used_are_refused(thick, asked, message):
    with pytest.raises(InputError, match=message):
        makeRequest(thick, **asked)


@pytest.mark.parametrize("model", ["arsr2", "/no/such/weights.safetensors", "weights.safetensors"])
def test_a_model_that_does_not_exist_is_refused(thick, model):
    with pytest.raises(CheckpointError, match="There is no"):
        makeRequest(thick, scale=2, model=model)


def test_a_weights_file_is_named_by_its_full_path(thick, tiny_weights, monkeypatch):
    monkeypatch.chdir(tiny_weights.parent)

    assert makeRequest(thick, scale=2, model=tiny_weights.name).model == str(tiny_weights)


def test_no_input_is_refused(scene):
    with pytest.raises(InputError, match="No input volume is selected"):
        makeRequest(None, scale=2)


def test_a_node_that_has_left_the_scene_is_refused(scene, thick):
    scene.RemoveNode(thick)

    with pytest.raises(InputError, match="not in the scene"):
        makeRequest(thick, scale=2)


def test_an_array_is_refused(scene):
    with pytest.raises(InputError, match="Python ndarray"):
        makeRequest(np.zeros((4, 4, 4)), scale=2)


@pytest.mark.parametrize(
    ("className", "message"),
    [
        ("vtkMRMLLabelMapVolumeNode", "is a label map"),
        ("vtkMRMLVectorVolumeNode", "a VectorVolume node"),
        ("vtkMRMLDiffusionWeightedVolumeNode", "a DiffusionWeightedVolume node"),
        ("vtkMRMLModelNode", "a Model node"),
    ],
)
def test_other_kinds_of_nodes_are_refused(scene, className, message):
    node = scene.AddNewNodeByClass(className, "N")

    with pytest.raises(InputError, match=message):
        makeRequest(node, scale=2)


def test_a_volume_without_voxels_is_refused(scene):
    with pytest.raises(InputError, match='"Empty" has no voxels'):
        makeRequest(scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty"), scale=2)


def test_a_volume_without_extent_is_refused(thick):
    thick.SetAndObserveImageData(vtk.vtkImageData())

    with pytest.raises(InputError, match="has no voxels"):
        makeRequest(thick, scale=2)


def test_a_volume_with_colors_is_refused(thick):
    image = vtk.vtkImageData()
    image.SetDimensions(4, 4, 4)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
    thick.SetAndObserveImageData(image)

    with pytest.raises(InputError, match=r"has 3 values per voxel.*Vector To Scalar Volume"):
        makeRequest(thick, scale=2)


def test_a_single_slice_is_refused(thick):
    mrml_volumes.fill(thick, mrml_volumes.grid("thick"), np.zeros((1, 8, 9), np.int16))

    with pytest.raises(InputError, match="a single slice"):
        makeRequest(thick, scale=2)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_position_that_is_not_finite_is_refused(thick, bad):
    thick.SetOrigin(bad, 0, 0)

    with pytest.raises(InputError, match="not finite"):
        makeRequest(thick, scale=2)


def test_a_sheared_volume_is_refused(thick):
    matrix = np.eye(4)
    matrix[0, 1] = 0.3
    thick.SetIJKToRASMatrix(mrml_volumes.vtk_matrix(matrix))

    with pytest.raises(InputError, match="not perpendicular"):
        makeRequest(thick, scale=2)


def test_the_input_is_refused_as_output(thick):
    with pytest.raises(InputError, match="is the input, which is never changed"):
        makeRequest(thick, thick, scale=2)


def test_a_label_map_is_refused_as_output(scene, thick):
    labels = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "L")

    with pytest.raises(InputError, match='output "L" is a LabelMapVolume node'):
        makeRequest(thick, labels, scale=2)


def test_an_output_that_shows_a_sequence_is_refused_for_a_single_volume(thick):
    geometry = mrml_volumes.grid("axial")
    _, _, proxy = mrml_volumes.add_sequence(geometry, [mrml_volumes.blob(geometry)] * 2, ["0", "1"])

    with pytest.raises(InputError, match='frames of the sequence "Cine", which would be lost'):
        makeRequest(thick, proxy, scale=2)


def test_an_output_sequence_that_is_not_a_result_is_never_overwritten_through_its_proxy(scene):
    geometry = mrml_volumes.grid("axial")
    frames = [mrml_volumes.blob(geometry)] * 2
    _, _, proxy = mrml_volumes.add_sequence(geometry, frames, ["0", "1"], name="Cine")
    _, _, other = mrml_volumes.add_sequence(geometry, frames, ["0", "1"], name="Other")

    with pytest.raises(InputError, match='"Other", which would be lost'):
        makeRequest(proxy, other, scale=2, allFrames=True)


def test_a_node_other_than_a_region_of_interest_is_refused(scene, thick):
    with pytest.raises(InputError, match="region of interest is a MarkupsPlane node"):
        makeRequest(thick, scale=2, roi=scene.AddNewNodeByClass("vtkMRMLMarkupsPlaneNode"))


def test_a_region_of_interest_crops_the_result(thick):
    center = mrml_volumes.corners(thick).mean(axis=0)
    roi = mrml_volumes.add_roi(center, (1.4, 1.4, 4.8))

    request = makeRequest(thick, scale=2, roi=roi)

    assert request.outputGeometry.size == tuple(stop - first for first, stop in request.region)
    assert request.outputGeometry.size < request.inputGeometry.upsampled(2).size


def test_frames_at_different_places_are_refused_with_a_region_of_interest(scene):
    first = mrml_volumes.grid("axial")
    sequence, _, proxy = mrml_volumes.add_sequence(first, [mrml_volumes.blob(first)] * 2, ["0", "1"])
    sequence.GetNthDataNode(1).SetOrigin(5, 0, 0)
    roi = mrml_volumes.add_roi(mrml_volumes.corners(proxy).mean(axis=0), (3, 3, 3))

    with pytest.raises(InputError, match="lie at different positions"):
        makeRequest(proxy, scale=2, roi=roi, allFrames=True)


def test_a_sequence_of_label_maps_is_refused(scene):
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "Labels")
    sequence.SetDataNodeAtValue(slicer.vtkMRMLLabelMapVolumeNode(), "0")

    with pytest.raises(InputError, match="label map"):
        makeRequest(sequence, scale=2)


def test_a_sequence_without_frames_is_refused(scene):
    with pytest.raises(InputError, match='"Nothing" has no frames'):
        makeRequest(scene.AddNewNodeByClass("vtkMRMLSequenceNode", "Nothing"), scale=2)
