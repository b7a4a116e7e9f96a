"""upsample: types of results, unusual volumes, and impossible requests."""

from __future__ import annotations

import logging
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from messages import one_line

from ArSSRLib.errors import DeviceError, InputError
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.model.arssr2 import ArSSR2, ArSSR2Config
from ArSSRLib.model.registry import build_model
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.upsampling import upsample
from ArSSRLib.volume import FileHeader, Volume

# Tolerance for rounding, relative to the intensity range.
EXACT = 1e-5


def volume_of(array: np.ndarray, **header) -> Volume:
    return Volume(array, VolumeGeometry(array.shape[::-1], (1.0, 1.0, 2.0)), FileHeader(**header))


def scan(*shape: int) -> np.ndarray:
    """Return intensities between 0 and 1000 that vary within a few voxels, float32."""
    return (1000 * np.random.default_rng(0).random(shape)).astype(np.float32)


def run(array: np.ndarray, model, scale=2, *, progress=None, **options) -> np.ndarray:
    """Upsample on the CPU in single precision."""
    chosen = UpsamplingOptions(**({"device": "cpu", "precision": "fp32"} | options))
    return upsample(volume_of(array), model, scale, chosen, progress=progress).array


# --- types


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", ">i2", "u2", "i4", "u4", "i8", "u8"])
def test_integer_results_are_rounded_and_clipped(tiny_model, dtype):
    limits = np.iinfo(np.dtype(dtype))
    # Edges between 0 and 255 overshoot on both sides.
    array = np.where(scan(6, 5, 4) > 500, min(limits.max, 255), max(limits.min, -128)).astype(dtype)
    unlimited = run(array.astype(np.float32), tiny_model, 1.7)

    result = run(array, tiny_model, 1.7)

    assert result.dtype == np.dtype(dtype)
    np.testing.assert_allclose(result, np.clip(np.rint(unlimited), limits.min, limits.max), rtol=0, atol=1)
    assert np.count_nonzero(result != np.clip(np.rint(unlimited), limits.min, limits.max)) < 3


@pytest.mark.parametrize("dtype", ["i2", "u2", "i4", "u4", "i8", "u8"])
def test_integers_at_their_limits_do_not_wrap_around(tiny_model, dtype):
    limits = np.iinfo(dtype)
    array = np.where(scan(6, 5, 4) > 500, limits.max, limits.min).astype(dtype)

    result = run(array, tiny_model, 1)

    # Bright stays bright, dark stays dark.
    middle = limits.max // 2 + limits.min // 2
    assert np.count_nonzero((result > middle) != (array > middle)) == 0


@pytest.mark.parametrize("dtype", ["f2", "f4", ">f4", "f8"])
def test_floating_point_numbers_become_single_precision(tiny_model, dtype):
    array = scan(6, 5, 4).astype(dtype)

    result = run(array, tiny_model)

    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, run(array.astype(np.float32), tiny_model))


def test_a_boolean_mask_becomes_a_mask_of_8_bit_integers(tiny_model):
    array = scan(6, 5, 4) > 500

    result = run(array, tiny_model)

    assert result.dtype == np.uint8
    assert set(np.unique(result)) == {0, 1}


def test_the_header_is_kept_except_for_its_free_text(tiny_model):
    volume = volume_of(scan(4, 4, 4), dtype=np.dtype(np.int16), description="knee")

    assert upsample(volume, tiny_model, 2, UpsamplingOptions(device="cpu")).header == replace(
        volume.header, description=""
    )


def test_the_input_is_not_changed(tiny_model):
    array = scan(5, 6, 7)
    array[1, 2, 3] = np.nan
    before = array.copy()
    array.flags.writeable = False

    run(array, tiny_model)

    np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize(
    "view",
    [
        pytest.param(lambda a: a[::-1, :, ::-1], id="flipped"),
        pytest.param(lambda a: a.transpose(2, 0, 1), id="transposed"),
        pytest.param(np.asfortranarray, id="Fortran order"),
        pytest.param(lambda a: a[::2, 1:, :-1], id="strided"),
    ],
)
def test_the_order_in_memory_does_not_matter(tiny_model, view):
    array = view(scan(8, 6, 7))

    plain = run(array.copy(order="C"), tiny_model)
    np.testing.assert_allclose(run(array, tiny_model), plain, rtol=0, atol=EXACT * 1000)


# --- unusual volumes


def test_nonfinite_voxels_do_not_spread_and_are_reported(tiny_model, caplog):
    array = scan(6, 5, 4)
    broken = array.copy()
    broken[0, 0, 0], broken[2, 3, 1], broken[5, 4, 3], broken[1, 1, 1] = np.nan, np.inf, -np.inf, np.nan
    finite = broken[np.isfinite(broken)]
    mended = np.nan_to_num(broken, nan=finite.min(), posinf=finite.max(), neginf=finite.min())

    with caplog.at_level(logging.WARNING):
        result = run(broken, tiny_model)

    np.testing.assert_array_equal(result, run(mended, tiny_model))
    assert [record.getMessage().split()[0] for record in caplog.records] == ["4"]


