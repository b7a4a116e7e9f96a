"""Slice profiles from DICOM headers and sidecars, with known results."""

from __future__ import annotations

import json
import logging
import math

import nibabel as nib
import numpy as np
import pytest
from dicom_series import write_series
from nifti_files import save

from ArSSRLib.acquisition.profile import UNKNOWN, AxisProfile, SliceProfile
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.io import read_volume
from ArSSRLib.volume import Volume

GEOMETRY = VolumeGeometry((20, 16, 6), (1.0, 1.0, 4.0))
TWO_D = {"SliceThickness": "3", "MRAcquisitionType": "2D"}


def read_series(folder, attributes):
    volume = Volume(np.arange(math.prod(GEOMETRY.shape), dtype=np.int16).reshape(GEOMETRY.shape), GEOMETRY)

    def edit(number, dataset):
        for name, value in attributes.items():
            setattr(dataset, name, value[number] if isinstance(value, tuple) else value)

    write_series(folder, volume, edit=edit)
    return read_volume(folder).header.profile


def read_beside(folder, sidecar, spacing=(1.0, 1.0, 4.0)):
    affine = np.diag([*spacing, 1.0])
    save(folder / "scan.nii.gz", array=np.zeros((20, 16, 6), np.int16), sform=(affine, 1))
    content = sidecar if isinstance(sidecar, bytes) else json.dumps(sidecar).encode()
    (folder / "scan.json").write_bytes(content)
    return read_volume(folder / "scan.nii.gz").header.profile


def kspace(width, source):
    return AxisProfile("kspace", width, source)


def test_a_2d_series_states_a_gaussian_as_thick_as_its_slices(tmp_path):
    assert read_series(tmp_path, TWO_D) == SliceProfile((None, None, AxisProfile("gaussian", 0.75, "DICOM")))


def test_the_slice_axis_of_a_3d_series_is_phase_encoded(tmp_path):
    attributes = {"SliceThickness": "8", "MRAcquisitionType": "3D"}

    assert read_series(tmp_path, attributes).axes[2] == kspace(2.0, "DICOM")


@pytest.mark.parametrize(
    ("matrix", "direction"), [([10, 0, 0, 16], "COL"), ([0, 16, 10, 0], "ROW"), ([10, 0, 0, 16], "")]
)
def test_the_in_plane_profile_is_derived_from_the_acquisition_matrix(tmp_path, matrix, direction):
    named = {"InPlanePhaseEncodingDirection": direction} if direction else {}
    profile = read_series(tmp_path, {**TWO_D, "AcquisitionMatrix": matrix, **named})

    assert profile.axes[:2] == (kspace(2.0, "DICOM"), kspace(1.0, "DICOM"))


@pytest.mark.filterwarnings("ignore:Invalid value for VR DS:UserWarning")
@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({**TWO_D, "SliceThickness": "0"}, "0 mm at a slice spacing of 4 mm, which is impossible"),
        ({**TWO_D, "SliceThickness": "-3"}, "impossible"),
        ({**TWO_D, "SliceThickness": "65"}, "impossible"),
        ({**TWO_D, "SliceThickness": "nan"}, "nan mm at a slice spacing of 4 mm, which is impossible"),
        ({"SliceThickness": "2", "MRAcquisitionType": "3D"}, "contradict each other; the positions are used"),
        ({**TWO_D, "SliceThickness": ("3", "3", "3", "4", "3", "3")}, "different slice thicknesses"),
        ({"SliceThickness": "3"}, "or whether the acquisition is 2D or 3D"),
        ({**TWO_D, "ImageType": ["DERIVED", "SECONDARY"]}, "derived from other images"),
    ],
)
def test_impossible_contradictory_or_missing_values_leave_the_slice_axis_unknown(tmp_path, caplog, attributes, words):
    with caplog.at_level(logging.INFO):
        assert read_series(tmp_path, attributes).axes[2] is None

    assert words in caplog.text


def test_the_acquisition_matrix_counts_without_a_slice_thickness(tmp_path):
    attributes = {"MRAcquisitionType": "2D", "AcquisitionMatrix": [10, 0, 0, 16], "SliceThickness": None}

    assert read_series(tmp_path, attributes) == SliceProfile((kspace(2.0, "DICOM"), kspace(1.0, "DICOM"), None))


def test_contradictory_matrices_leave_the_plane_unknown(tmp_path, caplog):
    attributes = {**TWO_D, "AcquisitionMatrix": [10, 0, 0, 16], "InPlanePhaseEncodingDirection": "ROW"}

    assert read_series(tmp_path, attributes).axes[:2] == (None, None)
    assert "contradict each other" in caplog.text


