"""The reader opens a result with its record, and links it to its source; it leaves other files to other readers."""

from __future__ import annotations

import fnmatch
import json
import shutil
import sys
from pathlib import Path

import mrml_volumes
import numpy as np
import phantoms
import pytest
import slicer
import vtk
from ArSSRPanel.attributes import factsOf, sourceOf
from ArSSRPanel.uncertainty_overlay import uncertaintyOf

from ArSSRLib.checkpoint import sha256_of
from ArSSRLib.cli import main
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.io import read_volume, write_volume
from ArSSRLib.record import sidecar_of
from ArSSRLib.volume import Volume

NAME = "sub-01_res-0p5mm_desc-arssr_T1w.nii.gz"
SPREAD = "sub-01_res-0p5mm_desc-arssruncertainty_T1w.nii.gz"


class SlicerReader:
    """Stand-in for the C++ object that Slicer passes to a scripted reader."""

    def __init__(self):
        self.messages = []
        self.loadedNodes = []

    def userMessages(self):
        return self

    def AddMessage(self, _event, text):
        self.messages.append(text)


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny_weights) -> Path:
    """A scan, and its result as `arssr bids` writes it: volume and record."""
    folder = tmp_path_factory.mktemp("derivatives")
    geometry = VolumeGeometry((12, 10, 8), (1.0, 1.0, 1.5), (-5.0, 3.0, 2.0))
    volume = phantoms.sample(phantoms.blobs_in(geometry), geometry)
    write_volume(volume.with_array(np.round(volume.array).astype(np.int16)), folder / "scan.nii.gz")
    options = ["--scale", "2", "--model", str(tiny_weights), "--device", "cpu", "--provenance"]
    assert main(["upsample", str(folder / "scan.nii.gz"), str(folder / NAME), *options]) == 0
    return folder


@pytest.fixture
def folder(made, tmp_path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "results"))


@pytest.fixture
def reader(module):
    return module.ArSSRFileReader(SlicerReader())


def load(reader, path):
    assert reader.load({"fileName": str(path)}), reader.parent.messages
    (identifier,) = reader.parent.loadedNodes
    return slicer.mrmlScene.GetNodeByID(identifier)


def test_a_volume_with_a_record_is_claimed_before_the_module_volumes_does(reader, folder):
    # Slicer's own reader returns a confidence of 0.5, plus 0.01 for each letter of the suffix.
    assert reader.canLoadFileConfidence(str(folder / NAME)) > 0.5 + 0.01 * len(".nii.gz")


@pytest.mark.parametrize("name", ["scan.nii.gz", f"{NAME}.arssr.json", "absent.nii.gz"])
def test_other_files_are_left_to_other_readers(reader, folder, name):
    assert reader.canLoadFileConfidence(str(folder / name)) == 0.0


def test_claimed_files_pass_the_filters_that_slicer_shows(reader, folder):
    patterns = [text.rpartition("(")[2].rstrip(")") for text in reader.extensions()]

    assert any(fnmatch.fnmatch(NAME, pattern) for pattern in patterns)
    assert (reader.description(), reader.fileType()) == ("ArSSR result", "ArSSRResult")


def test_a_result_opens_with_its_record(reader, folder, tiny_weights):
    node = load(reader, folder / NAME)

    facts = factsOf(node)
    assert node.GetName() == NAME.removesuffix(".nii.gz")
    assert (facts["sha256"], facts["scale"]) == (sha256_of(tiny_weights), (2.0, 2.0, 2.0))
    assert json.loads(node.GetAttribute("ArSSR.Record")) == json.loads(sidecar_of(folder / NAME).read_text())
    assert node.GetStorageNode().GetFileName() == str(folder / NAME)
    assert reader.parent.messages == []


def test_a_result_is_linked_to_its_scan_regardless_of_its_name_and_can_be_compared(reader, folder, panel):
    shutil.move(folder / "scan.nii.gz", folder / "other.nii.gz")
    logic = slicer.modules.volumes.logic()
    scan = logic.AddArchetypeVolume(str(folder / "other.nii.gz"), "other", 0)

    node = load(reader, folder / NAME)

    assert sourceOf(node) is scan
    assert panel.ui.compareButton.enabled


def test_without_its_scan_a_result_opens_alone(reader, folder, panel):
    assert sourceOf(load(reader, folder / NAME)) is None
    assert not panel.ui.compareButton.enabled


def test_a_scan_that_is_loaded_after_its_result_is_linked_once_it_is_chosen(reader, folder, panel):
    node = load(reader, folder / NAME)
    logic = slicer.modules.volumes.logic()
    scan = logic.AddArchetypeVolume(str(folder / "scan.nii.gz"), "scan", 0)

    panel._parameterNode.inputVolume = scan

    assert panel._parameterNode.result is node
    assert sourceOf(node) is scan
    assert panel.ui.compareButton.enabled


