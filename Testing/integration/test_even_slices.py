"""Slices that differ in brightness, from the volume to the result, its record and what is said about it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from ArSSRLib.acquisition.profile import AxisProfile, SliceProfile
from ArSSRLib.commands.info import describe_volume
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.record import read_record, record_as_json, record_of
from ArSSRLib.upsampling import carry_out, plan_upsampling, upsample
from ArSSRLib.volume import FileHeader, Volume

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
    """Return how far a result is from that of the slices as they were before the gains."""
    expected = upsample(scan(head(), profile=volume.header.profile), model, SCALE, OFF).array
    return float(np.abs(upsample(volume, model, SCALE, options).array - expected).mean())


@pytest.mark.parametrize("profile", [SliceProfile(), KNOWN])
def test_the_result_is_that_of_even_slices(tiny_model, profile):
    volume = scan(head() * GAINS, profile=profile)

    assert error(volume, tiny_model) < 0.25 * error(volume, tiny_model, OFF)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_nothing_changes_where_there_are_no_gains(tiny_model, dtype):
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


def test_the_record_says_what_was_evened(tiny_model, tmp_path):
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
