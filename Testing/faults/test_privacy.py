"""The main job opens no connection, and its messages, file names and results do not identify the patient."""

from __future__ import annotations

import gzip
import os
import shutil
from dataclasses import replace

import nibabel as nib
import pydicom
import pytest
from derived_series import as_scanned
from dicom_series import write_series

from ArSSRLib import write_volume
from ArSSRLib.options import UpsamplingOptions

if not hasattr(os, "fork"):
    pytest.skip("a process that divides itself needs POSIX", allow_module_level=True)

NAME = "HANSELOTTE"
# The personal data that a derived series may contain: those of its source.
IDENTITY = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "AccessionNumber")


@pytest.fixture
def folder(phantom, tiny_weights, tmp_path):
    """Inputs with the name of a patient in every place that their format allows."""
    for name in ("in", "out", "weights"):
        (tmp_path / name).mkdir()
    shutil.copy(tiny_weights, tmp_path / "weights" / "tiny.safetensors")
    volume = phantom.with_array(phantom.array.astype("i2"))
    write_volume(volume, tmp_path / "in" / "1.nrrd", description=NAME)
    image = nib.Nifti1Image(volume.array.T, volume.geometry.ras_affine)
    for field in ("descrip", "aux_file", "db_name", "intent_name"):
        image.header[field] = NAME
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", f"Patient {NAME}".encode()))
    nib.save(image, tmp_path / "in" / "1.nii.gz")

    def edit(k, dataset):
        as_scanned(k, dataset)
        dataset.PatientName = f"{NAME}^TEST"
        dataset.PatientComments = dataset.ImageComments = dataset.SeriesDescription = f"{NAME} moved"
        dataset.add_new((0x0029, 0x1010), "LO", NAME)

    write_series(tmp_path / "series", volume, edit=edit)
    return tmp_path


def all_that_was_said(folder) -> str:
    """Return logs, and the names of all files that were ever opened."""
    return (folder / "said").read_text("utf-8", "replace") + (folder / "watched").read_text("utf-8", "replace")


@pytest.mark.parametrize("work", ["upsample", "worker", "series"])
def test_the_main_job_opens_no_connection_and_names_no_patient(server, folder, work):
    assert server.run(work, folder) == 0, all_that_was_said(folder)

    said = all_that_was_said(folder)
    assert "REACHED OUT" not in said
    assert "open " in said
    assert NAME not in said
    for path in (folder / "out").rglob("*"):
        assert NAME not in path.name
        if path.is_file() and path.suffix != ".dcm":
            content = path.read_bytes()
            assert NAME.encode() not in (gzip.decompress(content) if path.suffix == ".gz" else content), path.name


def test_a_connection_would_be_detected(server, folder):
    assert server.run("connect", folder) != 0
    assert "REACHED OUT socket." in all_that_was_said(folder)


def test_a_derived_series_has_only_the_personal_data_of_its_source(server, folder):
    server.run("series", folder)
    source = pydicom.dcmread(next((folder / "series").iterdir()))
    files = sorted((folder / "out" / "series").iterdir())

    assert files
    for file in files:
        derived = pydicom.dcmread(file)
        assert {name: derived.get(name) for name in IDENTITY} == {name: source.get(name) for name in IDENTITY}
        telling = {element.keyword for element in derived.iterall() if NAME in str(element.value)}
        assert telling == {"PatientName", "PatientComments", "SeriesDescription"}  # the patient, and the series
        assert not any(element.tag.is_private for element in derived.iterall())


def test_a_result_does_not_copy_the_description_of_its_input(phantom, tiny_model):
    from ArSSRLib import upsample  # noqa: PLC0415

    named = replace(phantom, header=replace(phantom.header, description=NAME))

    assert upsample(named, tiny_model, 2, UpsamplingOptions(device="cpu")).header.description == ""