def test_the_voxels_of_a_volume_are_compared_with_a_record_only_once(reader, folder, panel, monkeypatch):
    load(reader, folder / NAME)
    grid = VolumeGeometry((4, 4, 4), (1.0, 1.0, 1.0))
    mrml_volumes.add_volume(grid, np.ones(grid.shape), name="Another volume")
    hashed = []
    module = sys.modules["ArSSRPanel.reader"]
    original = module.voxels_sha256
    monkeypatch.setattr(module, "voxels_sha256", lambda array: hashed.append(array.shape) or original(array))

    for _ in range(3):
        panel.updatePanel()

    assert hashed == [grid.shape]


def test_a_color_picture_in_the_scene_is_no_source(reader, folder, panel):
    picture = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Colors")
    image = vtk.vtkImageData()
    image.SetDimensions(4, 4, 4)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
    picture.SetAndObserveImageData(image)

    assert sourceOf(load(reader, folder / NAME)) is None


def test_a_changed_volume_opens_without_the_record(reader, folder):
    shutil.copy(folder / "scan.nii.gz", folder / NAME)

    node = load(reader, folder / NAME)

    assert node.GetAttribute("ArSSR.Model") is None
    assert "was changed after it was made" in reader.parent.messages[0]


def test_a_damaged_record_is_reported_and_the_volume_opens(reader, folder):
    sidecar_of(folder / NAME).write_text("{}")

    node = load(reader, folder / NAME)

    assert node.GetAttribute("ArSSR.Model") is None
    assert "loaded without its record" in reader.parent.messages[0]


def test_a_damaged_volume_is_refused(reader, folder, capfd):
    (folder / NAME).write_bytes(b"nothing")

    assert not reader.load({"fileName": str(folder / NAME)})
    assert "cannot read this volume" in reader.parent.messages[0]
    capfd.readouterr()


@pytest.fixture
def uncertain(folder) -> Path:
    """The uncertainty beside the result, with the name that `arssr bids` gives it."""
    grid = read_volume(folder / NAME).geometry
    array = np.linspace(0, 20, int(np.prod(grid.shape)), dtype=np.float32).reshape(grid.shape)
    write_volume(Volume(array, grid), folder / SPREAD)
    return folder / SPREAD


def test_the_uncertainty_beside_a_result_is_loaded_and_linked(reader, folder, uncertain):
    result = load(reader, folder / NAME)

    spread = uncertaintyOf(result)
    assert spread.GetName() == f"{result.GetName()} uncertainty"
    assert spread.GetDisplayNode().GetColorNode().GetName() in ("Inferno", "Rainbow")
    assert spread.GetDisplayNode().GetWindow() == pytest.approx(0.995 * 20, rel=1e-3)
    assert reader.parent.messages == []


@pytest.mark.parametrize("names", [(NAME, SPREAD), (SPREAD, NAME)])
def test_both_files_are_linked_whichever_is_dropped_first(reader, folder, uncertain, names):
    nodes = {name: load(reader, folder / name) for name in names}

    assert uncertaintyOf(nodes[NAME]) is nodes[SPREAD]
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 2


def test_an_uncertainty_is_claimed_only_beside_its_result(reader, folder, uncertain):
    assert reader.canLoadFileConfidence(str(uncertain)) > 0.57
    sidecar_of(folder / NAME).unlink()

    assert reader.canLoadFileConfidence(str(uncertain)) == 0.0


def test_an_uncertainty_on_another_grid_is_reported_and_not_linked(reader, folder):
    shutil.copy(folder / "scan.nii.gz", folder / SPREAD)

    result = load(reader, folder / NAME)

    assert uncertaintyOf(result) is None
    assert "is not on the grid of its result" in reader.parent.messages[0]


def test_a_damaged_uncertainty_does_not_keep_the_result_from_opening(reader, folder, uncertain, capfd):
    uncertain.write_bytes(b"nothing")

    result = load(reader, folder / NAME)

    assert uncertaintyOf(result) is None
    assert "cannot read this volume" in reader.parent.messages[0]
    capfd.readouterr()


def test_an_uncertainty_that_was_removed_is_linked_when_it_is_dropped_again(reader, folder, uncertain):
    result = load(reader, folder / NAME)
    slicer.mrmlScene.RemoveNode(uncertaintyOf(result))

    assert uncertaintyOf(result) is None
    assert load(reader, uncertain) is uncertaintyOf(result)
