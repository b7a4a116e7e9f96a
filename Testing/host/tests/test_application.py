"""slicer.app, its views, and the scene."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest
import qt
import slicer

ROOT = Path(__file__).parents[3]
LAYOUT = """<layout type="horizontal">
 <item><view class="vtkMRMLSliceNode" singletontag="Before"/></item>
 <item><view class="vtkMRMLSliceNode" singletontag="After"/></item></layout>"""


def test_the_application_knows_the_scene(scene):
    assert slicer.app.mrmlScene() is scene is slicer.mrmlScene
    assert slicer.app.applicationLogic().GetMRMLScene() is scene


def test_testing_is_enabled():
    assert slicer.app.testingEnabled()


def test_the_temporary_folder_exists_and_can_be_changed(tmp_path):
    before = slicer.app.temporaryPath
    assert Path(before).is_dir()
    slicer.app.temporaryPath = str(tmp_path)

    assert slicer.app.temporaryPath == str(tmp_path)
    slicer.app.temporaryPath = before


def test_settings_are_kept_in_the_temporary_folder():
    settings = slicer.app.userSettings()
    settings.setValue("ArSSR/Device", "cpu")

    assert settings.fileName().startswith(slicer.app.temporaryPath)
    assert slicer.util.settingsValue("ArSSR/Device", "auto") == "cpu"
    assert qt.QSettings().value("ArSSR/Device") == "cpu"
    settings.remove("ArSSR/Device")


def test_the_three_standard_views_exist(scene):
    manager = slicer.app.layoutManager()

    assert manager.sliceViewNames() == ("Red", "Green", "Yellow")
    assert manager.sliceWidget("Red").mrmlSliceNode().GetOrientation() == "Axial"
    assert manager.sliceWidget("Nowhere") is None


def test_a_custom_layout_creates_its_views(scene):
    manager = slicer.app.layoutManager()
    changed = []
    manager.layoutChanged.connect(changed.append)
    manager.layoutLogic().GetLayoutNode().AddLayoutDescription(987, LAYOUT)
    manager.setLayout(987)

    assert (manager.layout, changed) == (987, [987])
    assert set(manager.sliceViewNames()) >= {"Before", "After"}
    assert manager.sliceWidget("After").sliceLogic().GetSliceNode().GetLayoutName() == "After"


def test_volumes_are_shown_in_all_views(scene):
    volume = slicer.util.addVolumeFromArray(np.zeros((4, 5, 6), np.int16))
    slicer.util.setSliceViewerLayers(background=volume, fit=True, rotateToVolumePlane=True)

    composites = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    assert [node.GetBackgroundVolumeID() for node in composites] == [volume.GetID()] * 3


@pytest.mark.parametrize("name", ["Volumes", "Sequences", "Markups", "CropVolume", "Transforms"])
def test_logics_of_slicer_core_use_the_scene(scene, name):
    assert slicer.util.getModuleLogic(name).GetMRMLScene() is scene


def test_the_subject_hierarchy_has_an_item_for_a_volume(scene):
    volume = slicer.util.addVolumeFromArray(np.zeros((2, 2, 2)))
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)

    item = hierarchy.GetItemByDataNode(volume)
    assert hierarchy.GetItemDataNode(item) is volume
    assert hierarchy.GetItemParent(item) == hierarchy.GetSceneItemID()
    scene.RemoveNode(volume)
    assert hierarchy.GetNumberOfItems() == 0


def test_adding_a_node_can_be_undone(scene):
    scene.SaveStateForUndo()
    scene.AddNewNodeByClass("vtkMRMLTextNode", "made").UndoEnabledOn()
    scene.Undo()

    assert not slicer.util.getNodes("made")


def test_a_new_scene_keeps_nothing_of_the_last(slicerHost, scene):
    gone = weakref.ref(scene.AddNewNodeByClass("vtkMRMLTextNode", "left"))
    slicerHost.newScene()

    assert slicer.mrmlScene is not scene
    assert not slicer.util.getNodes("left")
    assert gone() is None


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, where the host can be imported."""
    command = [sys.executable, "-W", "error", "-c", code]
    path = os.pathsep.join([str(ROOT), str(ROOT / "Testing")])
    known = {**os.environ, "PYTHONPATH": path, **environment}
    return subprocess.run(command, env=known, capture_output=True, text=True, check=False, cwd=ROOT)


def test_a_hundred_scenes_in_one_process_leak_no_memory():
    code = """
import host, psutil
session = host.boot()
import numpy, slicer
def once():
    session.newScene()
    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    selector.setMRMLScene(slicer.mrmlScene)
    slicer.util.addVolumeFromArray(numpy.zeros((64, 128, 128), numpy.float32))  # 4 MB
for _ in range(20):
    once()
before = psutil.Process().memory_info().rss
for _ in range(100):
    once()
print(round((psutil.Process().memory_info().rss - before) / 2**20))
"""
    result = run(code)

    assert result.returncode == 0, result.stderr
    assert int(result.stdout.split()[-1]) < 40, "100 scenes of 4 MB each must not be kept"


def test_importing_the_host_imports_neither_qt_nor_slicer():
    result = run("import host, sys; print([name for name in ('slicer', 'PySide6', 'vtk') if name in sys.modules])")

    assert result.stdout.strip() == "[]", result.stderr


def test_slicer_does_not_import_from_our_folder_named_slicer():
    result = run("import host; host.boot(); import slicer; print(any('Testing' in p for p in slicer.__path__))")

    assert result.stdout.split()[-1] == "False", result.stderr


def test_without_pyside_the_folder_is_skipped_with_a_reason():
    code = """
import sys
sys.modules["PySide6"] = None
import pytest
raise SystemExit(pytest.main(["-p", "no:cacheprovider", "Testing/host/tests/test_signals.py"]))
"""
    result = run(code)

    assert "the test host of Slicer needs PySide6-Essentials: pip install PySide6-Essentials" in result.stdout
    assert result.returncode == pytest.ExitCode.NO_TESTS_COLLECTED


def test_an_incompatible_pyside_is_reported(monkeypatch):
    from host import core

    monkeypatch.setattr(importlib.metadata, "version", lambda _: "6.12.0")
    monkeypatch.setattr(core, "_FIRST_PYTHON_WITHOUT_COUNTS", (99,))

    assert core.missing() == "PySide6 6.12.0 breaks Python before 3.12: pip install 'PySide6-Essentials<6.12'"


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="matplotlib brings the fonts")
def test_text_is_drawn_without_installed_fonts(tmp_path):
    (tmp_path / "fonts.conf").write_text('<?xml version="1.0"?><fontconfig></fontconfig>', encoding="utf-8")
    code = "import host; host.boot(); from PySide6 import QtGui; print('DejaVu Sans' in QtGui.QFontDatabase.families())"
    result = run(code, FONTCONFIG_FILE=str(tmp_path / "fonts.conf"))

    assert result.stdout.split()[-1] == "True", result.stderr


def test_an_invalid_source_folder_is_reported():
    result = run("import host; host.boot()", SLICER_SOURCE_DIR="/nowhere")

    assert "SLICER_SOURCE_DIR=/nowhere holds no Base/Python/slicer" in result.stderr
