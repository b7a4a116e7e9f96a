"""All frames of a sequence are upsampled in one run, and the result is synchronized with the input."""

from __future__ import annotations

import mrml_volumes
import numpy as np
import pytest
import slicer
import slicer_runs
from ArSSRPanel import exchange, sequences
from ArSSRPanel.attributes import sourceOf
from ArSSRPanel.request import makeRequest
from ArSSRPanel.run import Run

from ArSSRLib.checkpoint import load_model
from ArSSRLib.errors import InputError, OutputError
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.upsampling import upsample
from ArSSRLib.volume import Volume

CPU = UpsamplingOptions(device="cpu")
VALUES = ["0", "33.5", "67"]
GRID = mrml_volumes.grid("oblique")
FRAMES = [mrml_volumes.blob(GRID, height=height) for height in (300, 600, 900)]


pytestmark = pytest.mark.usefixtures("temporary")


@pytest.fixture
def quick(tmp_path, monkeypatch):
    """Upsample every frame with a worker that only repeats voxels, and wait for it."""
    ask = slicer_runs.asker(slicer_runs.use_quick_worker(tmp_path, monkeypatch))
    return lambda *nodes, **options: slicer_runs.wait(ask(*nodes, allFrames=True, **options))


@pytest.fixture
def cine(scene):
    """A sequence of three frames, its browser and its proxy."""
    return mrml_volumes.add_sequence(GRID, FRAMES, VALUES)


def framesOf(sequence) -> list:
    return [sequence.GetNthDataNode(index) for index in range(sequence.GetNumberOfDataNodes())]


def repeated(frame: np.ndarray) -> np.ndarray:
    return frame.repeat(2, axis=0).repeat(2, axis=1).repeat(2, axis=2)


def test_every_frame_is_upsampled_by_the_engine(cine, tiny_weights):
    run = Run(makeRequest(cine[2], scale=(1, 1, 2), model=str(tiny_weights), options=CPU, allFrames=True))
    run.start()
    result = sequences.sequenceOf(run.wait())

    model = load_model(tiny_weights)
    for frame, array in zip(framesOf(result), FRAMES, strict=True):
        expected = upsample(Volume(array, GRID), model, (1, 1, 2), UpsamplingOptions(device="cpu", precision="fp32"))
        np.testing.assert_allclose(mrml_volumes.array_of(frame), expected.array, rtol=0, atol=1)


def test_frames_keep_their_order_and_their_index(cine, quick):
    result = sequences.sequenceOf(quick(cine[2]))

    assert [result.GetNthIndexValue(index) for index in range(3)] == VALUES
    assert (result.GetIndexName(), result.GetIndexUnit()) == ("trigger time", "ms")
    assert result.GetIndexType() == cine[0].GetIndexType()
    for frame, array in zip(framesOf(result), FRAMES, strict=True):
        np.testing.assert_array_equal(mrml_volumes.array_of(frame), repeated(array))


def test_frames_do_not_move(cine, quick):
    cine[2].SetAndObserveTransformNodeID(mrml_volumes.add_transform(np.diag([1.0, -1.0, 2.0, 1.0])).GetID())

    result = quick(cine[2])

    np.testing.assert_allclose(mrml_volumes.corners(result), mrml_volumes.corners(cine[2]), rtol=0, atol=1e-9)
    for frame in framesOf(sequences.sequenceOf(result)):
        np.testing.assert_allclose(mrml_volumes.ijk_to_ras(frame), mrml_volumes.ijk_to_ras(result), rtol=0, atol=1e-9)


def test_the_input_sequence_is_not_modified(cine, quick):
    before = [cine[0].GetMTime(), *(frame.GetMTime() for frame in framesOf(cine[0]))]

    quick(cine[2])

    assert [cine[0].GetMTime(), *(frame.GetMTime() for frame in framesOf(cine[0]))] == before


@pytest.mark.parametrize("saveChanges", [False, True])
def test_the_result_is_browsed_in_sync_with_the_input(cine, quick, scene, saveChanges):
    sequence, browser, proxy = cine
    browser.SetSaveChanges(sequence, saveChanges)
    browser.SetSelectedItemNumber(1)
    count = scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")

    result = quick(proxy)
    first = mrml_volumes.array_of(result)
    browser.SetSelectedItemNumber(2)
    slicer.app.applicationLogic().GetModuleLogic("Sequences").UpdateProxyNodesFromSequences(browser)

    assert browser.GetProxyNode(sequences.sequenceOf(result)) is result
    assert browser.GetSaveChanges(sequences.sequenceOf(result)) == saveChanges
    np.testing.assert_array_equal(first, repeated(FRAMES[1]))
    np.testing.assert_array_equal(mrml_volumes.array_of(result), repeated(FRAMES[2]))
    assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == count + 1


def test_the_nodes_are_named_filed_and_marked_like_those_of_a_volume(cine, quick, scene):
    sequence, _, proxy = cine
    proxy.SetName("Shown")
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "Study")
    for node in (sequence, proxy):
        hierarchy.CreateItem(folder, node)

    result = quick(proxy)
    made = sequences.sequenceOf(result)

    assert (result.GetName(), made.GetName()) == ("Shown ArSSR 2x", "Cine ArSSR 2x sequence")
    assert {hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) for node in (result, made)} == {folder}
    assert (sourceOf(result), sourceOf(made)) == (proxy, sequence)
    for node in (result, made, *framesOf(made)):
        assert node.GetAttribute("ArSSR.Scale") == "2 2 2"


