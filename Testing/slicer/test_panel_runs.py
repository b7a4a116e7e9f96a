"""Use of the panel from Apply to Compare, with a fast worker instead of the network."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
import slicer
import slicer.util
import slicer_runs

VIEWS = ("Red", "Yellow", "Green")


@pytest.fixture
def volume(scene):
    return slicer_runs.volume()


@pytest.fixture
def answered(volume, temporary, module, tmp_path, monkeypatch, slicerHost):
    """Returns a panel for which the devices have been tested, and which requests the given weights."""

    def answer(*, slow):
        weights = slicer_runs.use_quick_worker(tmp_path, monkeypatch, slow=slow)
        panel = slicerHost.makeWidget(module)
        assert slicerHost.wait_until(lambda: panel.engine.facts is not None, timeout=60)
        panel._parameterNode.model = str(weights)
        return panel

    yield answer
    slicerHost.closeWidget(module)


@pytest.fixture
def ready(answered):
    """A panel that is ready for a click on Apply, with a fast worker."""
    return answered(slow=False)


@pytest.fixture
def slow(answered):
    """A panel whose worker waits until it is canceled."""
    return answered(slow=True)


@pytest.fixture
def finish(slicerHost):
    """A function that clicks Apply, and waits for the end of the run."""

    def apply_and_wait(panel):
        slicerHost.click(panel.ui.applyButton)
        assert slicerHost.wait_until(lambda: panel.ui.applyButton.enabled, timeout=60)

    return apply_and_wait


def begin(panel, slicerHost):
    """Click Apply, and wait until the worker has started."""
    slicerHost.click(panel.ui.applyButton)
    assert slicerHost.wait_until(lambda: bool(slicer_runs.worker_processes()), timeout=60)


def helpers_of(panel):
    return list(panel.comparison.helpers)


def backgrounds():
    manager = slicer.app.layoutManager()
    return [manager.sliceWidget(name).sliceLogic().GetSliceCompositeNode().GetBackgroundVolumeID() for name in VIEWS]


def test_apply_makes_a_new_volume_and_shows_it(ready, volume, finish):
    finish(ready)

    result = ready._parameterNode.result
    assert result.GetName() == "T1 ArSSR 2x"
    assert set(backgrounds()) == {result.GetID()}
    assert ready.ui.statusLabel.text == "Done: T1 ArSSR 2x"
    assert not ready.ui.progressBar.isVisibleTo(ready.parent)


def test_apply_does_not_modify_the_input(ready, volume, finish):
    before, time = slicer.util.arrayFromVolume(volume).copy(), volume.GetMTime()

    finish(ready)

    np.testing.assert_array_equal(slicer.util.arrayFromVolume(volume), before)
    assert volume.GetMTime() == time


def test_a_result_can_be_followed_by_another(ready, finish):
    finish(ready)
    finish(ready)

    assert ready._parameterNode.result.GetName() == "T1 ArSSR 2x_1"


def test_the_user_can_leave_the_panel_during_a_run(ready, volume, slicerHost):
    slicerHost.click(ready.ui.applyButton)
    ready.exit()

    assert slicerHost.wait_until(lambda: slicer.mrmlScene.GetFirstNodeByName("T1 ArSSR 2x") is not None, timeout=60)
    slicerHost.process_events(0.1)
    ready.enter()
    assert ready._parameterNode.result.GetName() == "T1 ArSSR 2x"


def test_only_cancel_is_enabled_during_a_run(slow, slicerHost):
    begin(slow, slicerHost)

    assert not slow.ui.applyButton.enabled
    assert slow.ui.cancelButton.enabled
    slicerHost.click(slow.ui.cancelButton)
    assert slicerHost.wait_until(lambda: slow.ui.applyButton.enabled, timeout=slicer_runs.PROMPT)


def test_cancel_leaves_nothing_behind(slow, volume, slicerHost):
    nodes = slicer.mrmlScene.GetNumberOfNodes()
    begin(slow, slicerHost)

    slicerHost.click(slow.ui.cancelButton)

    assert slicerHost.wait_until(lambda: not slow.ui.cancelButton.enabled, timeout=slicer_runs.PROMPT)
    assert slow.ui.statusLabel.text == "Canceled. Nothing was left behind."
    assert slicer.mrmlScene.GetNumberOfNodes() == nodes
    assert slicer_runs.worker_processes() == set()


def test_the_panel_stays_usable_during_a_run(slow, slicerHost):
    begin(slow, slicerHost)

    slow.ui.scaleSpinBox.value = 3.0

    assert slow.ui.resultLabel.text.startswith("30 x 27 x 18 voxels")
    assert not slow.ui.applyButton.enabled
    slicerHost.click(slow.ui.cancelButton)
    assert slicerHost.wait_until(lambda: slow.ui.applyButton.enabled, timeout=slicer_runs.PROMPT)


def test_closing_the_scene_ends_the_run(slow, slicerHost):
    begin(slow, slicerHost)

    slicerHost.closeScene()

    assert slicerHost.wait_until(lambda: not slicer_runs.worker_processes(), timeout=slicer_runs.PROMPT)
    assert slow.ui.statusLabel.text == "Canceled: The scene was closed."
    assert not slow.ui.cancelButton.enabled


def test_removing_the_input_ends_the_run(slow, volume, slicerHost):
    begin(slow, slicerHost)

    slicer.mrmlScene.RemoveNode(volume)

    assert slicerHost.wait_until(lambda: not slow.ui.cancelButton.enabled, timeout=slicer_runs.PROMPT)
    assert "was removed from the scene" in slow.ui.statusLabel.text


def test_reloading_the_module_ends_the_run(slow, slicerHost):
    begin(slow, slicerHost)
    (worker,) = slicer_runs.worker_processes()

    slow.onReload()

    assert worker not in slicer_runs.worker_processes()
    assert slicer.modules.ArSSRWidget is not slow
    assert slicer.modules.ArSSRWidget._parameterNode is not None


def test_an_error_is_shown_and_the_panel_stays_usable(ready, volume, finish, messages, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["ArSSRPanel.process"], "WORKER", "ArSSRLib.worker")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"these are no weights")
    ready._parameterNode.model = str(damaged)

    finish(ready)

    assert "damaged.safetensors" in ready.ui.statusLabel.text
    assert [message.kind for message in messages if "damaged.safetensors" in message.text] == ["error"]
    assert ready._parameterNode.result is None
    assert "color" in ready.ui.statusLabel.styleSheet


def test_every_step_is_in_the_log(ready, finish):
    finish(ready)

    log = ready.ui.logTextEdit.plainText
    assert "Started: " in log
    assert "Done: T1 ArSSR 2x" in log


def test_the_log_names_volumes_and_its_button_says_so(ready, volume, finish):
    volume.SetName("Doe_John")
    finish(ready)

    assert "Doe_John" in ready.ui.logTextEdit.plainText
    assert "names of volumes" in ready.ui.copyLogButton.toolTip


def test_the_log_can_be_copied_and_emptied(ready, finish, slicerHost):
    finish(ready)

    slicerHost.click(ready.ui.copyLogButton)
    slicerHost.click(ready.ui.clearLogButton)

    assert "Done: T1 ArSSR 2x" in slicer.app.clipboard().text()
    assert ready.ui.logTextEdit.plainText == ""


def test_compare_shows_three_linked_views_of_one_grid(ready, finish, slicerHost):
    finish(ready)
    result = ready._parameterNode.result

    slicerHost.click(ready.ui.compareButton)

    before, after, difference = (slicer.mrmlScene.GetNodeByID(node) for node in backgrounds())
    spacing = "0.45 x 0.55 x 1.25 mm"
    assert (before.GetName(), after) == (f"Cubic {spacing}: T1", result)
    assert difference.GetName() == f"ArSSR minus cubic {spacing}: T1 ArSSR 2x"
    residual = slicer.util.arrayFromVolume(result).astype(np.float32) - slicer.util.arrayFromVolume(before)
    np.testing.assert_allclose(slicer.util.arrayFromVolume(difference), residual, atol=1e-4)
    for name in VIEWS:
        assert slicer.app.layoutManager().sliceWidget(name).sliceLogic().GetSliceCompositeNode().GetLinkedControl()


def test_compare_without_the_difference_shows_two_views(ready, finish, slicerHost):
    finish(ready)
    ready.ui.differenceCheckBox.checked = False

    slicerHost.click(ready.ui.compareButton)

    assert [helper.GetName() for helper in helpers_of(ready)] == ["Cubic 0.45 x 0.55 x 1.25 mm: T1"]


def test_leaving_the_comparison_restores_everything(ready, finish, slicerHost):
    finish(ready)
    layout = slicer.app.layoutManager().layoutLogic().GetLayoutNode()
    shown, arrangement, nodes = backgrounds(), layout.GetViewArrangement(), slicer.mrmlScene.GetNumberOfNodes()

    slicerHost.click(ready.ui.compareButton)
    assert layout.GetViewArrangement() != arrangement
    slicerHost.click(ready.ui.compareButton)

    assert (backgrounds(), layout.GetViewArrangement()) == (shown, arrangement)
    assert slicer.mrmlScene.GetNumberOfNodes() == nodes


def test_the_helper_nodes_of_a_comparison_are_not_saved(ready, finish, slicerHost):
    finish(ready)
    slicerHost.click(ready.ui.compareButton)

    helpers = helpers_of(ready)

    assert [helper.GetSaveWithScene() for helper in helpers] == [0, 0]
    assert [helper.GetHideFromEditors() for helper in helpers] == [1, 1]


def test_a_volume_that_is_not_a_result_cannot_be_compared(ready, volume):
    ready._parameterNode.result = volume

    assert not ready.ui.compareButton.enabled
    assert not ready.ui.exportDicomButton.enabled


def test_without_pytorch_apply_says_how_to_install_it(volume, panel, monkeypatch):
    dependencies = sys.modules["ArSSRPanel.dependencies"]
    monkeypatch.setattr(dependencies, "_versionOf", lambda _package: None)

    panel.engine.lookAround()

    assert not panel.ui.applyButton.enabled
    assert "Install PyTorch first" in panel.ui.applyButton.toolTip
    assert "not installed" in panel.ui.environmentLabel.text
    assert panel.ui.installButton.isVisibleTo(panel.parent)


def test_without_pytorch_the_error_in_a_script_says_how_to_install_it(volume, panel, monkeypatch):
    from ArSSRLib.errors import DependencyError

    monkeypatch.setattr(sys.modules["ArSSRPanel.dependencies"], "_versionOf", lambda _package: None)

    with pytest.raises(DependencyError, match="Press Install PyTorch"):
        panel.logic.process(volume, scale=2)


@pytest.fixture
def missing(scene, panel, monkeypatch):
    """Records what the PyTorch extension would install; nothing is installed."""
    calls = []
    extension = types.ModuleType("PyTorchUtils")
    extension.PyTorchUtilsLogic = lambda: types.SimpleNamespace(installTorch=lambda **options: calls.append(options))
    monkeypatch.setitem(sys.modules, "PyTorchUtils", extension)
    monkeypatch.setattr(sys.modules["ArSSRPanel.dependencies"], "_versionOf", lambda _package: None)
    panel.engine.lookAround()
    return calls


def test_the_question_before_an_installation_says_what_and_how_large(panel, missing, slicerHost, messages, installs):
    slicerHost.answer(False)

    slicerHost.click(panel.ui.installButton)

    (question,) = [message.text for message in messages if message.kind == "confirm"]
    for expected in ("PyTorch", "3 GB", "safetensors", "No image data is sent"):
        assert expected in question
    assert (missing, installs) == ([], [])


def test_pytorch_is_installed_through_its_extension_only(panel, missing, slicerHost, installs):
    slicerHost.click(panel.ui.installButton)

    assert missing == [{"askConfirmation": False, "torchVersionRequirement": ">=2.2"}]
    assert "torch" not in str(installs).replace("PyTorch", "")


def test_small_packages_are_installed_by_slicers_packaging_without_a_second_question(
    panel, missing, slicerHost, messages, monkeypatch
):
    calls = []
    monkeypatch.setattr(slicer.packaging, "pip_ensure", lambda names, **options: calls.append((names, options)))

    slicerHost.click(panel.ui.installButton)

    assert calls == [(["safetensors>=0.4.3", "psutil>=5.9"], {"prompt_install": False, "requester": "ArSSR"})]
    assert [message.kind for message in messages].count("confirm") == 1


def test_an_older_slicer_installs_small_packages_without_their_dependencies(
    panel, missing, slicerHost, installs, monkeypatch
):
    monkeypatch.delattr(slicer.packaging, "pip_ensure")

    slicerHost.click(panel.ui.installButton)

    assert [install.requirements for install in installs] == [("--no-deps", "safetensors>=0.4.3", "psutil>=5.9")]


def test_a_missing_pytorch_extension_is_explained(panel, missing, slicerHost, messages, monkeypatch):
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)

    slicerHost.click(panel.ui.installButton)

    assert any("Extensions Manager" in message.text for message in messages if message.kind == "error")


def test_the_self_test_passes(module, scene, slicerHost):
    test = module.ArSSRTest()
    slicerHost.makeWidget(module)

    test.setUp()
    test.test_ResultLiesOverItsInput()

    assert slicer.mrmlScene.GetFirstNodeByName("ArSSR phantom ArSSR 2x2x3") is not None
