"""`arssr info` describes files."""

from __future__ import annotations

import re

import nibabel as nib
import numpy as np
import phantoms
import pytest

from ArSSRLib.cli import main
from ArSSRLib.commands.info import describe_volume, orientation, value_range
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.io import write_volume
from ArSSRLib.volume import Volume


@pytest.mark.parametrize("code", ["RAS", "LPS", "LAS", "PIR", "SLA"])
def test_the_orientation_code_agrees_with_nibabel(code):
    affine = np.eye(4)
    affine[:3, :3] = nib.orientations.inv_ornt_aff(nib.orientations.axcodes2ornt(tuple(code)), (4, 5, 6))[:3, :3]
    geometry = VolumeGeometry.from_ras_affine((4, 5, 6), affine)

    assert orientation(geometry).split(",")[0] == "".join(nib.aff2axcodes(affine))


def test_obliqueness_is_shown_in_degrees():
    geometry = VolumeGeometry((4, 4, 4), (1, 1, 1), direction=phantoms.rotation(0, 0, 15))

    assert "oblique by up to 15.0 degrees, right-handed" in orientation(geometry)


def test_a_left_handed_grid_is_reported(left_handed_geometry):
    assert orientation(left_handed_geometry).endswith("along the axes, left-handed")


def test_nonfinite_voxels_are_counted(phantom):
    array = phantom.array.copy()
    array[0, 0, :3] = (np.nan, np.inf, -np.inf)

    text = value_range(phantom.with_array(array))

    assert text.endswith(f"; 3 of {array.size} voxels are NaN or infinite")
    assert text.startswith(f"{array[np.isfinite(array)].min():.6g} to {array[np.isfinite(array)].max():.6g}")


def test_a_volume_without_finite_voxels_is_described():
    geometry = VolumeGeometry((2, 2, 2), (1, 1, 1))

    assert value_range(Volume(np.full((2, 2, 2), np.nan), geometry)) == "no voxel is a finite number"


def test_the_field_of_view_is_in_mm(phantom):
    rows = dict(describe_volume(phantom))

    assert rows["size"] == "20 x 18 x 9 voxels (i, j, k)"
    assert rows["field of view"] == "18 x 19.8 x 22.5 mm"


def test_a_file_is_described_on_stdout(phantom, tmp_path, capsys):
    path = write_volume(phantom, tmp_path / "brain.nii.gz")

    assert main(["info", str(path)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"{path}\n")
    assert "20 x 18 x 9" in printed


def test_weights_are_described_with_their_configuration_and_metadata(tiny_weights, tiny_model, capsys):
    assert main(["info", str(tiny_weights)]) == 0
    printed = capsys.readouterr().out
    count = sum(parameter.numel() for parameter in tiny_model.parameters())
    assert f"{count:,}" in printed
    assert "arssr2" in printed
    assert "Tiny" in printed


def test_a_file_that_is_neither_a_volume_nor_weights_is_refused(tmp_path, capsys):
    (tmp_path / "notes.safetensors").write_text("hello, this is not a checkpoint")

    assert main(["info", str(tmp_path / "notes.safetensors")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_volume_that_cannot_be_read_does_not_hide_the_others(phantom, tmp_path, capsys):
    for name in ("a.nii", "c.nii"):
        write_volume(phantom, tmp_path / name)
    (tmp_path / "b.nii").write_bytes(b"no volume" * 100)

    assert main(["info", str(tmp_path)]) == 1

    printed = capsys.readouterr()
    assert [line for line in printed.out.splitlines() if not line.startswith(" ")] == [
        str(tmp_path / "a.nii"),
        str(tmp_path / "c.nii"),
    ]
    assert printed.err.startswith(f"arssr: error: {tmp_path / 'b.nii'}: ")
    assert printed.err.count("\n") == 1


@pytest.fixture
def recorded(tmp_path, tiny_weights, monkeypatch):
    """A result of 3 mm slices with its record, and the options of its run."""

    def make(*options):
        geometry = VolumeGeometry((20, 18, 9), (0.7, 0.7, 3.0))
        array = np.random.default_rng(1).normal(100, 30, geometry.shape).astype(np.float32)
        write_volume(Volume(array, geometry), tmp_path / "thick.nii", overwrite=True)
        command = ["upsample", tmp_path / "thick.nii", tmp_path / "fine.nii", "--scale", "1", "1", "2.3"]
        options = ["--model", tiny_weights, "--provenance", "--overwrite", "--progress", "none", *options]
        assert main([str(word) for word in (*command, *options)]) == 0
        return tmp_path / "fine.nii"

    return make


def described(path, capsys):
    capsys.readouterr()
    assert main(["info", str(path)]) == 0
    return {line[2:19].strip(): line[19:].strip() for line in capsys.readouterr().out.splitlines()[1:]}


def test_a_result_is_described_as_its_record_says(recorded, capsys):
    rows = described(recorded("--slice-thickness", "2.4", "--even-slices", "off"), capsys)

    assert rows["made with"] == "tiny, scale 1 x 1 x 2.33333, quality standard"
    assert rows["profile of scan"] == "i: unknown; j: unknown; k: Gaussian of 2.4 mm (stated)"
    assert re.fullmatch(
        r"a simulated acquisition of it differs from the scan by [\d.e+-]+ % of the range", rows["agreement"]
    )
    assert rows["evened slices"] == "off"


def test_a_result_that_was_not_made_to_agree_says_so(recorded, capsys):
    rows = described(recorded("--slice-thickness", "unknown"), capsys)

    assert rows["profile of scan"] == "i: unknown; j: unknown; k: unknown"
    assert rows["agreement"] == "not corrected to agree with the scan"
    assert rows["evened slices"] == "none"


def test_a_record_of_another_volume_or_a_damaged_one_is_ignored_with_a_warning(recorded, capsys):
    result = recorded()
    record = result.with_name("fine.nii.arssr.json")
    record.rename(result.with_name("thick.nii.arssr.json"))

    assert "made with" not in described(result, capsys)
    assert main(["info", str(result.with_name("thick.nii"))]) == 0
    assert "describes a volume of 20 x 18 x 21 voxels, so it is ignored" in capsys.readouterr().err
    record.write_text("{}", encoding="utf-8")
    assert main(["info", str(result)]) == 0
    assert "cannot be read as a record" in capsys.readouterr().err


def test_the_brightness_of_few_slices_is_not_called_even():
    geometry = VolumeGeometry((9, 8, 7), (1, 1, 3))
    array = np.random.default_rng(0).random(geometry.shape)

    assert "at least 8 slices" in dict(describe_volume(Volume(array, geometry)))["slice brightness"]