def test_the_volume_of_a_sequence_takes_the_plain_name_and_needs_no_number(cine, quick, scene):
    sequence, _, proxy = cine
    proxy.SetName(sequence.GetName())

    result = quick(proxy)

    names = (result.GetName(), sequences.sequenceOf(result).GetName())
    assert names == ("Cine ArSSR 2x", "Cine ArSSR 2x sequence")


def test_one_progress_covers_all_frames(cine, tiny_weights):
    told, stages = [], []
    run = Run(
        makeRequest(cine[2], scale=2, model=str(tiny_weights), options=CPU, allFrames=True),
        onProgress=lambda fraction, _: told.append(fraction),
        onStage=lambda stage, volume, volumes: stages.append((stage, volume, volumes)),
    )
    run.start()
    run.wait()

    assert told == sorted(told)
    assert (told[0], told[-1]) == (0, 1)
    assert [volume for stage, volume, _ in stages if stage == "upsample"] == [1, 2, 3]
    assert {volumes for stage, _, volumes in stages if stage == "upsample"} == {3}


def test_a_sequence_that_is_not_shown_gives_a_sequence(scene, quick):
    sequence, browser, proxy = mrml_volumes.add_sequence(GRID, FRAMES, VALUES)
    scene.RemoveNode(browser)
    scene.RemoveNode(proxy)

    result = quick(sequence)

    assert result.GetClassName() == "vtkMRMLSequenceNode"
    assert result.GetNumberOfDataNodes() == 3


def test_a_result_is_reused_with_its_sequence(cine, quick, scene):
    first = quick(cine[2])
    made = sequences.sequenceOf(first)
    identity = (first.GetID(), made.GetID())
    count = scene.GetNumberOfNodes()
    cine[0].GetNthDataNode(1).SetAndObserveImageData(cine[0].GetNthDataNode(2).GetImageData())

    again = quick(cine[2], first)

    assert (again.GetID(), sequences.sequenceOf(again).GetID()) == identity
    assert scene.GetNumberOfNodes() == count
    assert made.GetNumberOfDataNodes() == 3
    np.testing.assert_array_equal(mrml_volumes.array_of(made.GetNthDataNode(1)), repeated(FRAMES[2]))


def test_a_plain_volume_that_is_chosen_shows_the_result(cine, quick):
    chosen = mrml_volumes.add_volume(GRID, FRAMES[0], name="Mine")

    result = quick(cine[2], chosen)

    assert result is chosen
    assert result.GetName() == "Mine"
    np.testing.assert_array_equal(mrml_volumes.array_of(chosen), repeated(FRAMES[0]))


def test_only_the_shown_frame_is_upsampled_unless_all_are_requested(cine, tiny_weights):
    request = makeRequest(cine[2], scale=2, model=str(tiny_weights))

    assert not request.allFrames
    assert sequences.numberOfFrames(cine[2]) == 3
    assert sequences.numberOfFrames(mrml_volumes.add_volume(GRID, FRAMES[0])) == 0


def test_a_region_of_interest_crops_every_frame(cine, quick):
    roi = mrml_volumes.add_roi(mrml_volumes.corners(cine[2]).mean(axis=0), (4, 4, 4))

    result = quick(cine[2], roi=roi)

    sizes = {frame.GetImageData().GetDimensions() for frame in framesOf(sequences.sequenceOf(result))}
    assert sizes == {result.GetImageData().GetDimensions()}
    assert np.prod(result.GetImageData().GetDimensions()) < 8 * FRAMES[0].size


def test_frames_of_different_sizes_each_keep_their_own_grid(cine, quick):
    other = mrml_volumes.grid("left-handed")
    mrml_volumes.fill(cine[0].GetNthDataNode(1), other, mrml_volumes.blob(other))

    made = sequences.sequenceOf(quick(cine[2]))

    sizes = [frame.GetImageData().GetDimensions() for frame in framesOf(made)]
    assert sizes == [(20, 18, 12), (14, 16, 12), (20, 18, 12)]


def test_a_frame_that_cannot_be_read_leaves_the_scene_as_it_was(cine, quick, scene, monkeypatch):
    count, read = scene.GetNumberOfNodes(), exchange.readOutput

    def readFirst(path, grid):
        if not path.name.startswith("1-"):
            raise OutputError("The disk is gone.")
        return read(path, grid)

    monkeypatch.setattr(exchange, "readOutput", readFirst)

    with pytest.raises(OutputError, match="disk is gone"):
        quick(cine[2])

    assert scene.GetNumberOfNodes() == count
    assert cine[1].GetNumberOfSynchronizedSequenceNodes(True) == 1


def test_the_input_sequence_is_refused_as_output(cine, quick):
    with pytest.raises(InputError, match="is the input, which is never changed"):
        quick(cine[0], cine[0])


def test_a_volume_is_refused_as_output_of_a_sequence_node(cine, quick):
    with pytest.raises(InputError, match="choose a sequence node, or a new output"):
        quick(cine[0], mrml_volumes.add_volume(GRID, FRAMES[0]))
