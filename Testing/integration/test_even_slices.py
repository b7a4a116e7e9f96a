"""Slices with different brightness: the result, its record and the messages."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from worker_events import Told, upsample_job

from ArSSRLib import read_volume, write_volume
from ArSSRLib.acquisition.profile import AxisProfile, SliceProfile
from ArSSRLib.commands.info import describe_volume
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.record import read_record, record_as_json, record_of, sidecar_of
from ArSSRLib.upsampling import carry_out, plan_upsampling, upsample
from ArSSRLib.upsampling.lens import Lens
from ArSSRLib.upsampling.plane import Plane
from ArSSRLib.volume import FileHeader, Volume
from ArSSRLib.worker import run

CPU = UpsamplingOptions(device="cpu", precision="fp32")
OFF = replace(CPU, even_slices="off")
SCALE = (1, 1, 2)
SHAPE = (24, 40, 36)
GAINS = (1 + 0.04 * (-1.0) ** np.arange(SHAPE[0]))[:, None, None]
KNOWN = SliceProfile((None, None, AxisProfile("gaussian", 1.0, "DICOM")))


def head() -> np.ndarray:
    """Return noisy tissue in noisy air, up to about 1000; air of exactly 0 would be padding."""
    rng = np.random.default_rng(4)
    k, j, i = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    folds = ndimage.gaussian_filter(rng.normal(size=SHAPE), (1.0, 4.0, 4.0))
    tissue = np.where(k**2 + j**2 + i**2 < 0.9, np.where(folds > 0, 800.0, 600.0), 0.0)
    return np.abs(tissue + 10 * rng.normal(size=SHAPE))


def scan(array: np.ndarray, *, spacing: float = 3.0, **header) -> Volume:
    return Volume(array, VolumeGeometry(SHAPE[::-1], (1.0, 1.0, spacing)), FileHeader(**header))


def error(volume: Volume, model, options: UpsamplingOptions = CPU) -> float:
    """Return the difference between a result and the result of the slices before applying the gains."""
    expected = upsample(scan(head(), profile=volume.header.profile), model, SCALE, OFF).array
    return float(np.abs(upsample(volume, model, SCALE, options).array - expected).mean())


@pytest.mark.parametrize("profile", [SliceProfile(), KNOWN])
def test_the_result_is_that_of_even_slices(tiny_model, profile):
    volume = scan(head() * GAINS, profile=profile)

    assert error(volume, tiny_model) < 0.25 * error(volume, tiny_model, OFF)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_nothing_changes_without_gains(tiny_model, dtype):
    volume = scan(head().astype(dtype))

    auto, off = (upsample(volume, tiny_model, SCALE, options).array for options in (CPU, OFF))

    np.testing.assert_array_equal(auto, off)


@pytest.mark.parametrize("header", [{"component": "real"}, {}])
def test_nothing_changes_in_other_acquisitions(tiny_model, header):
    volume = scan(head() * GAINS, spacing=3.0 if header else 1.0, **header)

    auto, off = (upsample(volume, tiny_model, SCALE, options).array for options in (CPU, OFF))

    np.testing.assert_array_equal(auto, off)


def test_type_and_padding_are_those_of_the_input(tiny_model):
    array = np.rint(head() * GAINS).astype(np.int16)
    array[:, :6] = -20000  # padding

    result = upsample(scan(array), tiny_model, SCALE, CPU).array

    assert result.dtype == np.int16
    assert (result[:, :5] == -20000).all()
    assert (result[:, 8:] > -1000).all()


@pytest.mark.parametrize(("gain", "offset"), [(0.01, 0.0), (250.0, -3e4), (1.0, 1e6)])
def test_gain_and_offset_of_the_volume_drop_out(tiny_model, gain, offset):
    array = head() * GAINS

    moved = upsample(scan(gain * array + offset), tiny_model, SCALE, CPU).array.astype(np.float64)

    expected = upsample(scan(array), tiny_model, SCALE, CPU).array
    np.testing.assert_allclose((moved - offset) / gain, expected, rtol=0, atol=1e-3 * np.ptp(array))


def test_the_record_contains_the_size_of_the_correction(tiny_model, tmp_path):
    tiny_model.name, tiny_model.sha256 = "tiny", "0" * 64
    volume = scan(head() * GAINS)
    plan = plan_upsampling(volume, tiny_model, SCALE, CPU)
    record = record_of(volume, carry_out(plan, volume, tiny_model), tiny_model, plan)
    (tmp_path / "r.json").write_bytes(record_as_json(record))

    assert read_record(tmp_path / "r.json")["slice_gains"] == {
        "axis": "k",
        "rms": pytest.approx(4, abs=1),
        "largest": pytest.approx(4, abs=2),
    }


def test_info_says_how_uneven_slices_are():
    said = [dict(describe_volume(v)).get("slice brightness") for v in (scan(head() * GAINS), scan(head()))]

    assert said[0].startswith("differs between 24 slices along k: ")
    assert said[1] == "even, as far as can be measured"
    assert "slice brightness" not in dict(describe_volume(scan(head(), spacing=1.0)))


@pytest.fixture
def uneven(tmp_path):
    """Return a file with uneven slices."""
    return write_volume(scan((head() * GAINS).astype(np.float32)), tmp_path / "uneven.nii.gz")


@pytest.fixture
def expected(uneven, tiny_model):
    """Return the voxels of its result with and without even slices."""
    volume = read_volume(uneven)
    return [upsample(volume, tiny_model, SCALE, options).array for options in (CPU, OFF)]


@pytest.mark.parametrize(("choice", "number"), [("auto", 0), ("off", 1)])
def test_the_command_evens_out_slices_by_default(choice, number, uneven, expected, arssr, tmp_path, capsys):
    target = tmp_path / "out.nii.gz"
    said = "uneven brightness was removed from 24 slices along k: "

    assert arssr(uneven, target, "--scale", "1", "1", "2", "--even-slices", choice, "--provenance") == 0

    np.testing.assert_allclose(read_volume(target).array, expected[number], rtol=0, atol=0.01)
    record = read_record(sidecar_of(target))
    assert (record["slice_gains"] is not None, said in capsys.readouterr().out) == (choice == "auto",) * 2
    assert record["even_slices"] == choice


@pytest.mark.parametrize(("choice", "number"), [("auto", 0), ("off", 1)])
def test_a_job_of_the_worker_evens_out_slices(choice, number, uneven, expected, tiny_weights, tmp_path):
    told, target = Told(tmp_path / "events"), tmp_path / "out.nrrd"
    job = upsample_job(tiny_weights, (uneven, target), scale=list(SCALE), even_slices=choice)
    (tmp_path / "job.json").write_text(json.dumps(job))

    assert run([str(tmp_path / "job.json")], told.events, told.cancellation) == 0

    np.testing.assert_allclose(read_volume(target).array, expected[number], rtol=0, atol=0.01)
    assert (told.lines()[-1]["results"][0]["record"]["slice_gains"] is not None) == (choice == "auto")


@pytest.mark.parametrize(("choice", "number"), [("auto", 0), ("off", 1)])
def test_a_scan_of_a_cohort_has_even_slices(choice, number, uneven, expected, tiny_weights, tmp_path):
    pytest.importorskip("bids2table", reason="bids2table is not installed (pip install bids2table)")
    from ArSSRLib.cohort.dataset import Scan  # noqa: PLC0415
    from ArSSRLib.cohort.processing import DONE, Task, process  # noqa: PLC0415

    name = "sub-01/anat/sub-01_T2w.nii.gz"
    (tmp_path / name).parent.mkdir(parents=True)
    uneven.rename(tmp_path / name)
    how = {"scale": list(SCALE), "isotropic": False, "spacing": None, "size": None, "force": False, "overwrite": False}
    options = replace(CPU, even_slices=choice)
    task = Task(str(tmp_path), str(tmp_path / "out"), Scan(name, "01", "", "T2w"), how, str(tiny_weights), options)

    outcome = process(task)

    assert (outcome.state, outcome.path) == (DONE, name)
    np.testing.assert_allclose(read_volume(outcome.message).array, expected[number], rtol=0, atol=0.01)
    assert (read_record(sidecar_of(Path(outcome.message)))["slice_gains"] is not None) == (choice == "auto")


@pytest.mark.parametrize(("options", "number"), [(CPU, 0), (OFF, 1)])
def test_a_lens_shows_even_slices(options, number, uneven, expected, tiny_model):
    volume = read_volume(uneven)
    fine = volume.geometry.upsampled(SCALE)
    plane = Plane(tuple(fine.affine[:3] @ [0, 20, 0, 1]), (1.0, 0.0, 0.0), tuple(fine.affine[:3, 2]), fine.size[::2])

    answer = Lens(volume, tiny_model, options).answer(plane, SCALE, exact=True).plane

    np.testing.assert_allclose(answer, expected[number][:, 20], rtol=0, atol=1e-5 * np.ptp(expected[number]))
