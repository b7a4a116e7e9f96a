"""What the panel says about the slice profile and the agreement is what the record of the result says."""

from __future__ import annotations

from dataclasses import replace

import mrml_volumes
import numpy as np
import pytest
import slicer
from ArSSRPanel import acquisition
from ArSSRPanel.acquisition import estimatedFrom, keyOf, plannedDecision, remember
from ArSSRPanel.nodes import volumeFromNode
from ArSSRPanel.profile_section import CHUNK, VoxelEstimate, describeDecision
from ArSSRPanel.request import makeRequest
from phantoms import texture_in_slices

from ArSSRLib.acquisition.decision import predicted_contrast
from ArSSRLib.acquisition.profile import UNKNOWN, AxisProfile, SliceProfile
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.upsampling import plan_upsampling
from ArSSRLib.volume import FileHeader, Volume

GRID = VolumeGeometry((96, 96, 24), (1.0, 1.0, 4.0))
WIDE, POINTS = AxisProfile("gaussian", 1.3), AxisProfile("point")
AGREES, DOES_NOT = "The result is made to agree", "is not made to agree with the scan, because the slice profile is unk"


def slices(axis: AxisProfile, *, padded: bool = False) -> Volume:
    """Return a texture in thick slices, with a distant value around it if ``padded``."""
    array = texture_in_slices(GRID, axis)
    if padded:
        array[:, :8] = array[:, -8:] = -2000
    return Volume(array, GRID)


@pytest.mark.parametrize(
    ("axis", "filed", "thickness", "said"),
    [
        (POINTS, None, "4", ["K: slices of 4 mm, 4 mm apart (stated) are ignored, because", "K: unknown", DOES_NOT]),
        (POINTS, 1.0, None, ["K: slices of 4 mm, 4 mm apart (DICOM) are ignored, because", "K: unknown", DOES_NOT]),
        (WIDE, 1.25, None, ["K: slices of 5 mm, 4 mm apart (DICOM)", AGREES]),
        (WIDE, None, None, ["(estimated)", AGREES]),
        ("padded", None, None, ["(estimated)", AGREES]),
        (POINTS, None, None, ["K: unknown", DOES_NOT]),
        (WIDE, 1.25, "unknown", ["K: unknown", DOES_NOT]),
    ],
)
def test_the_panel_says_what_the_record_says(scene, tiny_model, monkeypatch, caplog, axis, filed, thickness, said):
    volume = slices(WIDE, padded=True) if axis == "padded" else slices(axis)
    profile = UNKNOWN if filed is None else SliceProfile((None, None, AxisProfile("gaussian", filed, "DICOM")))
    monkeypatch.setattr(acquisition, "profileOf", lambda _node: profile)
    node = mrml_volumes.add_volume(GRID, volume.array)
    options = UpsamplingOptions(device="cpu", slice_thickness=thickness)
    request = makeRequest(node, scale=(1, 1, 4), options=options)
    remember(keyOf(node, request.model), predicted_contrast(volume))

    decision, missing = plannedDecision(request)

    assert not missing
    assert caplog.records == []
    text = describeDecision(decision, request)
    assert [part for part in said if part not in text] == []
    # The record holds the profile of the plan, and a disagreement where the plan agrees.
    filed_volume = replace(volume, header=FileHeader(profile=profile))
    plan = plan_upsampling(filed_volume, tiny_model, request.scale, options)
    assert decision.profile == plan.profile
    assert (AGREES in text) == plan.agrees


def test_a_worker_estimates_what_the_engine_does_without_blocking_the_window(scene, temporary, slicerHost):
    volume, found = slices(WIDE), []
    assert volume.array.nbytes > CHUNK / 8
    estimate = VoxelEstimate(volume, "arssr2", onEnd=found.append)

    estimate.start()

    assert found == []
    assert slicerHost.wait_until(lambda: found, timeout=120)
    expected = predicted_contrast(volume)
    assert found == [tuple(one if one and np.isfinite(one.error) else None for one in expected)]