def test_a_sidecar_states_slices_and_plane(tmp_path):
    sidecar = {"SliceThickness": 3, "SpacingBetweenSlices": 4, "MRAcquisitionType": "2D"}
    plane = {"AcquisitionMatrixPE": 8, "BaseResolution": 20, "PhaseEncodingDirection": "j-", "ReconMatrixPE": 16}

    profile = read_beside(tmp_path, sidecar | plane)

    assert profile.axes == (kspace(1.0, "sidecar"), kspace(2.0, "sidecar"), AxisProfile("gaussian", 0.75, "sidecar"))


def test_the_slice_axis_is_that_of_the_sidecar_or_the_thickest(tmp_path):
    sidecar = {"SliceThickness": 3, "MRAcquisitionType": "2D"}

    assert read_beside(tmp_path, sidecar, spacing=(4.0, 1, 1)).axes[0] == AxisProfile("gaussian", 0.75, "sidecar")
    named = sidecar | {"SliceEncodingDirection": "j", "SpacingBetweenSlices": 3}
    assert read_beside(tmp_path, named, spacing=(3.0, 3, 3)).axes == (None, AxisProfile("gaussian", 1, "sidecar"), None)


@pytest.mark.parametrize(
    ("sidecar", "words"),
    [
        ({"SliceThickness": 3, "SpacingBetweenSlices": 5, "MRAcquisitionType": "2D"}, "the volume is used"),
        ({"SliceThickness": 6, "MRAcquisitionType": "2D"}, "slices of 6 mm, but the volume beside it has voxels of 4"),
        ({"SliceThickness": 0, "SpacingBetweenSlices": 4, "MRAcquisitionType": "2D"}, "impossible"),
        (b'{"SliceThickness": NaN, "SpacingBetweenSlices": 4, "MRAcquisitionType": "2D"}', "impossible"),
        ({"SliceThickness": [3], "MRAcquisitionType": "2D"}, "does not state the slice thickness"),
        ({"SliceThickness": [3], "MRAcquisitionType": "2D"}, "states SliceThickness as [3], but a number is expected"),
        ({"SliceThickness": "3 mm", "MRAcquisitionType": "2D"}, 'states SliceThickness as "3 mm", but a number'),
        ({"SliceThickness": True, "MRAcquisitionType": "2D"}, "states SliceThickness as true, but a number"),
        ({"SliceThickness": 10**400, "MRAcquisitionType": "2D"}, "slices of inf mm"),
        (b'{"SpacingBetweenSlices": 1' + b"0" * 400 + b"}", "does not state the slice thickness"),
        (b" " * 2**24 + b"{}", "exceeds 16 MB"),
        ({"SliceThickness": 3}, "or whether the acquisition is 2D or 3D"),
        (b"{", "cannot be read as a sidecar"),
        (b"[" * 100_000, "cannot be read as a sidecar"),
        (b"[]", "is not a JSON object"),
    ],
)
def test_a_contradictory_or_unusable_sidecar_leaves_the_profile_unknown(tmp_path, caplog, sidecar, words):
    with caplog.at_level(logging.INFO):
        assert read_beside(tmp_path, sidecar) == UNKNOWN

    assert words in caplog.text


def test_numbers_written_as_text_count(tmp_path):
    stated = {"SliceThickness": "3.0", "SpacingBetweenSlices": " 4", "MRAcquisitionType": "2D"}

    assert read_beside(tmp_path, stated).axes[2] == AxisProfile("gaussian", 0.75, "sidecar")
    assert read_beside(tmp_path, stated | {"SpacingBetweenSlices": "7"}) == UNKNOWN


@pytest.mark.parametrize("missing", [None, "", "n/a"])
def test_a_number_that_is_not_available_causes_no_warning(tmp_path, caplog, missing):
    assert read_beside(tmp_path, {"SliceThickness": missing, "MRAcquisitionType": "2D"}) == UNKNOWN
    assert caplog.text == ""


def test_a_large_sidecar_counts(tmp_path):
    stated = {"SliceThickness": 3, "MRAcquisitionType": "2D", "global": "x" * 2**21}

    assert read_beside(tmp_path, stated).axes[2] == AxisProfile("gaussian", 0.75, "sidecar")


def test_a_volume_without_a_sidecar_states_nothing(tmp_path):
    nib.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.eye(4)).to_filename(tmp_path / "scan.nii")

    assert read_volume(tmp_path / "scan.nii").header.profile == UNKNOWN
