"""Headers of a derived DICOM series: patient, source, and the model that computed it."""

from __future__ import annotations

import shutil
import subprocess
from importlib.util import find_spec

import numpy as np
import pydicom
import pytest
from derived_series import SHA256, item, write_to
from dicom_reference import departures
from dicom_series import write_frames, write_series

from ArSSRLib.io import read_volume
from ArSSRLib.volume import Volume

needs_the_standard = pytest.mark.skipif(
    find_spec("highdicom") is None, reason="highdicom, which ships the tables of the standard, is not installed"
)


@pytest.fixture
def of_each_kind(tmp_path, oblique_geometry, written):
    """Derived images of a scanned, a bare and a multi-frame source, the last one with a slope."""
    base = Volume(np.zeros(oblique_geometry.shape, np.int16), oblique_geometry)
    write_series(tmp_path / "bare", base)
    write_frames(tmp_path / "frames.dcm", base)
    bare = write_to(tmp_path, base, source="bare", name="out_bare")
    frames = write_to(tmp_path, Volume(base.array + 0.5, base.geometry), source="frames.dcm", name="out_frames")
    return written[0], bare[0], frames[0]


# --- content of the header


def test_the_series_has_the_study_and_the_frame_of_reference_of_its_source(tmp_path, written):
    original = pydicom.dcmread(next((tmp_path / "source").iterdir()))
    for name in [
        *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge", "StudyInstanceUID", "StudyDate"),
        *("StudyTime", "StudyID", "StudyDescription", "AccessionNumber", "ReferringPhysicianName"),
        *("FrameOfReferenceUID", "PatientPosition", "BodyPartExamined", "RepetitionTime", "EchoTime"),
        *("InversionTime", "ScanningSequence", "EchoTrainLength", "MagneticFieldStrength", "PhotometricInterpretation"),
    ]:
        assert {str(dataset[name].value) for dataset in written} == {str(original[name].value)}, name


def test_the_series_is_new_and_its_images_have_different_numbers(tmp_path, written):
    originals = [pydicom.dcmread(file) for file in (tmp_path / "source").iterdir()]

    assert len({dataset.SeriesInstanceUID for dataset in written}) == 1
    assert len({dataset.SOPInstanceUID for dataset in written}) == len(written)
    for name in ("SeriesInstanceUID", "SOPInstanceUID", "SeriesNumber"):
        assert not {dataset[name].value for dataset in written} & {dataset[name].value for dataset in originals}
    assert all(dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID for dataset in written)


def test_the_images_are_marked_as_derived_for_research(written):
    for dataset in written:
        assert dataset.ImageType == ["DERIVED", "SECONDARY", "M", "ND"]
        assert dataset.Modality == "MR"
        assert dataset.SeriesDescription == "T1 axial ArSSR 2x"
        assert dataset.ContentQualification == "RESEARCH"
        assert dataset.DerivationCodeSequence[0].CodeValue == "113085"


def test_the_algorithm_and_the_scanner_are_both_identified(written):
    scanner, program = written[0].ContributingEquipmentSequence

    assert SHA256 in written[0].DerivationDescription
    assert "arssr2" in written[0].DerivationDescription
    assert "one CPU" in written[0].DerivationDescription
    assert (scanner.Manufacturer, scanner.DeviceSerialNumber) == ("Scanner Inc.", "99")
    assert scanner.PurposeOfReferenceCodeSequence[0].CodeValue == "109101"
    assert program.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
    assert list(program.SoftwareVersions)[1:] == [SHA256, "arssr2"]
    assert written[0].Manufacturer == "ArSSR"


def test_each_slice_refers_to_the_source_slices_around_it(tmp_path, result, written):
    places = {}
    for file in (tmp_path / "source").iterdir():
        original = pydicom.dcmread(file)
        places[original.SOPInstanceUID] = int(original.InstanceNumber) - 1
    for k, dataset in enumerate(written):
        named = [places[image.ReferencedSOPInstanceUID] for image in dataset.SourceImageSequence]
        # Three fine slices per coarse slice: the middle one coincides with it, others are between it and a neighbor.
        coarse, third = divmod(k, 3)
        expected = [n for n in ([coarse, coarse - 1], [coarse], [coarse, coarse + 1])[third] if 0 <= n < len(places)]
        assert named == expected
        series = dataset.ReferencedSeriesSequence[0]
        assert series.SeriesInstanceUID == original.SeriesInstanceUID
        in_series = {image.ReferencedSOPInstanceUID for image in series.ReferencedInstanceSequence}
        assert in_series == {image.ReferencedSOPInstanceUID for image in dataset.SourceImageSequence}


def test_attributes_that_vary_between_slices_are_those_of_the_nearest(written):
    assert [list(dataset.WindowCenter) for dataset in written[3:6]] == [[101, 300]] * 3
    assert [dataset.AcquisitionTime for dataset in written[24:]] == ["112208"] * 3


def test_no_private_attribute_is_kept(written):
    assert not any(element.tag.is_private for dataset in written for element in dataset.iterall())
    assert written[0].RequestAttributesSequence[0].RequestedProcedureID == "R1"


def test_attributes_of_the_voxels_of_the_source_are_not_copied(tmp_path, oblique_geometry):
    def edit(_k, dataset):
        dataset.PixelPaddingValue, dataset.SmallestImagePixelValue = -2000, 0
        dataset.add_new((0x6000, 0x0010), "US", 18)
        dataset.IconImageSequence = [item(Rows=2)]
        dataset.RescaleSlope, dataset.RescaleIntercept = "2", "5"

    base = Volume(np.full(oblique_geometry.shape, 7, np.int16), oblique_geometry)
    write_series(tmp_path / "source", base, edit=edit)
    dataset = write_to(tmp_path, read_volume(tmp_path / "source"))[0]

    kept = {"PixelPaddingValue", "SmallestImagePixelValue", "IconImageSequence", (0x6000, 0x0010), "RescaleSlope"}
    assert [name for name in kept if name in dataset] == []
    np.testing.assert_array_equal(read_volume(tmp_path / "out").array, 19)


