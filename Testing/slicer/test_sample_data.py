"""The tutorial's data set: it is offered, verified, and loaded with simulated thick slices beside the original."""

from __future__ import annotations

import hashlib
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import slicer
from ArSSRPanel import nodes, sample_data

from ArSSRLib.errors import InputError
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.io import read_volume, write_volume
from ArSSRLib.volume import FileHeader, Volume


@pytest.fixture
def head(tmp_path) -> Path:
    """A small head with the axes and spacing of MRHead: sagittal, 1 mm, slices every 1.3 mm; 11 is no multiple of 3."""
    geometry = VolumeGeometry(
        (16, 18, 11), (1.0, 1.0, 1.3), (40.0, -60.0, 20.0), (0.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
    )
    array = np.random.default_rng(6).integers(0, 280, geometry.shape).astype(np.int16)
    return write_volume(Volume(array, geometry, FileHeader(dtype=np.dtype(np.int16))), tmp_path / "served.nrrd")


@pytest.fixture
def internet(monkeypatch, tmp_path, head):
    """Serve ``head`` like a download of Slicer's Sample Data module; returns the list of requests.

    As in that module, a file with a wrong checksum is deleted, but its path is returned.
    """
    import SampleData

    asked = []

    def downloadFileIntoCache(self, uri, name, checksum=None):
        asked.append((uri, name, checksum))
        path = tmp_path / name
        shutil.copy(head, path)
        if checksum != f"SHA256:{hashlib.sha256(path.read_bytes()).hexdigest()}":
            path.unlink()
        return str(path)

    def loadVolume(filename, properties):
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", properties["name"])
        nodes.updateNodeFromVolume(node, read_volume(filename))
        node.CreateDefaultDisplayNodes()
        return node

    logic = SampleData.SampleDataLogic
    monkeypatch.setattr(logic, "downloadFileIntoCache", downloadFileIntoCache, raising=False)
    monkeypatch.setattr(slicer.util, "loadVolume", loadVolume)
    monkeypatch.setattr(sample_data, "SHA256", hashlib.sha256(head.read_bytes()).hexdigest())
    return asked


@pytest.fixture(autouse=True)
def nothing_offered_yet(monkeypatch):
    monkeypatch.setitem(vars(slicer.modules), "sampleDataSources", {})


def registered():
    import SampleData

    return SampleData.SampleDataLogic.sampleDataSourcesByCategory("ArSSR")


def test_the_data_set_is_registered_once_in_the_category_arssr_with_its_checksum(scene):
    sample_data.registerSampleData()
    sample_data.registerSampleData()

    (source,) = registered()
    assert source.sampleName == "MR head, thick slices"
    assert source.uris.endswith(f"SHA256/{sample_data.SHA256}")
    assert source.uris.startswith("https://")
    assert source.checksums == f"SHA256:{sample_data.SHA256}"


def test_its_thumbnail_is_a_picture(scene):
    sample_data.registerSampleData()

    picture = Path(registered()[0].thumbnailFileName).read_bytes()

    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", picture[16:24]) == (128, 128)


def test_a_click_shows_the_head_in_thick_slices(scene, internet):
    sample_data.registerSampleData()
    (source,) = registered()

    source.customDownloader(source)

    shown = scene.GetFirstNodeByClass("vtkMRMLSliceCompositeNode").GetBackgroundVolumeID()
    assert scene.GetNodeByID(shown).GetName() == "MRHead, 3.9 mm slices"
    assert internet == [(source.uris, source.fileNames, source.checksums)]


def test_each_thick_slice_is_the_mean_of_three_at_their_position(scene, internet, head):
    thick, truth = sample_data.loadThickHead()

    original = read_volume(head)
    array = slicer.util.arrayFromVolume(thick)
    groups = original.array[:9].reshape(3, 3, 18, 16).astype(float)
    np.testing.assert_allclose(array, groups.mean(axis=1), atol=0.5)
    assert array.dtype == np.int16
    coarse, fine = nodes.geometryOf(thick), nodes.geometryOf(truth)
    np.testing.assert_allclose(coarse.spacing, (1, 1, 3.9))
    # The thick slice is at the middle of the three slices.
    np.testing.assert_allclose(coarse.affine @ [2, 3, 1, 1], fine.affine @ [2, 3, 4, 1], atol=1e-9)


def test_the_license_is_stated_on_what_is_loaded(scene, internet):
    thick, _ = sample_data.loadThickHead()

    assert "without any restrictions" in thick.GetDescription()


def test_a_wrong_checksum_is_refused_and_the_file_is_deleted(scene, internet, monkeypatch, tmp_path):
    monkeypatch.setattr(sample_data, "SHA256", "0" * 64)

    with pytest.raises(InputError, match=r"arrived damaged .* was deleted; try again"):
        sample_data.loadThickHead()
    assert not (tmp_path / "MR-head.nrrd").exists()
    assert scene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode") is None


def test_a_corrupted_file_that_slicer_accepted_is_deleted(scene, internet, monkeypatch, tmp_path):
    import SampleData

    damaged = tmp_path / "MR-head.nrrd"
    damaged.write_bytes(b"half a file")
    monkeypatch.setattr(SampleData.SampleDataLogic, "downloadFileIntoCache", lambda *_: str(damaged))

    with pytest.raises(InputError, match="wrong SHA-256"):
        sample_data.loadThickHead()
    assert not damaged.exists()


def test_a_missing_connection_is_reported(scene, internet, monkeypatch):
    import SampleData

    def fail(*_):
        raise ValueError("Failed to download")

    monkeypatch.setattr(SampleData.SampleDataLogic, "downloadFileIntoCache", fail)

    for load in (sample_data.loadThickHead, sample_data.downloadAndShow):
        with pytest.raises(InputError, match="check the connection and Slicer's proxy"):
            load()
