"""A derived series made from a scanned one, for tests of its voxels and its header."""

from __future__ import annotations

from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from ArSSRLib.io import Derivation, find_series, write_derived_series
from ArSSRLib.volume import Volume

SHA256 = "0123456789abcdef" * 4
DERIVATION = Derivation("arssr2", SHA256, (2.0, 2.0, 2.0), "one CPU")


def item(**attributes):
    dataset = Dataset()
    for name, value in attributes.items():
        setattr(dataset, name, value)
    return dataset


def as_scanned(k, dataset):
    """Add the attributes of a scanner besides the voxels, including private ones."""
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.PatientName = "Müller^Jürgen"
    dataset.PatientBirthDate, dataset.PatientSex, dataset.PatientAge = "19700102", "O", "050Y"
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID = "20200304", "112233", "77"
    dataset.StudyDescription, dataset.AccessionNumber = "Head", "A1"
    dataset.ReferringPhysicianName = "House^Gregory"
    dataset.SeriesNumber, dataset.AcquisitionNumber, dataset.InstanceNumber = 4, 1, k + 1
    dataset.AcquisitionTime = f"1122{k:02d}"
    dataset.FrameOfReferenceUID = "1.2.3.5"
    dataset.Manufacturer, dataset.ManufacturerModelName, dataset.DeviceSerialNumber = "Scanner Inc.", "Model 3", "99"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
    dataset.ScanningSequence, dataset.SequenceVariant = ["SE", "IR"], "SK"
    dataset.RepetitionTime, dataset.EchoTime, dataset.InversionTime = "9000", "90.5", "2500"
    dataset.EchoTrainLength, dataset.MRAcquisitionType, dataset.MagneticFieldStrength = 11, "2D", "3"
    dataset.WindowCenter, dataset.WindowWidth = [str(100 + k), "300"], ["250", "600"]
    dataset.BodyPartExamined, dataset.PatientPosition = "BRAIN", "HFS"
    dataset.SliceThickness = "2.4"
    dataset.add_new((0x0029, 0x0010), "LO", "SCANNER PRIVATE")
    dataset.add_new((0x0029, 0x1010), "LO", "secret")
    dataset.RequestAttributesSequence = [item(RequestedProcedureID="R1", ScheduledProcedureStepID="S1")]
    dataset.RequestAttributesSequence[0].add_new((0x0029, 0x0010), "LO", "SCANNER PRIVATE")


def write_to(
    folder: Path, volume: Volume, *, source: str = "source", name: str = "out", **options: bool
) -> list[Dataset]:
    """Write a volume beside its source, and return the files, ordered by name."""
    files = write_derived_series(
        volume, folder / name, sources=find_series(folder / source), derivation=DERIVATION, **options
    )
    assert sorted(files) == files == sorted((folder / name).iterdir())
    return [pydicom.dcmread(file) for file in files]
