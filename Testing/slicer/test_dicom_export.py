"""Results are exported as DICOM beside their source; if the source files cannot be found, the message says so."""

from __future__ import annotations

import json

import ctk
import numpy as np
import pydicom
import pytest
import slicer
from ArSSRPanel import acquisition, attributes, dicom, dicom_source, nodes
from ArSSRPanel.acquisition import plannedDecision
from ArSSRPanel.profile_section import describeDecision
from ArSSRPanel.request import makeRequest
from dicom_series import write_frames, write_series

from ArSSRLib.acquisition.profile import UNKNOWN, AxisProfile
from ArSSRLib.errors import InputError
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.io import find_series, read_volume, write_volume
from ArSSRLib.volume import Volume

PROVENANCE = {"model": "arssr2", "sha256": "ab" * 32, "scale": (1.0, 1.0, 2.0), "device": "cpu"}


class Database:
    """Stand-in for Slicer's DICOM database: it returns the file of an instance, or an empty text."""

    def __init__(self, files):
        self.isOpen = True
        self.files = {str(pydicom.dcmread(file).SOPInstanceUID): str(file) for file in files}

    def fileForInstance(self, instance):
        return self.files.get(instance, "")


@pytest.fixture
def database(tmp_path, oblique_geometry, monkeypatch):
    array = np.random.default_rng(2).integers(0, 3000, oblique_geometry.shape).astype(np.int16)
    write_series(tmp_path / "source", Volume(array, oblique_geometry))
    known = Database(find_series(tmp_path / "source"))
    monkeypatch.setattr(slicer, "dicomDatabase", known, raising=False)
    return known


def addNode(scene, volume: Volume, instances: str | None = None):
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "T1")
    nodes.updateNodeFromVolume(node, volume)
    if instances is not None:
        node.SetAttribute("DICOM.instanceUIDs", instances)
    return node


@pytest.fixture
def source(scene, database, tmp_path):
    return addNode(scene, read_volume(tmp_path / "source"), " ".join(database.files))


@pytest.fixture
def result(scene, source):
    geometry = nodes.geometryOf(source).upsampled((1, 1, 2))
    array = np.random.default_rng(5).integers(0, 3000, geometry.shape).astype(np.int16)
    node = addNode(scene, Volume(array, geometry))
    attributes.writeAttributes(node, source, PROVENANCE)
    return node


def test_a_result_is_written_beside_its_source_at_its_position(tmp_path, source, result):
    folder, count = dicom.exportResult(result, tmp_path)

    written = read_volume(folder)
    np.testing.assert_array_equal(written.array, slicer.util.arrayFromVolume(result))
    np.testing.assert_allclose(written.geometry.affine, nodes.geometryOf(result).affine, atol=1e-6)
    first = pydicom.dcmread(next(folder.iterdir()))
    assert count == len(list(folder.iterdir())) == 18
    assert (first.PatientID, first.StudyInstanceUID) == ("4711", "1.2.3.4")
    assert first.SeriesDescription == "T1 axial ArSSR 1x1x2"
    assert "ab" * 32 in first.DerivationDescription


def test_parent_transforms_do_not_move_what_is_written(scene, tmp_path, source, result):
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = slicer.util.vtkMatrixFromArray(np.array([[1, 0, 0, 50], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]))
    transform.SetMatrixTransformToParent(matrix)
    for node in (source, result):
        node.SetAndObserveTransformNodeID(transform.GetID())

    folder, _count = dicom.exportResult(result, tmp_path)

    np.testing.assert_allclose(
        read_volume(folder).geometry.corners(), read_volume(tmp_path / "source").geometry.corners(), atol=1e-6
    )


def test_the_files_of_a_volume_come_in_the_order_of_its_slices_each_once(database, source):
    backward = list(reversed(database.files))
    source.SetAttribute("DICOM.instanceUIDs", " ".join(backward + backward[:1]))

    assert dicom_source.sourceInstanceFiles(source) == [database.files[instance] for instance in backward]


def test_a_volume_of_one_multi_frame_file_has_one_source(scene, tmp_path, database, result):
    volume = Volume(np.zeros((9, 18, 20), np.int16), VolumeGeometry((20, 18, 9), (1, 1, 2)))
    write_frames(tmp_path / "frames.dcm", volume)
    frames = Database([tmp_path / "frames.dcm"])
    database.files = frames.files
    source = addNode(scene, volume, " ".join(list(frames.files) * 9))

    assert dicom_source.sourceInstanceFiles(source) == [str(tmp_path / "frames.dcm")]
    attributes.linkInput(result, source)
    assert dicom.exportResult(result, tmp_path)[1] == 18


def test_a_volume_that_was_not_loaded_from_dicom_is_refused(scene, database, source, result):
    assert dicom_source.isFromDicom(source)
    assert not dicom_source.isFromDicom(result)
    with pytest.raises(InputError, match=r'"T1" was not loaded from DICOM.*save the result as NRRD'):
        dicom_source.sourceInstanceFiles(result)


