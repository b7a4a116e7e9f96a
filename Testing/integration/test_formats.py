"""A volume is the same after writing and reading it in any format."""

from __future__ import annotations

from itertools import pairwise

import nibabel as nib
import numpy as np
import phantoms
import pytest
import SimpleITK as sitk  # noqa: N813 - the name everyone knows it by
from dicom_series import write_frames, write_series

from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.io import WRITABLE_SUFFIXES, read_volume, write_volume
from ArSSRLib.volume import Volume

# Precision of headers: double precision, decimal text of 16 characters, or single precision for all others.
PRECISION_MM = {".nrrd": 1e-6, ".mha": 1e-6, "DICOM": 1e-6}
SINGLE_PRECISION_MM = 1e-4
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
SAGITTAL = (0.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
FLIPPED = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
ORIENTATIONS = {
    "axial": AXIAL,
    "sagittal": SAGITTAL,
    "flipped": FLIPPED,
    "oblique": phantoms.rotation(17, -28, 39),
    "oblique left-handed": tuple((np.reshape(phantoms.rotation(-8, 71, 15), (3, 3)) @ np.diag([1.0, 1, -1])).ravel()),
}


@pytest.fixture(params=ORIENTATIONS)
def volume(request) -> Volume:
    geometry = VolumeGeometry((11, 9, 7), (0.859375, 1.1, 3.3), (-87.123456, 143.2, -61.7), ORIENTATIONS[request.param])
    array = np.random.default_rng(8).integers(0, 4000, geometry.shape).astype(np.int16)
    return Volume(array, geometry)


def is_right_handed(volume: Volume) -> bool:
    return np.linalg.det(np.reshape(volume.geometry.direction, (3, 3))) > 0


def with_last_axis_flipped(volume: Volume) -> Volume:
    """The same image, stored from the last slice to the first."""
    affine = volume.geometry.ras_affine
    affine[:3, 3] += affine[:3, 2] * (len(volume.array) - 1)
    affine[:3, 2] *= -1
    return Volume(volume.array[::-1], VolumeGeometry.from_ras_affine(volume.geometry.size, affine))


@pytest.fixture
def copies(tmp_path, volume) -> dict[str, Volume]:
    """The volume after writing and reading it in every format."""
    written = {suffix: write_volume(volume, tmp_path / f"a{suffix}") for suffix in WRITABLE_SUFFIXES}
    if is_right_handed(volume):
        write_series(tmp_path / "DICOM", volume)
        write_frames(tmp_path / "frames", volume)
        written |= {"DICOM": tmp_path / "DICOM", "DICOM frames": tmp_path / "frames"}
    return {name: read_volume(path) for name, path in written.items()}


def test_every_format_holds_the_same_voxels_at_the_same_place(copies, volume):
    for name, copy in copies.items():
        np.testing.assert_array_equal(copy.array, volume.array, err_msg=name)
        tolerance = PRECISION_MM.get(name.split()[0], SINGLE_PRECISION_MM)
        np.testing.assert_allclose(copy.geometry.corners(), volume.geometry.corners(), atol=tolerance, err_msg=name)


def test_every_format_keeps_the_type_of_the_voxels(copies):
    assert {copy.array.dtype for copy in copies.values()} == {np.dtype(np.int16)}
    assert {copy.header.dtype for copy in copies.values()} == {np.dtype(np.int16)}


def test_a_tour_through_the_formats_does_not_wander(tmp_path, volume):
    tour = [*WRITABLE_SUFFIXES, *WRITABLE_SUFFIXES]
    travelling = volume
    for number, suffix in enumerate(tour):
        travelling = read_volume(write_volume(travelling, tmp_path / f"{number}{suffix}"))

    np.testing.assert_array_equal(travelling.array, volume.array)
    np.testing.assert_allclose(travelling.geometry.corners(), volume.geometry.corners(), atol=1e-4)
    assert travelling.geometry.matches(volume.geometry)


def test_itk_sees_the_nifti_file_where_we_put_it(tmp_path, volume):
    """SimpleITK has its own NIfTI reader, which serves as an independent check."""
    image = sitk.ReadImage(str(write_volume(volume, tmp_path / "a.nii.gz")))

    for index in ((0, 0, 0), (10, 0, 0), (0, 8, 6)):
        expected = volume.geometry.affine @ [*index, 1]
        np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(index), expected[:3], atol=1e-4)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), volume.array)


def test_itk_sees_the_dicom_series_where_we_see_it(tmp_path, volume):
    # DICOM stacks slices along their normal, and only supports right-handed grids.
    volume = volume if is_right_handed(volume) else with_last_axis_flipped(volume)
    write_series(tmp_path, volume)

    image = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path)))
    ours = read_volume(tmp_path)

    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), ours.array)
    corner = image.TransformIndexToPhysicalPoint((10, 8, 6))
    np.testing.assert_allclose(corner, (ours.geometry.affine @ [10, 8, 6, 1])[:3], atol=1e-4)


def test_nibabel_sees_both_forms_of_an_upsampled_file_alike(tmp_path, volume):
    finer = volume.geometry.upsampled((2, 1.5, 3.3))
    path = write_volume(volume.with_array(np.zeros(finer.shape, np.float32), finer), tmp_path / "a.nii.gz")

    header = nib.load(path).header

    np.testing.assert_allclose(header.get_qform(), header.get_sform(), atol=1e-4)
    # The fine and the coarse grid have the same field of view in the file, too.
    np.testing.assert_allclose(read_volume(path).geometry.corners(), volume.geometry.corners(), atol=1e-4)


def test_blobs_stay_where_they_are_in_the_patient(tmp_path, phantom):
    paths = [write_volume(phantom, tmp_path / f"a{suffix}") for suffix in WRITABLE_SUFFIXES]

    centers = [phantoms.centroid(read_volume(path)) for path in paths]

    for one, other in pairwise([phantoms.centroid(phantom), *centers]):
        np.testing.assert_allclose(one, other, atol=1e-4)
