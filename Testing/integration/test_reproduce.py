"""``arssr reproduce``, and its precondition that the same request gives the same result."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from ArSSRLib import Volume, read_volume, upsample, write_volume
from ArSSRLib.cli import main
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.tiling import plan_tiles
from ArSSRLib.upsampling import carry_out, plan_upsampling


@pytest.fixture
def reproduce(capsys):
    """Return a function that reproduces a result, and returns the exit code and the output."""

    def run(*arguments):
        code = main(["reproduce", *map(str, arguments)])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return run


@pytest.fixture
def made(brain, tmp_path, arssr, tiny_weights):
    """Return a function that computes a result with its record."""

    def make(name="out.nii.gz", source=brain):
        assert arssr(source, tmp_path / name, "--scale", "1.7", "--provenance", "--precision", "fp32") == 0
        return tmp_path / name

    return make


@pytest.mark.parametrize("name", ["out.nii.gz", "out.nrrd", "out.mgz"])
def test_a_result_is_reproduced_bit_by_bit(name, made, reproduce, tiny_weights):
    code, said = reproduce(made(name), "--model", tiny_weights)

    assert (code, "bit by bit" in said) == (0, True), said


def test_integers_with_a_slope_are_reproduced(phantom, tmp_path, made, reproduce, tiny_weights, capsys):
    import nibabel as nib  # noqa: PLC0415

    image = nib.Nifti1Image(phantom.array.T, phantom.geometry.ras_affine)
    image.set_data_dtype(np.int16)
    nib.save(image, tmp_path / "scaled.nii")

    code, said = reproduce(made("out.nii", source=tmp_path / "scaled.nii"), "--model", tiny_weights)

    assert code == 0, said


def test_a_changed_result_is_reported_with_the_largest_difference(made, reproduce, tiny_weights):
    path = made("out.nrrd")
    volume = read_volume(path)
    volume.array[3, 4, 5] += 25
    write_volume(volume, path, overwrite=True)

    code, said = reproduce(path, "--model", tiny_weights)

    assert (code, "largest difference 25" in said) == (1, True), said


def test_a_difference_within_the_tolerance_is_equal(made, reproduce, tiny_weights):
    path = made("out.nrrd")
    volume = read_volume(path)
    volume.array[3, 4, 5] += 0.5e-5 * np.ptp(volume.array)
    write_volume(volume, path, overwrite=True)

    code, said = reproduce(path, "--model", tiny_weights)

    assert (code, "within the tolerance" in said) == (0, True), said


def test_results_that_cannot_be_reproduced_are_refused(
    made, reproduce, brain, tmp_path, tiny_weights, plain_weights, capsys
):
    path = made()
    capsys.readouterr()
    refusals = [
        reproduce(path),
        reproduce(path, "--model", plain_weights),
        reproduce(brain),
        reproduce(path, "--model", tiny_weights, "--input", path),
        reproduce(tmp_path, "--model", tiny_weights),
    ]
    brain.rename(tmp_path.parent / "away.nii.gz")
    refusals.append(reproduce(path, "--model", tiny_weights))

    assert [code for code, _ in refusals] == [2] * 6
    words = ["--model", "not the model", "--prov", "not the input", "DICOM", "--input"]
    for (_, said), word in zip(refusals, words, strict=True):
        assert word in said
        assert len(said.strip().splitlines()) == 1


def test_the_input_is_found_wherever_it_is_named(made, reproduce, brain, tmp_path, tiny_weights):
    path = made()
    (tmp_path / "archive").mkdir()
    moved = brain.rename(tmp_path / "archive" / "other name.nii.gz")

    assert reproduce(path, "--model", tiny_weights, "--input", moved)[0] == 0


def test_another_version_is_reported_and_accepted(made, reproduce, tmp_path, tiny_weights):
    path = made()
    sidecar = tmp_path / "out.nii.gz.arssr.json"
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), "torch": "1.0"}))

    code, said = reproduce(path, "--model", tiny_weights)

    assert (code, "torch 1.0" in said) == (0, True)


def test_a_record_is_written_only_on_request_and_removed_when_its_result_is_replaced(made, brain, tmp_path, arssr):
    path = made()
    sidecar = tmp_path / "out.nii.gz.arssr.json"
    assert sidecar.is_file()

    assert arssr(brain, path, "--scale", "2", "--overwrite") == 0
    assert not sidecar.exists()


def test_an_existing_record_is_not_replaced_without_a_request(brain, tmp_path, arssr, assert_refused):
    (tmp_path / "out.nii.gz.arssr.json").write_bytes(b"mine")
    code = arssr(brain, tmp_path / "out.nii.gz", "--scale", "2", "--provenance")

    assert_refused(code, tmp_path / "out.nii.gz", "arssr.json")
    assert (tmp_path / "out.nii.gz.arssr.json").read_bytes() == b"mine"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_tiles_change_the_result_by_less_than_is_stated(precision, oblique_geometry, tiny_model):
    geometry = oblique_geometry.resized((48, 10, 12))
    noise = np.random.default_rng(5).normal(500, 100, geometry.shape).astype(np.float32)
    volume, model = Volume(noise, geometry), tiny_model
    whole = plan_upsampling(volume, model, 1.5, UpsamplingOptions(device="cpu", precision=precision))
    fine = whole.geometry.shape
    divided = plan_tiles(geometry.shape, fine, halo=model.halo, maximum_crop=int(0.8 * noise.size))
    assert (len(whole.tiles), len(divided) > 1) == (1, True)
    results = []
    for tiles in (whole.tiles, whole.tiles, divided):
        results.append(carry_out(replace(whole, tiles=tiles), volume, model).volume.array)

    stated = {"fp32": 1e-5, "bf16": 2e-2}[precision] * np.ptp(results[0])
    np.testing.assert_array_equal(results[0], results[1])
    assert np.abs(results[2] - results[0]).max() <= stated


def test_threads_change_the_result_by_less_than_is_stated(phantom, tiny_model):
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(upsample(phantom, tiny_model, 1.5, UpsamplingOptions(device="cpu", precision="fp32")).array)
    finally:
        torch.set_num_threads(before)

    assert np.abs(results[1] - results[0]).max() <= 1e-5 * np.ptp(results[0])
