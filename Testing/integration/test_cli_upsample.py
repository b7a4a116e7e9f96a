"""``arssr upsample`` from file to file: all options for the resolution, all formats, and unusual but valid volumes."""

from __future__ import annotations

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import phantoms
import pytest
from odd_files import nifti, noise

from ArSSRLib import read_volume, write_volume


@pytest.mark.parametrize(
    ("options", "size"),
    [
        (["--scale", "2"], (40, 36, 18)),
        (["--scale", "1", "1", "2.5"], (20, 18, 23)),
        (["--spacing", "0.5"], (36, 40, 45)),
        (["--spacing", "0.9", "1.1", "1.2"], (20, 18, 19)),
        (["--size", "30", "36", "18"], (30, 36, 18)),
        (["--isotropic"], (20, 22, 25)),
    ],
)
def test_every_option_for_the_resolution_gives_the_requested_size(options, size, brain, tmp_path, arssr, capsys):
    code = arssr(brain, tmp_path / "out.nii.gz", *options)

    assert code == 0
    assert read_volume(tmp_path / "out.nii.gz").geometry.size == size
    assert " x ".join(map(str, size)) in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha", ".mgz"])
def test_the_field_of_view_is_kept_in_every_format(suffix, phantom, tmp_path, arssr):
    source = write_volume(phantom, tmp_path / f"brain{suffix}")

    assert arssr(source, tmp_path / f"out{suffix}", "--scale", "1.7", "2", "3") == 0

    before, after = read_volume(source).geometry, read_volume(tmp_path / f"out{suffix}").geometry
    # NIfTI and MGH keep the affine in single precision.
    np.testing.assert_allclose(after.corners(), before.corners(), atol=1e-6 if suffix in (".nrrd", ".mha") else 1e-4)


@pytest.mark.parametrize("model", ["plain cubic", "arssr2"])
def test_anatomy_stays_where_it_was(model, oblique_geometry, plain_weights, tmp_path, arssr):
    geometry = replace(oblique_geometry, size=(52, 44, 22))
    before = phantoms.sample(phantoms.blobs_in(geometry), geometry)
    source = write_volume(before, tmp_path / "blobs.nii.gz")
    weights = plain_weights if model == "plain cubic" else model

    assert arssr(source, tmp_path / "out.nii.gz", "--scale", "2", "2.5", "3", "--model", str(weights)) == 0

    moved = phantoms.centroid(read_volume(tmp_path / "out.nii.gz")) - phantoms.centroid(before)
    # If the origin were kept, the shift would be at least a quarter of a voxel; a network may shift it slightly.
    assert np.abs(moved).max() < 0.02 * max(geometry.spacing)


def test_the_result_names_its_model(brain, tiny_model, tmp_path, arssr):
    arssr(brain, tmp_path / "out.nii.gz", "--scale", "1", "1", "2")

    description = bytes(nib.load(tmp_path / "out.nii.gz").header["descrip"].item()).decode()
    assert description.startswith("ArSSR ")
    assert "tiny x1x1x2 sha " in description
    assert len(description) <= 79


def test_progress_as_json_ends_with_what_was_written(brain, tmp_path, arssr, capsys):
    arssr(brain, tmp_path / "out.nii.gz", "--scale", "2", "--progress", "json")

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    fractions = [line["fraction"] for line in lines if "fraction" in line]
    assert fractions[0] == 0
    assert fractions[-1] == 1
    assert fractions == sorted(fractions)
    assert lines[-1]["stage"] == "done"
    assert lines[-1]["output"] == str(tmp_path / "out.nii.gz")
    assert lines[-1]["size"] == [40, 36, 18]


def test_a_figure_is_drawn_on_request(brain, tmp_path, arssr):
    assert arssr(brain, tmp_path / "out.nii.gz", "--scale", "2", "--figure", str(tmp_path / "out.png")) == 0
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


def test_an_existing_output_is_replaced_on_request(brain, tmp_path, arssr):
    target = tmp_path / "out.nii.gz"
    target.write_bytes(b"old")

    assert arssr(brain, target, "--scale", "2", "--overwrite") == 0
    assert read_volume(target).geometry.size == (40, 36, 18)


def test_integers_stay_integers(tmp_path, arssr, phantom):
    source = write_volume(phantom.with_array(phantom.array.astype(np.int16)), tmp_path / "brain.nii")
    arssr(source, tmp_path / "out.nii", "--scale", "2")

    assert nib.load(tmp_path / "out.nii").get_data_dtype() == np.int16


# --- unusual but valid input


@pytest.mark.parametrize(
    ("array", "scale"),
    [
        (np.full((6, 7, 8), 40.0, np.float32), "2"),
        (np.zeros((6, 7, 8), np.int16), "2"),
        (np.full((1, 1, 1), 5.0, np.float32), "3"),
        (np.zeros((1, 1, 1), np.uint8), "2"),
    ],
    ids=["constant", "all zero", "one voxel", "one zero voxel"],
)
def test_a_volume_without_contrast_stays_constant(array, scale, tmp_path, arssr):
    assert arssr(nifti(tmp_path / "flat.nii", array), tmp_path / "out.nii", "--scale", scale) == 0

    result = read_volume(tmp_path / "out.nii").array
    np.testing.assert_array_equal(result, array.flat[0])
    assert result.size == array.size * int(scale) ** 3


@pytest.mark.parametrize(
    "array",
    [
        noise((8, 9, 10), -900, -100),
        noise((8, 9, 10), 0.1e30, 1e30),
        noise((8, 9, 10), 0, 1e-30),
        noise((8, 9, 1), 0, 1000),
        noise((1, 9, 8), 0, 1000),
    ],
    ids=["negative only", "1e30", "1e-30", "one slice", "one sagittal slice"],
)
def test_an_odd_volume_keeps_its_range(array, tmp_path, arssr):
    assert arssr(nifti(tmp_path / "odd.nii", array), tmp_path / "out.nii", "--scale", "2") == 0

    result = read_volume(tmp_path / "out.nii").array.astype(np.float64)
    span = float(array.max()) - float(array.min())
    assert np.isfinite(result).all()
    assert result.min() >= float(array.min()) - span
    assert result.max() <= float(array.max()) + span
    assert abs(result.mean() - array.mean(dtype=np.float64)) < 0.2 * span


def test_nonfinite_voxels_are_reported_and_never_spread(phantom, tmp_path, arssr, capsys):
    array = phantom.array.T.copy()
    array[4:6, 5, 4] = np.nan
    array[15, 12, 2] = np.inf
    source = nifti(tmp_path / "holes.nii", array, phantom.geometry.ras_affine)

    assert arssr(source, tmp_path / "out.nii", "--scale", "2") == 0
    assert np.isfinite(read_volume(tmp_path / "out.nii").array).all()
    assert "voxels are not finite" in capsys.readouterr().err


def test_a_scale_beyond_the_training_causes_a_warning(brain, tmp_path, arssr, capsys):
    assert arssr(brain, tmp_path / "out.nii", "--scale", "1", "1", "9") == 0
    assert "outside the range for which model tiny was trained" in capsys.readouterr().err