def test_a_source_that_was_removed_from_the_scene_is_reported(tmp_path, scene, source, result):
    scene.RemoveNode(source)

    with pytest.raises(InputError, match="no longer in the scene; load it again"):
        dicom.exportResult(result, tmp_path)


def test_missing_files_are_counted(tmp_path, database, source, result):
    first, second, *_ = find_series(tmp_path / "source")
    first.unlink()
    database.files = {instance: file for instance, file in database.files.items() if file != str(second)}

    with pytest.raises(InputError, match=r'2 of the 9 DICOM files of "T1" can no longer be found; import'):
        dicom.exportResult(result, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


@pytest.mark.parametrize("closed", ["absent", "closed"])
def test_a_database_that_is_not_open_is_reported(monkeypatch, database, source, closed):
    database.isOpen = False
    if closed == "absent":
        monkeypatch.delattr(slicer, "dicomDatabase")

    with pytest.raises(InputError, match="database is not open"):
        dicom_source.sourceInstanceFiles(source)


def test_a_folder_in_use_is_kept_and_another_one_is_made(tmp_path, result):
    used = tmp_path / "ArSSR_1x1x2"
    used.mkdir()
    (used / "notes.txt").write_text("mine")

    folder, count = dicom.exportResult(result, tmp_path)

    assert (folder, count) == (tmp_path / "ArSSR_1x1x2_2", 18)
    assert [path.name for path in used.iterdir()] == ["notes.txt"]


def test_the_slice_thickness_of_the_series_is_known(tmp_path, scene, oblique_geometry, monkeypatch):
    def thick(_number, dataset):
        dataset.SliceThickness, dataset.MRAcquisitionType = oblique_geometry.spacing[2] * 0.8, "2D"

    array = np.zeros(oblique_geometry.shape, dtype=np.int16)
    write_series(tmp_path / "source", Volume(array, oblique_geometry), edit=thick)
    known = Database(find_series(tmp_path / "source"))
    monkeypatch.setattr(slicer, "dicomDatabase", known, raising=False)
    node = addNode(scene, read_volume(tmp_path / "source"), " ".join(known.files))

    profile = acquisition.profileOf(node)

    assert profile.axes[2].kind == "gaussian"
    assert profile.axes[2].width == pytest.approx(0.8, rel=1e-3)
    assert profile.axes[2].source == "DICOM"
    request = makeRequest(node, scale=(1, 1, 2))
    assert "K: slices of 2 mm" in describeDecision(plannedDecision(request)[0], request)


def test_missing_files_leave_the_profile_unknown(source, database):
    database.files.clear()

    assert acquisition.profileOf(source) == UNKNOWN


def test_the_sidecar_of_a_nifti_file_is_read(tmp_path, scene, oblique_geometry):
    volume = Volume(np.zeros(oblique_geometry.shape, dtype=np.int16), oblique_geometry)
    write_volume(volume, tmp_path / "T1.nii.gz")
    stated = {"MRAcquisitionType": "2D", "SliceThickness": 2.0, "SpacingBetweenSlices": 2.5}
    (tmp_path / "T1.json").write_text(json.dumps(stated))
    node = addNode(scene, volume)
    storage = scene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
    storage.SetFileName(str(tmp_path / "T1.nii.gz"))
    node.SetAndObserveStorageNodeID(storage.GetID())

    assert acquisition.profileOf(node).axes[2] == AxisProfile("gaussian", 0.8, "sidecar")


class Indexer:
    """Stand-in for ctkDICOMIndexer, which adds the files of a folder, or none."""

    takes = True

    def addDirectory(self, database, folder, copyFile):
        assert not copyFile
        database.added = [str(path) for path in find_series(folder)] if self.takes else []

    def waitForImportFinished(self):
        pass


@pytest.fixture
def exported(tmp_path, result, database, slicerHost, monkeypatch):
    """Export a result to a folder like the button, with the user's answer to the offer; return the message."""
    monkeypatch.setattr(ctk, "ctkDICOMIndexer", Indexer, raising=False)
    database.added = []
    database.instanceForFile = lambda file: "1.2.3" if file in database.added else ""

    def export(answer: bool) -> str:
        slicerHost.answer(str(tmp_path))
        slicerHost.answer(answer)
        return dicom.exportWhereAsked(result)

    return export


def test_a_new_series_is_added_to_the_database_of_its_source_if_the_user_agrees(exported, database, messages):
    said = exported(True)

    assert len(database.added) == 18
    assert "database now" in said
    assert "not copied" in next(message.text for message in messages if message.kind == "confirm")


def test_a_user_who_declines_keeps_the_files_only(exported, database, tmp_path):
    said = exported(False)

    assert database.added == []
    assert "18 DICOM files were written" in said
    assert "database" not in said
    assert len(list((tmp_path / "ArSSR_1x1x2").iterdir())) == 18


def test_a_database_that_adds_nothing_is_reported(exported, monkeypatch):
    monkeypatch.setattr(Indexer, "takes", False)

    assert "did not accept them" in exported(True)