def test_an_inverted_or_lossy_source_is_marked_in_its_derived_series(tmp_path, oblique_geometry):
    def edit(_k, dataset):
        dataset.PhotometricInterpretation = "MONOCHROME1"
        dataset.LossyImageCompression, dataset.LossyImageCompressionRatio = "01", "12.5"
        dataset.LossyImageCompressionMethod = "ISO_10918_1"

    base = Volume(np.zeros(oblique_geometry.shape, np.int16), oblique_geometry)
    write_series(tmp_path / "source", base, edit=edit)
    dataset = write_to(tmp_path, base)[0]

    assert dataset.PhotometricInterpretation == "MONOCHROME1"
    assert dataset.LossyImageCompression == "01"
    assert (dataset.LossyImageCompressionRatio, dataset.LossyImageCompressionMethod) == (12.5, "ISO_10918_1")


def test_times_are_in_the_time_zone_of_the_source(tmp_path, oblique_geometry):
    zones = {"east": "+1400", "west": "-1200"}
    base = Volume(np.zeros(oblique_geometry.shape, np.int16), oblique_geometry)
    for name, zone in zones.items():
        write_series(
            tmp_path / name, base, edit=lambda _k, dataset, zone=zone: setattr(dataset, "TimezoneOffsetFromUTC", zone)
        )
    east, west = (write_to(tmp_path, base, source=name, name=f"out_{name}")[0] for name in zones)

    assert int(east.SeriesDate) > int(west.SeriesDate)
    assert (east.TimezoneOffsetFromUTC, west.TimezoneOffsetFromUTC) == ("+1400", "-1200")


def test_a_long_description_is_shortened_to_include_the_scale(tmp_path, oblique_geometry):
    base = Volume(np.zeros(oblique_geometry.shape, np.int16), oblique_geometry)
    write_series(tmp_path / "source", base, description="x" * 64)
    dataset = write_to(tmp_path, base)[0]

    assert len(dataset.SeriesDescription) == 64
    assert dataset.SeriesDescription.endswith("xxx ArSSR 2x")


@needs_the_standard
def test_the_attributes_required_by_the_standard_are_present(of_each_kind):
    assert [departures(dataset) for dataset in of_each_kind] == [[], [], []]


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (Debian's dicom3tools) is not installed")
def test_a_validator_of_the_standard_finds_no_error(of_each_kind):
    for dataset in of_each_kind:
        done = subprocess.run(["dciodvfy", "-new", dataset.filename], capture_output=True, text=True, check=False)
        said = done.stdout + done.stderr

        assert "MRImage" in said.splitlines()
        assert "Error" not in said


@needs_the_standard
def test_the_reference_detects_missing_and_unknown_attributes(written):
    dataset = written[0]
    del dataset.SourceImageSequence[0].ReferencedSOPClassUID, dataset.ScanningSequence
    dataset.KVP, dataset.ImagePositionPatient = "120", None

    assert departures(dataset) == [
        "SourceImageSequence.ReferencedSOPClassUID of type 1 is missing",
        "ImagePositionPatient of type 1 is empty",
        "ScanningSequence of type 1 is missing",
        "KVP is no attribute of an MR image",
    ]


# --- a multi-frame source


def test_frames_are_referenced_by_their_numbers(tmp_path, source):
    write_frames(tmp_path / "frames.dcm", source)
    geometry = source.geometry.upsampled((1, 1, 3))
    volume = Volume(np.zeros(geometry.shape, np.int16), geometry)

    datasets = write_to(tmp_path, volume, source="frames.dcm")

    # The frames of the file are ordered from the last slice to the first.
    assert [image.ReferencedFrameNumber for image in datasets[1].SourceImageSequence] == [9]
    assert [image.ReferencedFrameNumber for image in datasets[3].SourceImageSequence] == [8, 9]
    assert len(datasets[3].ReferencedSeriesSequence[0].ReferencedInstanceSequence) == 1
    assert datasets[0].SOPClassUID.name == "MR Image Storage"


def test_functional_groups_of_a_multi_frame_file_become_attributes_of_slices(tmp_path, source):
    write_frames(tmp_path / "frames.dcm", source)
    frames = pydicom.dcmread(tmp_path / "frames.dcm")
    frames.EchoPulseSequence, frames.ImageType = "SPIN", ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    shared = frames.SharedFunctionalGroupsSequence[0]
    shared.MREchoSequence = [item(EffectiveEchoTime=90.5)]
    shared.MRTimingAndRelatedParametersSequence = [item(RepetitionTime="9000", EchoTrainLength=11)]
    shared.MRModifierSequence = [item(InversionTimes=[2500.0, 300.0])]
    shared.FrameVOILUTSequence = [item(WindowCenter="100", WindowWidth="250")]
    frames.save_as(tmp_path / "frames.dcm")

    dataset = write_to(tmp_path, source, source="frames.dcm")[0]

    assert (dataset.EchoTime, dataset.RepetitionTime, dataset.InversionTime) == (90.5, 9000, 2500)
    assert (dataset.EchoTrainLength, dataset.ScanningSequence, dataset.WindowCenter) == (11, "SE", 100)
    assert dataset.ImageType == ["DERIVED", "SECONDARY", "OTHER"]
