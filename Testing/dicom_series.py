"""DICOM files made from a volume like those of a scanner: one file per slice, or one file with many frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

from ArSSRLib.volume import Volume


def write_series(
    folder: Path,
    volume: Volume,
    *,
    series: str | None = None,
    description: str = "T1 axial",
    edit: Callable[[int, Dataset], object] | None = None,
    keep: Sequence[int] | None = None,
) -> str:
    """Write an int16 volume as one file per slice, in an order that differs from that of the names.

    Args:
        folder: Output folder, created if necessary.
        volume: Right-handed grid, as DICOM slices form.
        series: Series instance UID.
        description: Series description.
        edit: Called with the number and the dataset of each slice before it is written.
        keep: Numbers of the slices to write; all by default.

    Returns:
        The series instance UID.
    """
    folder.mkdir(parents=True, exist_ok=True)
    series = series or generate_uid()
    affine = volume.geometry.affine
    numbers = range(len(volume.array)) if keep is None else keep
    for k in numbers:
        dataset = _image(volume, MRImageStorage, series, description)
        dataset.ImagePositionPatient = _decimal(affine[:3, 3] + k * affine[:3, 2])
        dataset.ImageOrientationPatient = _decimal(_orientation(volume))
        dataset.PixelSpacing = _decimal(volume.geometry.spacing[1::-1])
        dataset.PixelData = volume.array[k].astype("<i2").tobytes()
        if edit is not None:
            edit(k, dataset)
        dataset.save_as(folder / f"{series[-5:]}_{(7 * k) % 31:03d}", enforce_file_format=True)
    return series


def write_frames(path: Path, volume: Volume, *, slopes: Sequence[float] | None = None) -> None:
    """Write an int16 volume as one enhanced file, with its frames from the last slice to the first."""
    dataset = _image(volume, EnhancedMRImageStorage, generate_uid(), "T1 enhanced")
    affine = volume.geometry.affine
    dataset.NumberOfFrames = len(volume.array)
    shared = Dataset()
    shared.PixelMeasuresSequence = [_with(PixelSpacing=_decimal(volume.geometry.spacing[1::-1]))]
    shared.PlaneOrientationSequence = [_with(ImageOrientationPatient=_decimal(_orientation(volume)))]
    dataset.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for k in reversed(range(len(volume.array))):
        position = _decimal(affine[:3, 3] + k * affine[:3, 2])
        frame = _with(PlanePositionSequence=[_with(ImagePositionPatient=position)])
        if slopes is not None:
            transform = _with(RescaleSlope=slopes[k], RescaleIntercept=0, RescaleType="US")
            frame.PixelValueTransformationSequence = [transform]
        frames.append(frame)
    dataset.PerFrameFunctionalGroupsSequence = frames
    dataset.PixelData = volume.array[::-1].astype("<i2").tobytes()
    dataset.save_as(path, enforce_file_format=True)


def _image(volume: Volume, storage: str, series: str, description: str) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = storage
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.SOPClassUID = storage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
    dataset.PatientName = "Doe^Jane"
    dataset.PatientID = "4711"
    dataset.StudyInstanceUID = "1.2.3.4"
    dataset.SeriesInstanceUID = series
    dataset.SeriesDescription = description
    dataset.Modality = "MR"
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = volume.array.shape[1:]
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = 1
    return dataset


def _with(**attributes: object) -> Dataset:
    dataset = Dataset()
    for name, value in attributes.items():
        setattr(dataset, name, value)
    return dataset


def _orientation(volume: Volume) -> np.ndarray:
    return np.reshape(volume.geometry.direction, (3, 3)).T[:2].ravel()


def _decimal(values: Sequence[float] | np.ndarray) -> list[str]:
    """Return numbers as decimal strings of at most 16 characters, as DICOM requires."""
    return [f"{value:.9f}"[:16] for value in np.asarray(values, dtype=float)]
