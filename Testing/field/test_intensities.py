"""Offsets, gains and padding, as scanners apply them, do not change the anatomy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phantoms import everywhere_bright, padded
from scipy import ndimage

from ArSSRLib.errors import InputError, OutputError
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.io import read_volume, write_volume
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.padding import find_padding
from ArSSRLib.training.preparation import Preparation, prepare
from ArSSRLib.upsampling import upsample
from ArSSRLib.volume import FileHeader, Volume

SCALE = (1, 1.5, 2)
PLAIN = UpsamplingOptions(device="cpu", precision="fp32")
SHAPE = (14, 20, 18)
# Tolerances for offset and gain, relative to the range, and the distance in voxels that padding may affect.
TOLERANCE, FELT = 1e-3, 6


def head(dtype: str = "f8") -> np.ndarray:
    """Return an ellipsoid of smooth anatomy with values from 300 to 1000 in air with value 0."""
    smooth = ndimage.gaussian_filter(np.random.default_rng(5).normal(size=SHAPE), 1.2)
    anatomy = 650 + 350 * np.clip(smooth / np.abs(smooth).max(), -1, 1)
    grid = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    return np.rint(np.where(sum(x**2 for x in grid) < 0.8, anatomy, 0)).astype(dtype)


def run(array: np.ndarray, model, **header) -> np.ndarray:
    volume = Volume(array, VolumeGeometry(array.shape[::-1], (1.0, 1.0, 2.0)), FileHeader(**header))
    return upsample(volume, model, SCALE, PLAIN).array.astype(np.float64)


@settings(max_examples=25)
@given(gain=st.floats(1e-3, 1e3), offset=st.floats(-1e6, 1e6), air=st.booleans())
def test_a_result_has_the_gain_and_the_offset_of_its_source(tiny_model, gain, offset, air):
    array = head() if air else head()[4:10, 6:14, 6:12]  # with air around it, or only anatomy
    width = np.ptp(array)

    moved = run(gain * (array + offset * width), tiny_model) / gain - offset * width

    np.testing.assert_allclose(moved, run(array, tiny_model), rtol=0, atol=TOLERANCE * width)


@pytest.mark.parametrize(
    ("dtype", "offset"), [("i4", 10**9), ("u4", 3 * 10**9), ("u2", 60000), ("i2", -32768), ("f4", 10**6)]
)
def test_an_offset_drops_out_in_every_type_that_can_hold_it(tiny_model, dtype, offset):
    array = head()

    moved = run((array + offset).astype(dtype), tiny_model) - offset

    np.testing.assert_allclose(moved, run(array, tiny_model), rtol=0, atol=1 + TOLERANCE * np.ptp(array))


@pytest.mark.parametrize("suffix", [".nii", ".nrrd", ".mha"])
def test_a_contrast_on_a_high_offset_survives_reading_and_writing(tiny_model, tmp_path, suffix):
    array = head() + 1e8
    grid = VolumeGeometry(SHAPE[::-1], (1.0, 1.0, 2.0))
    source = read_volume(write_volume(Volume(array, grid), tmp_path / f"source{suffix}"))

    result = upsample(source, tiny_model, SCALE, PLAIN)
    found = read_volume(write_volume(result, tmp_path / f"result{suffix}")).array

    np.testing.assert_allclose(found - 1e8, run(head(), tiny_model), rtol=0, atol=TOLERANCE * np.ptp(array))


@pytest.mark.parametrize("dtype", ["f8", "u4"])
def test_a_contrast_that_mgh_would_lose_is_refused(tmp_path, dtype):
    volume = Volume(
        (head() + 3e9).astype(dtype), VolumeGeometry(SHAPE[::-1], (1.0, 1.0, 2.0)), FileHeader(np.dtype(dtype))
    )

    with pytest.raises(OutputError, match="precision of float32"):
        write_volume(volume, tmp_path / "a.mgz")
    assert not list(tmp_path.iterdir())


# --- padding


def eroded(inside: np.ndarray) -> np.ndarray:
    """Return a mask of voxels deep inside a cylinder."""
    return ndimage.binary_erosion(inside, np.ones((1, 3, 3)), iterations=FELT, border_value=1)


@pytest.mark.parametrize("value", [-32768, -2000, 32767, 1e6])
def test_padding_changes_nothing_in_the_anatomy_away_from_it(tiny_model, value):
    array, inside = padded(everywhere_bright(), value)
    deep = ndimage.zoom(eroded(inside), (2, 1.5, 1), order=0, grid_mode=True, mode="nearest")

    found, expected = run(array, tiny_model), run(everywhere_bright(), tiny_model)

    assert deep.any()
    np.testing.assert_allclose(found[deep], expected[deep], rtol=0, atol=0.02 * 700)


@pytest.mark.parametrize("value", [-32768, -2000, 32767, 1e6])
def test_padding_does_not_bleed_and_comes_back_as_it_was(tiny_model, value):
    array, inside = padded(everywhere_bright(), value)

    result = run(array, tiny_model)
    padding = result == value

    assert ((result[~padding] > 250) & (result[~padding] < 1100)).all()
    covered = ndimage.zoom(inside.astype(float), (2, 1.5, 1), order=1, grid_mode=True, mode="nearest")
    clear = np.abs(covered - 0.5) > 0.05
    np.testing.assert_array_equal(padding[clear], (covered < 0.5)[clear])


def test_a_declared_padding_needs_no_border(tiny_model):
    array = everywhere_bright()
    array[3, 20, 18] = -40
    undeclared, declared = run(array, tiny_model), run(array, tiny_model, padding=(-40.0, -40.0))

    assert undeclared[6:8, 29:32, 17:20].min() < 250
    assert declared[declared != -40].min() > 250
    assert (declared == -40).any()


@pytest.mark.parametrize("background", [350, 450])
def test_an_ordinary_background_is_no_padding_even_if_it_is_declared(background):
    array = np.where(head() > 0, head(), background)

    assert find_padding(array) is None
    assert find_padding(np.abs(ndimage.gaussian_filter(head(), 0.7)), (0.0, 0.0)) is None


@pytest.mark.parametrize("away", [0.6, 1.0, 1.5, 2.2, 2.9])
def test_a_background_below_the_anatomy_that_fills_the_border_changes_nothing_in_it(tiny_model, away):
    value = everywhere_bright().min() - away * np.ptp(everywhere_bright())
    array, inside = padded(everywhere_bright(), value)
    deep = ndimage.zoom(eroded(inside), (2, 1.5, 1), order=0, grid_mode=True, mode="nearest")

    found, expected = run(array, tiny_model), run(everywhere_bright(), tiny_model)

    np.testing.assert_allclose(found[deep], expected[deep], rtol=0, atol=0.02 * 700)
    np.testing.assert_array_equal(find_padding(array).mask, ~inside)


def a_slice(array: np.ndarray) -> None:
    array[-1] = -32768


def a_corner(array: np.ndarray) -> None:
    array[sum(np.indices(array.shape)) < 6] = 1e5


@pytest.mark.parametrize("pad", [a_slice, a_corner])
def test_padding_of_a_single_slice_or_corner_is_recognized_in_a_large_volume(pad):
    array = np.tile(everywhere_bright(), (12, 1, 1))
    pad(array)

    np.testing.assert_array_equal(find_padding(array).mask, (array < 0) | (array > 2000))


def test_padding_of_a_face_is_recognized_where_a_sample_of_voxels_misses_it(monkeypatch):
    array = np.tile(everywhere_bright(), (12, 1, 1))
    array[:, :, -1] = -2500
    monkeypatch.setattr("ArSSRLib.padding.SAMPLED_VOXELS", array.size // array.shape[-1])

    np.testing.assert_array_equal(find_padding(array).mask, array < 0)


def test_a_bright_spot_that_fades_at_the_border_is_not_padding():
    array = everywhere_bright()
    spot = np.linalg.norm(np.indices(array.shape).T - (5, 0, 20), axis=-1).T
    bright = np.minimum(array + 20000 * np.exp(-spot), 4095)

    assert np.count_nonzero(bright[:, 0] == 4095) < np.count_nonzero(bright == 4095)
    assert find_padding(bright) is None


@pytest.mark.parametrize(("scale", "offset"), [(1, 0), (1e-3, 0), (1, -2000), (1, 500)])
def test_zeros_around_an_extracted_brain_are_padding_only_if_far_from_its_range(scale, offset):
    inside = head() > 0
    brain = np.where(inside, scale * (head() - 450) + offset, 0)  # as usual, 0 is only slightly darker than the brain

    found = find_padding(brain)

    assert (found is None) == (offset == 0)
    if found is not None:
        np.testing.assert_array_equal(found.mask, ~inside)


def saturated() -> np.ndarray:
    """Return anatomy whose brightest part, near a surface coil, is clipped at the largest value of the scanner."""
    return padded(everywhere_bright(), 2700)[0]


def with_voids() -> np.ndarray:
    """Return anatomy with vessels of the lowest intensity, inside and up to the border."""
    array = everywhere_bright()
    array[2:8, 15:30, 10:30] = array[:, :, :4] = -1300
    return array


def a_little_noisy() -> np.ndarray:
    """Return anatomy with a background of very different, but measured intensity."""
    array, inside = padded(everywhere_bright(), 0)
    return np.where(inside, array, np.random.default_rng(0).normal(-1300, 5, array.shape))


@pytest.mark.parametrize("anatomy", [saturated, with_voids, a_little_noisy])
def test_measured_values_at_the_border_are_not_padding(anatomy):
    assert find_padding(anatomy()) is None


def test_padding_is_not_used_for_training():
    array, inside = padded(everywhere_bright(), -32768)
    grid = VolumeGeometry(array.shape[::-1], (1.0, 1.0, 2.0))

    prepared, plain = (prepare(Volume(a, grid), Preparation()).array for a in (array, everywhere_bright()))

    np.testing.assert_allclose(prepared[inside], plain[inside], rtol=0, atol=0.05)


def test_nonfinite_voxels_are_replaced_as_reported_and_refused_if_there_are_no_others(tiny_model, caplog):
    with pytest.raises(InputError, match="no finite values"):
        run(np.full(SHAPE, np.nan), tiny_model)

    array = head()
    array[0, 0, 0] = np.nan
    run(array, tiny_model)

    assert "1 of the 5040 voxels are not finite numbers" in caplog.text
    assert f"NaN and -infinity were replaced by 0, and infinity by {head().max():g}" in caplog.text