def test_a_finite_volume_is_upsampled_without_a_message(tiny_model, caplog):
    with caplog.at_level(logging.WARNING):
        run(scan(4, 4, 4), tiny_model)

    assert not caplog.records


@pytest.mark.parametrize("value", [0, 1, -3, 7.5, 1e30, -1e30, 1e-30])
@pytest.mark.parametrize("shape", [(4, 5, 6), (1, 1, 1)])
def test_a_constant_volume_stays_constant(tiny_model, value, shape):
    result = run(np.full(shape, value, np.float32), tiny_model, 2.5)

    assert result.shape == tuple(math.floor(2.5 * n + 0.5) for n in shape)
    assert (result == np.float32(value)).all()


@pytest.mark.parametrize("value", [1e39, -1e300])
def test_a_constant_beyond_single_precision_is_clipped(tiny_model, value):
    result = run(np.full((2, 2, 2), value), tiny_model)

    assert (result == np.sign(value) * np.finfo(np.float32).max).all()


def test_a_volume_without_any_finite_voxel_is_refused(tiny_model):
    with pytest.raises(InputError) as error:
        run(np.full((3, 3, 3), np.nan, np.float32), tiny_model)

    assert one_line(error)


@pytest.mark.parametrize("shape", [(1, 6, 7), (6, 1, 7), (6, 7, 1), (1, 1, 5), (2, 2, 2)])
@pytest.mark.parametrize("scale", [2, (1.5, 3, 2.2)])
def test_thin_volumes_are_upsampled(tiny_model, shape, scale):
    result = run(scan(*shape), tiny_model, scale)

    assert np.isfinite(result).all()
    assert result.std() > 100


@pytest.mark.parametrize("gain", [1e30, 1e-30, 3.0])
def test_the_unit_of_the_intensities_does_not_matter(tiny_model, gain):
    array = scan(6, 5, 4)

    # In double precision, because otherwise rounding of the gain would be tested.
    result = run((array.astype(np.float64) * gain), tiny_model).astype(np.float64) / gain

    np.testing.assert_allclose(result, run(array, tiny_model), rtol=0, atol=EXACT * 1000)


@pytest.mark.parametrize("offset", [-5000.0, -1000.0, 200.0, 32768.0])
def test_an_offset_of_the_intensities_does_not_matter(tiny_model, offset):
    array = scan(6, 5, 4)

    result = run(array + np.float32(offset), tiny_model) - offset

    np.testing.assert_allclose(result, run(array, tiny_model), rtol=0, atol=0.02)


@pytest.mark.parametrize("darkest", [0, -300, 4000])
def test_no_voxel_is_darker_than_the_darkest_of_the_input(tiny_model, darkest):
    array = (np.where(scan(6, 5, 4) > 500, 1000, 0) + darkest).astype(np.float32)
    result = run(array, tiny_model, 3)

    assert result.min() == darkest
    assert result.max() > 1001 + darkest  # overshoot, which is allowed here


def test_a_volume_with_only_negative_voxels_is_upsampled(tiny_model):
    array = scan(6, 5, 4)

    result = run(array - 3000, tiny_model)

    assert -3500 < result.min() < result.max() < -1500
    assert result.std() > 100


# --- scale, device, precision


@pytest.mark.parametrize("scale", [0, -1, 0.5, math.nan, 1e9, (2, 2)])
def test_an_impossible_scale_is_refused(tiny_model, scale):
    with pytest.raises(InputError) as error:
        run(scan(4, 4, 4), tiny_model, scale)

    assert one_line(error)


def test_scale_1_keeps_the_grid(tiny_model):
    volume = volume_of(scan(4, 5, 6))

    assert upsample(volume, tiny_model, 1, UpsamplingOptions(device="cpu")).geometry == volume.geometry


def test_a_missing_device_is_refused(tiny_model):
    with pytest.raises(DeviceError) as error:
        run(scan(4, 4, 4), tiny_model, device="cuda:99")

    assert one_line(error)


def test_bf16_is_close_to_fp32(tiny_model):
    array = scan(8, 7, 6)

    rounded, exact = run(array, tiny_model, precision="bf16"), run(array, tiny_model)

    assert 0 < np.abs(rounded - exact).max() < 5
    assert np.sqrt(np.mean((rounded - exact) ** 2)) < 1


def test_a_model_in_training_mode_is_switched_to_evaluation():
    model = build_model(ArSSR2Config(channels=4, blocks=1, feature_channels=4)).train()

    run(scan(4, 4, 4), model)

    assert not model.training


def test_no_gradients_are_recorded(tiny_model, monkeypatch):
    recorded = []
    query_grid = ArSSR2.query_grid

    def watched(self, *arguments):
        recorded.append(torch.is_grad_enabled())
        return query_grid(self, *arguments)

    monkeypatch.setattr(ArSSR2, "query_grid", watched)

    run(scan(4, 4, 4), tiny_model)

    assert recorded == [False]
