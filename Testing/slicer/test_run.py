"""From node to node: position, appearance and provenance of the result are correct; the input is not modified."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import mrml_volumes
import numpy as np
import pytest
import slicer
import vtk
from ArSSRPanel import run
from ArSSRPanel.outputs import UNCERTAINTY_ROLE
from ArSSRPanel.request import makeRequest
from ArSSRPanel.run import Run
from slicer_runs import Told, volume, wait

import ArSSRLib
from ArSSRLib.checkpoint import load_model, sha256_of
from ArSSRLib.errors import InputError
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.record import voxels_sha256
from ArSSRLib.upsampling import upsample
from ArSSRLib.volume import Volume

MOVED = np.array([[0.8, -0.6, 0.0, 11.0], [0.6, 0.8, 0.0, -7.0], [0.0, 0.0, 1.0, 3.5], [0.0, 0.0, 0.0, 1.0]])


pytestmark = pytest.mark.usefixtures("temporary")


@pytest.mark.parametrize("kind", mrml_volumes.KINDS)
def test_the_anatomy_does_not_move(quick, kind):
    source = volume(kind)
    source.SetAndObserveTransformNodeID(mrml_volumes.add_transform(MOVED).GetID())

    result = wait(quick(source, scale=(2, 1.5, 3.3)))

    assert result.GetParentTransformNode() is source.GetParentTransformNode()
    np.testing.assert_allclose(mrml_volumes.corners(result), mrml_volumes.corners(source), rtol=0, atol=1e-9)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "float32"])
def test_the_type_of_the_voxels_is_kept(quick, dtype):
    source = volume("thick", dtype=dtype)

    result = wait(quick(source))

    assert result.GetImageData().GetScalarType() == source.GetImageData().GetScalarType()


def test_double_precision_becomes_single(quick):
    assert mrml_volumes.array_of(wait(quick(volume(dtype="float64")))).dtype == np.float32


def test_the_voxels_match_those_of_the_engine(ask, tiny_weights):
    source = volume("thick")

    result = wait(ask(source, scale=(1, 1, 2)))

    given = Volume(mrml_volumes.array_of(source), mrml_volumes.grid("thick"))
    expected = upsample(given, load_model(tiny_weights), (1, 1, 2), UpsamplingOptions(device="cpu", precision="fp32"))
    np.testing.assert_allclose(mrml_volumes.array_of(result), expected.array, rtol=0, atol=1)


def test_the_input_is_not_modified(quick, scene):
    source = volume()
    source.SetAndObserveTransformNodeID(mrml_volumes.add_transform(MOVED).GetID())
    voxels, image = mrml_volumes.array_of(source), source.GetImageData()
    before = [thing.GetMTime() for thing in (source, source.GetDisplayNode(), image, source.GetParentTransformNode())]

    wait(quick(source))

    after = [thing.GetMTime() for thing in (source, source.GetDisplayNode(), image, source.GetParentTransformNode())]
    assert after == before
    assert source.GetImageData() is image
    np.testing.assert_array_equal(mrml_volumes.array_of(source), voxels)


def test_the_result_is_a_new_node_displayed_and_filed_like_the_input(quick, scene):
    source = volume()
    source.GetDisplayNode().SetAndObserveColorNodeID("vtkMRMLColorTableNodeRainbow")
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "Study")
    hierarchy.CreateItem(folder, source)

    results = [wait(quick(source)), wait(quick(source))]

    assert [result.GetName() for result in results] == ["T1 ArSSR 2x", "T1 ArSSR 2x_1"]
    for result in results:
        assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(result)) == folder
        assert result.GetDisplayNode().GetColorNodeID() == "vtkMRMLColorTableNodeRainbow"
        assert result.GetDisplayNode().GetWindow() == source.GetDisplayNode().GetWindow()


def test_a_chosen_output_is_updated_in_place(quick, scene):
    source, output = volume(), volume("thick", name="Mine")
    identity, old = output.GetID(), output.GetImageData()
    count = scene.GetNumberOfNodes()

    result = wait(quick(source, output))

    assert result is output
    assert (output.GetID(), output.GetName()) == (identity, "Mine")
    assert output.GetImageData().GetDimensions() == (20, 18, 12)
    assert old.GetReferenceCount() == 1  # only this test still has a reference
    assert scene.GetNumberOfNodes() - count <= 2  # at most an item of the hierarchy and a display node


def test_the_result_records_its_source(ask, tiny_weights):
    source = volume()
    roi = mrml_volumes.add_roi(mrml_volumes.corners(source).mean(axis=0), (4, 4, 4))
    request = ask(source, roi=roi)

    result = wait(request)

    attributes = {name: result.GetAttribute(f"ArSSR.{name}") for name in ("Scale", "Device", "Precision", "Version")}
    assert attributes == {"Scale": "2 2 2", "Device": "cpu", "Precision": "fp32", "Version": ArSSRLib.__version__}
    assert "tiny" in result.GetAttribute("ArSSR.Model").lower()
    assert result.GetAttribute("ArSSR.ModelSHA256") == sha256_of(tiny_weights)
    assert result.GetAttribute("ArSSR.Region") == " ".join(str(n) for pair in request.region for n in pair)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", result.GetAttribute("ArSSR.Date"))
    assert result.GetNodeReference("ArSSR.Input") is source


def test_the_result_has_the_record_for_reproducing_it(ask, tiny_weights):
    source = volume()

    record = json.loads(wait(ask(source)).GetAttribute("ArSSR.Record"))

    assert record["input_sha256"] == voxels_sha256(mrml_volumes.array_of(source))
    assert record["model_sha256"] == sha256_of(tiny_weights)
    assert (record["precision"], record["region"], record["tiles"]) == ("fp32", None, 1)
    assert source.GetName() not in json.dumps(record)


def test_a_region_of_interest_gives_the_same_voxels_as_the_whole_result(quick):
    source = volume("thick", dtype="float32")
    roi = mrml_volumes.add_roi(mrml_volumes.corners(source).mean(axis=0) + np.array([0.4, 0.3, -1]), (3.0, 2.5, 9.0))
    request = quick(source, roi=roi)

    whole, part = wait(quick(source)), wait(request)

    (i0, i1), (j0, j1), (k0, k1) = request.region
    np.testing.assert_array_equal(mrml_volumes.array_of(part), mrml_volumes.array_of(whole)[k0:k1, j0:j1, i0:i1])
    first = mrml_volumes.ijk_to_ras(whole) @ [i0, j0, k0, 1]
    np.testing.assert_allclose(mrml_volumes.ijk_to_ras(part)[:, 3], first, rtol=0, atol=1e-9)


def test_progress_increases_to_the_end_and_the_stages_are_in_order(ask):
    told = Told()

    result = wait(ask(volume()), **told.callbacks())

    fractions = [fraction for fraction, _ in told["onProgress"]]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0, 1)
    stages = [stage for stage, _, _ in told["onStage"]]
    assert list(dict.fromkeys(stages)) == ["start", "load", "read", "upsample", "write", "show"]
    assert told.last == [("onFinished", result)]


def test_warnings_of_the_worker_are_shown(quick):
    told = Told()

    wait(quick(volume()), **told.callbacks())

    assert told["onLog"] == [("warning", "Voxels are only repeated.")]


def test_a_run_in_the_event_loop_ends_with_the_same_result(quick, slicerHost):
    told = Told()
    started = Run(quick(volume()), **told.callbacks())
    started.start()
    assert started.running
    assert slicerHost.wait_until(lambda: told.last, timeout=60)

    assert told.last == [("onFinished", started.outputNode)]
    assert started.outputNode.GetImageData().GetDimensions() == (20, 18, 12)
    assert not started.running


def test_a_transform_that_is_hardened_during_a_run_moves_the_result_too(quick, slicerHost):
    told = Told()
    source = volume()
    source.SetAndObserveTransformNodeID(mrml_volumes.add_transform(MOVED).GetID())
    before = mrml_volumes.corners(source)
    started = Run(quick(source), **told.callbacks())
    started.start()
    source.HardenTransform()
    assert slicerHost.wait_until(lambda: told.last, timeout=60)

    assert started.outputNode.GetParentTransformNode() is None
    np.testing.assert_allclose(mrml_volumes.corners(started.outputNode), before, rtol=0, atol=1e-9)


def test_undo_removes_the_result(quick, scene):
    source = volume()
    for node in (source, scene):
        node.UndoEnabledOn() if hasattr(node, "UndoEnabledOn") else node.SetUndoOn()
    saved = scene.GetNumberOfUndoLevels()

    wait(quick(source))

    assert scene.GetNumberOfUndoLevels() == saved + 1


def test_the_process_of_slicer_never_loads_pytorch():
    panel = Path(run.__file__).parents[1]
    code = (
        f"import sys, types; sys.path.insert(0, {str(panel)!r}); sys.modules['qt'] = types.ModuleType('qt')\n"
        "import ArSSRPanel.run, ArSSRPanel.request, ArSSRLib.geometry\n"
        "from ArSSRLib import read_volume, write_volume\n"
        "from ArSSRLib.checkpoint import find_entry\n"
        "print('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)

    assert result.stdout.split()[-1] == "False"


def test_a_non_linear_transform_is_kept_and_explained(quick, scene):
    source = volume()
    bent = scene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "Warp")
    bent.SetAndObserveTransformToParent(vtk.vtkThinPlateSplineTransform())
    source.SetAndObserveTransformNodeID(bent.GetID())
    told = Told()

    result = wait(quick(source), onLog=told.callbacks()["onLog"])

    assert result.GetParentTransformNode() is bent
    assert any("before that transform" in message for _level, message in told["onLog"])


def test_the_uncertainty_is_on_the_grid_of_the_result_in_a_color_map(tiny_weights):
    options = UpsamplingOptions(device="cpu", precision="fp32", quality="best", uncertainty=True)
    source = volume("oblique")
    source.SetAndObserveTransformNodeID(mrml_volumes.add_transform(MOVED).GetID())

    result = wait(makeRequest(source, scale=2, model=str(tiny_weights), options=options))

    uncertainty = result.GetNodeReference(UNCERTAINTY_ROLE)
    np.testing.assert_allclose(mrml_volumes.corners(uncertainty), mrml_volumes.corners(result), rtol=0, atol=1e-9)
    assert uncertainty.GetName() == "T1 ArSSR 2x uncertainty"
    assert mrml_volumes.array_of(uncertainty).max() > 0
    assert uncertainty.GetDisplayNode().GetColorNodeID() != result.GetDisplayNode().GetColorNodeID()


def test_a_sequence_has_no_uncertainty(scene):
    options = UpsamplingOptions(device="cpu", precision="fp32", quality="best", uncertainty=True)
    grid = mrml_volumes.grid("thick")
    frame = mrml_volumes.blob(grid)
    sequence, _browser, _proxy = mrml_volumes.add_sequence(grid, [frame, frame], ["0", "1"])

    with pytest.raises(InputError, match="not for a sequence"):
        makeRequest(sequence, scale=2, options=options)
