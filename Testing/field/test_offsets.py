"""Every code path satisfies f(a v + b) = a f(v) + b within 1e-3 of the range."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from ArSSRLib import upsampling
from ArSSRLib.acquisition.profile import AxisProfile, SliceProfile
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.upsampling import carry_out, plan_upsampling, upsample
from ArSSRLib.upsampling.lens import Lens
from ArSSRLib.upsampling.plane import Plane
from ArSSRLib.volume import FileHeader, Volume

PLAIN = UpsamplingOptions(device="cpu", precision="fp32")
SCALE, SHAPE = (1, 1, 2), (12, 24, 20)
TOLERANCE = 1e-3
TOLD = SliceProfile((None, None, AxisProfile("gaussian", 2.4, "DICOM")))


def scan(*, uneven: bool = False) -> np.ndarray:
    """Return noisy tissue in noisy air, up to about 1000, optionally with every second slice 8 % brighter."""
    rng = np.random.default_rng(4)
    grid = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    folds = ndimage.gaussian_filter(rng.normal(size=SHAPE), (1, 3, 3))
    tissue = np.where(sum(x**2 for x in grid) < 0.9, np.where(folds > 0, 800.0, 600.0), 0.0)
    gains = 1 + 0.04 * (-1.0) ** np.arange(SHAPE[0])[:, None, None]
    return np.abs(tissue + 10 * rng.normal(size=SHAPE)) * (gains if uneven else 1)


def volume_of(array: np.ndarray, profile: SliceProfile = TOLD) -> Volume:
    return Volume(array, VolumeGeometry(array.shape[::-1], (1.0, 1.0, 3.0)), FileHeader(profile=profile))


# The range is about 1000, so offsets reach 1e6 times the range, which still fits in double precision.
MOVED = [(1.0, 1e9), (2500.0, -1e12), (1e-4, 3.0)]


def difference(result, array: np.ndarray, gain: float, offset: float) -> float:
    """Return the difference between the result of the rescaled volume and the rescaled result, relative to the range.

    Args:
        result: Function that returns the intensities of the result.
        array: Intensities, float64.
        gain: Factor.
        offset: Added after the factor.
    """
    moved = (result(gain * array + offset).astype(np.float64) - offset) / gain
    expected = result(array).astype(np.float64)

    assert np.ptp(expected) > 0.5 * np.ptp(array)
    return float(np.abs(moved - expected).max() / np.ptp(array))


PATHS = {
    "mirror images": replace(PLAIN, quality="best"),
    "no agreement": replace(PLAIN, consistency="off"),
    "a told thickness": replace(PLAIN, slice_thickness="3"),
    "an estimated thickness": replace(PLAIN, slice_thickness=None),
    "OpenVINO": replace(PLAIN, backend="openvino"),
}


@pytest.mark.parametrize(("gain", "offset"), MOVED)
@pytest.mark.parametrize(
    ("path", "uneven"), [*((path, False) for path in PATHS), ("mirror images", True), ("OpenVINO", True)]
)
def test_a_result_has_the_gain_and_the_offset_of_its_source_on_every_path(tiny_model, path, uneven, gain, offset):
    if path == "OpenVINO":
        pytest.importorskip("openvino", reason="the optional package openvino is not installed")
    profile = SliceProfile() if path == "an estimated thickness" else TOLD

    def result(array: np.ndarray) -> np.ndarray:
        return upsample(volume_of(array, profile), tiny_model, SCALE, PATHS[path]).array

    assert difference(result, scan(uneven=uneven), gain, offset) < TOLERANCE


@pytest.mark.parametrize(("gain", "offset"), MOVED)
@pytest.mark.parametrize("padded", [False, True])
def test_a_tiled_result_has_the_gain_and_the_offset_of_its_source(tiny_model, monkeypatch, padded, gain, offset):
    monkeypatch.setattr(upsampling, "used_memory", lambda _: 0)
    monkeypatch.setattr(upsampling, "free_memory", lambda _: 10**12)
    array = np.tile(scan(), (1, 3, 1))
    if padded:
        array[:, -5:] = -9000

    def result(array: np.ndarray) -> np.ndarray:
        whole = plan_upsampling(volume_of(array), tiny_model, SCALE, PLAIN)
        limit = (whole.memory - array.size // 3 * tiny_model.bytes_per_coarse_voxel) / 1e9
        tiled = plan_upsampling(volume_of(array), tiny_model, SCALE, replace(PLAIN, memory_limit=limit))
        assert len(tiled.tiles) > 1
        return carry_out(tiled, volume_of(array), tiny_model).volume.array

    assert difference(result, array, gain, offset) < TOLERANCE


@pytest.mark.parametrize(("gain", "offset"), MOVED)
@pytest.mark.parametrize("turned", [0.0, 0.3])
@pytest.mark.parametrize("padded", [False, True])
def test_a_plane_of_the_lens_has_the_gain_and_the_offset_of_its_source(tiny_model, turned, padded, gain, offset):
    plane = Plane((2.0, 3.0, 15.2), (0.8, turned, 0.0), (-turned, 0.8, 0.2), (16, 14))
    array = scan()
    if padded:
        array[:, :, :4] = -9000

    def result(array: np.ndarray) -> np.ndarray:
        found = Lens(volume_of(array), tiny_model, PLAIN).answer(plane, SCALE, exact=True).plane
        return found[np.isfinite(found)]

    assert result(array).size > 150
    assert difference(result, array, gain, offset) < TOLERANCE


@pytest.mark.parametrize("uncertainty", [(1.0, 1e9), (1e-3, -5.0)])
def test_the_uncertainty_has_the_gain_but_not_the_offset(tiny_model, uncertainty):
    gain, offset = uncertainty
    how = replace(PLAIN, quality="best", uncertainty=True)
    spreads = []
    for array in (scan(), gain * scan() + offset):
        plan = plan_upsampling(volume_of(array), tiny_model, SCALE, how)
        spreads.append(carry_out(plan, volume_of(array), tiny_model).uncertainty.array.astype(np.float64))

    np.testing.assert_allclose(spreads[1] / gain, spreads[0], rtol=0, atol=TOLERANCE * spreads[0].max())