def test_the_panel_examines_a_volume_once_the_devices_are_tested(scene, module, slicerHost, quick, temporary):
    node = mrml_volumes.add_volume(GRID, slices(WIDE).array)
    panel = slicerHost.makeWidget(module)
    panel._parameterNode.inputVolume = node
    assert "has not been examined yet" in panel.ui.profileLabel.text

    panel.engine.facts = panel.engine.facts or {"devices": [], "models": {}, "speed": {}}
    panel.updatePanel()

    assert slicerHost.wait_until(lambda: "unknown" in panel.ui.profileLabel.text, timeout=60)
    panel.cleanup()


def test_all_frames_are_judged_by_the_first_one_and_a_single_frame_by_itself(scene):
    frames = [slices(POINTS), slices(WIDE)]
    _, browser, proxy = mrml_volumes.add_sequence(GRID, [frame.array for frame in frames], ["0", "1"])
    browser.SetSelectedItemNumber(1)
    request = makeRequest(proxy, scale=(1, 1, 4), allFrames=True)

    np.testing.assert_array_equal(volumeFromNode(request.frames[0]).array, frames[0].array)
    assert makeRequest(proxy, scale=(1, 1, 4)).frames[0] is proxy
    remember(keyOf(request.frames[0], request.model), predicted_contrast(frames[0]))
    decision, missing = plannedDecision(request)
    assert (decision.profile, missing) == (UNKNOWN, False)


def test_a_frame_on_another_grid_is_judged_by_the_first_one_on_that_grid(scene):
    frames = [slices(POINTS), slices(WIDE)]
    sequence, browser, proxy = mrml_volumes.add_sequence(GRID, [frame.array for frame in frames] * 2, list("0123"))
    for number in (1, 3):
        sequence.GetNthDataNode(number).SetSpacing(1, 1, 5)
    judges = []
    for number in range(4):
        browser.SetSelectedItemNumber(number)
        slicer.app.applicationLogic().GetModuleLogic("Sequences").UpdateProxyNodesFromSequences(browser)
        request = makeRequest(proxy, scale=(1, 1, 4), allFrames=True)
        judges.append(request.frames.index(estimatedFrom(request)))

    assert judges == [0, 1, 0, 1]


@pytest.mark.parametrize("saveChanges", [True, False])
def test_each_frame_that_is_chosen_is_judged_by_itself_once(scene, tiny_model, saveChanges):
    frames = [slices(POINTS), slices(WIDE)]
    sequence, browser, proxy = mrml_volumes.add_sequence(GRID, [frame.array for frame in frames], ["0", "1"])
    browser.SetSaveChanges(sequence, saveChanges)
    examined = []
    for number in (0, 1, 0, 1):
        browser.SetSelectedItemNumber(number)
        request = makeRequest(proxy, scale=(1, 1, 4))
        if plannedDecision(request)[1]:
            remember(keyOf(proxy, request.model), predicted_contrast(frames[number]))
            examined.append(number)

        decision, missing = plannedDecision(request)

        plan = plan_upsampling(frames[number], tiny_model, request.scale, request.options)
        assert (decision.profile, missing) == (plan.profile, False)
    assert examined == [0, 1]


def test_no_frame_of_a_sequence_that_is_played_is_examined(scene, module, slicerHost, quick, temporary, monkeypatch):
    started = []
    monkeypatch.setattr(VoxelEstimate, "start", lambda estimate: started.append(estimate._volume.array.max()))
    frames = [slices(WIDE).array + number for number in range(5)]
    _, browser, proxy = mrml_volumes.add_sequence(GRID, frames, list("01234"))
    panel = slicerHost.makeWidget(module)
    panel._parameterNode.inputVolume = proxy
    panel.engine.facts = panel.engine.facts or {"devices": [], "models": {}, "speed": {}}

    for number in range(5):
        browser.SetSelectedItemNumber(number)
        slicerHost.process_events(0.08)
    assert started == []
    assert slicerHost.wait_until(lambda: started, timeout=5)

    slicerHost.process_events(0.1)
    assert started == [frames[4].max()]
    panel.cleanup()
