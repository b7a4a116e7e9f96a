"""Lens: exact planes equal the whole result, quick planes are close to it, and feature maps are cached."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import phantoms
import pytest
import torch
from planes import oblique, plane_of, range_of

from ArSSRLib.acquisition import decision
from ArSSRLib.acquisition.estimate import Prediction
from ArSSRLib.acquisition.profile import AxisProfile, SliceProfile
from ArSSRLib.convolution import slabs
from ArSSRLib.errors import InputError, MemoryLimitError
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.model.arssr import ArSSRConfig
from ArSSRLib.model.arssr2 import ArSSR2Config
from ArSSRLib.model.registry import build_model
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.upsampling import upsample
from ArSSRLib.upsampling.lens import Lens
from ArSSRLib.upsampling.plane import Plane

CPU = UpsamplingOptions(device="cpu", precision="fp32")
# Rounding error relative to the intensity range.
EXACT = 1e-5


@pytest.fixture(scope="module")
def wide_model():
    """A small arssr2 with enough channels for the faster convolutions, which skip voxels."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model = build_model(ArSSR2Config(channels=16, blocks=2, feature_channels=16)).eval()
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.02 if parameter.ndim == 1 else (1 / parameter[0].numel()) ** 0.5)
    return model


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_exact_plane_at_voxels_of_the_result_equals_that_slice(phantom, tiny_model, axis):
    scale = (2.0, 1.0, 3.0)
    whole = upsample(phantom, tiny_model, scale, CPU)
    number = whole.geometry.size[axis] // 2

    answer = Lens(phantom, tiny_model, CPU).answer(plane_of(whole.geometry, axis, number), scale, exact=True)

    expected = np.take(whole.array, number, axis=2 - axis)
    assert answer.exact
    np.testing.assert_allclose(answer.plane, expected, atol=EXACT * range_of(phantom))


def test_an_oblique_plane_agrees_with_the_result_at_its_voxels(phantom, tiny_model):
    whole = upsample(phantom, tiny_model, 2, CPU)
    affine = whole.geometry.affine[:3, :3]
    # Along (1, 1, 0) and (0, 1, 1) of the fine grid: every pixel is the center of a fine voxel, but no axis is shared.
    first = np.array([12, 2, 3])
    origin = affine @ first + whole.geometry.affine[:3, 3]
    steps = affine @ [1, 1, 0], affine @ [0, 1, 1]
    plane = Plane(*(tuple(map(float, x)) for x in (origin, *steps)), (10, 9))

    answer = Lens(phantom, tiny_model, CPU).answer(plane, 2, exact=True)

    row, column = np.mgrid[:9, :10]
    i, j, k = first[0] + column, first[1] + column + row, first[2] + row
    np.testing.assert_allclose(answer.plane, whole.array[k, j, i], atol=EXACT * range_of(phantom))


def test_a_plane_is_placed_in_mm(oblique_geometry, tiny_model):
    fine = replace(oblique_geometry, size=(26, 24, 16), spacing=(0.9, 0.9, 1.2))
    blobs = phantoms.blobs_in(fine)
    plane = oblique(fine)
    row, column = np.mgrid[: plane.size[1], : plane.size[0]]
    points = np.array(plane.origin) + column[..., None] * plane.column_step + row[..., None] * plane.row_step
    expected = sum(blob.height * np.exp(-0.5 * ((points - blob.center) ** 2).sum(-1) / blob.sigma**2) for blob in blobs)

    moved = Lens(phantoms.sample(blobs, fine), tiny_model, CPU).answer(plane, 2, exact=True).plane

    # The untrained residual is small compared with the blobs; a shift of half a voxel would change 100 or more.
    assert np.abs(moved - expected).max() < 40


def test_pixels_outside_the_field_of_view_are_nan(phantom, tiny_model):
    inside = plane_of(phantom.geometry, 2, 4)
    origin = tuple(np.subtract(inside.origin, np.multiply(3, inside.column_step)).tolist())

    answer = Lens(phantom, tiny_model, CPU).answer(replace(inside, origin=origin), 2).plane

    assert np.isnan(answer[:, :3]).all()
    assert np.isfinite(answer[:, 3:]).all()


def encoded_planes(lens, scan, steps, **options):
    """Return for planes at these distances from the center, in mm, whether they were encoded."""
    plane = replace(oblique(scan.geometry), column_step=(0.5, 0.0, 0.0), row_step=(0.0, 0.5, 0.0))
    x, y, z = plane.origin
    return [bool(lens.answer(replace(plane, origin=(x, y, z + step)), 2, **options).encoded) for step in steps]


@pytest.fixture
def scan():
    geometry = VolumeGeometry((40, 40, 40), (1.0, 1.0, 1.0))
    return phantoms.sample(phantoms.blobs_in(geometry), geometry)


def test_scrolling_encodes_a_slab_of_planes_at_once(scan, tiny_model):
    encoded = encoded_planes(Lens(scan, tiny_model, CPU), scan, (0, 1, 2, 3, -1, 12))

    assert encoded == [True, True, False, False, False, True]


def test_dragging_the_lens_and_exact_answers_encode_one_plane(scan, tiny_model):
    lens, alone = Lens(scan, tiny_model, CPU), Lens(scan, tiny_model, CPU)
    plane = replace(oblique(scan.geometry), column_step=(0.5, 0.0, 0.0), row_step=(0.0, 0.5, 0.0), size=(20, 20))
    aside = replace(plane, origin=(plane.origin[0] + 2, *plane.origin[1:]))
    above = replace(plane, origin=(*plane.origin[:2], plane.origin[2] + 1))
    lens.answer(plane, 2)

    assert lens.answer(aside, 2).encoded == alone.answer(aside, 2).encoded
    assert lens.answer(above, 2, exact=True).encoded == alone.answer(above, 2, exact=True).encoded


def test_a_prepared_slab_answers_its_planes_exactly(scan, tiny_model):
    lens, exact = Lens(scan, tiny_model, CPU), Lens(scan, tiny_model, CPU)
    plane = replace(oblique(scan.geometry), column_step=(0.5, 0.0, 0.0), row_step=(0.0, 0.5, 0.0))
    above = replace(plane, origin=(*plane.origin[:2], plane.origin[2] + 2))
    lens.answer(plane, 2, exact=True)

    lens.prepare(plane, 2)

    answer = lens.answer(above, 2)
    assert answer.exact
    np.testing.assert_allclose(answer.plane, exact.answer(above, 2, exact=True).plane, atol=EXACT * range_of(scan))
    assert encoded_planes(lens, scan, (0, 1, 2, -1, -2, 3)) == [False] * 5 + [True]


def test_a_prepared_oblique_slab_answers_its_planes_exactly(scan, wide_model):
    lens = Lens(scan, wide_model, CPU)
    plane = replace(oblique(scan.geometry), column_step=(0.5, 0.0, 0.0), row_step=(0.0, 0.5, 0.5))
    above = replace(plane, origin=tuple(np.add(plane.origin, (0, -1.2, 1.2))))
    lens.answer(plane, 2, exact=True)

    lens.prepare(plane, 2)

    answer = lens.answer(above, 2)
    assert (answer.exact, answer.encoded) == (True, 0)
    expected = Lens(scan, wide_model, CPU).answer(above, 2, exact=True)
    np.testing.assert_allclose(answer.plane, expected.plane, atol=EXACT * range_of(scan))


def test_a_preparation_that_is_stopped_loses_nothing(scan, tiny_model):
    lens = Lens(scan, tiny_model, CPU)
    encoded_planes(lens, scan, (0,), exact=True)

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lens.prepare(replace(oblique(scan.geometry), row_step=(0.0, 0.5, 0.0)), 2, check=stop)

    assert encoded_planes(lens, scan, (0,), exact=True) == [False]


@pytest.mark.parametrize("skips", [True, False])
def test_only_the_surroundings_of_an_oblique_plane_are_encoded(wide_model, skips, monkeypatch):
    geometry = VolumeGeometry((16, 100, 100), (1.0, 1.0, 1.0))
    volume = phantoms.sample(phantoms.blobs_in(geometry), geometry)
    whole, lens = upsample(volume, wide_model, 2, CPU), Lens(volume, wide_model, CPU)
    # From one edge of the box to the opposite edge; every pixel is the center of a voxel of the result.
    plane = Plane(whole.geometry.origin, (0.5, 0.0, 0.0), (0.0, 0.5, 0.5), (32, 200))
    rows, steps = [], slabs.convolve_sums
    monkeypatch.setattr(lens, "_skips", skips)

    def noted(kernel, work, count):
        rows.append(count * kernel.scheme.made * (work.sums.shape[2] - 2))
        return steps(kernel, work, count)

    monkeypatch.setattr(slabs, "convolve_sums", noted)
    answer = lens.answer(plane, 2, exact=True)

    diagonal = np.arange(200)
    np.testing.assert_allclose(answer.plane, whole.array[diagonal, diagonal], atol=EXACT * range_of(volume))
    voxels = [kept.features[0, 0].numel() for kept in lens._cache.kept]
    if skips:  # only rows near the plane
        assert len(voxels) == 1
        convolutions = 2 * len(wide_model.blocks) + 1
        assert sum(rows) < 0.2 * convolutions * 16 * 100 * 100
    else:  # in parts
        assert len(voxels) > 1
        assert sum(voxels) < 0.6 * 16 * 100 * 100


def test_an_oblique_plane_whose_box_exceeds_the_cache_is_encoded_in_parts_that_fit(wide_model):
    geometry = VolumeGeometry((16, 60, 60), (1.0, 1.0, 1.0))
    volume = phantoms.sample(phantoms.blobs_in(geometry), geometry)
    plane = Plane(geometry.origin, (0.5, 0.0, 0.0), (0.0, 0.5, 0.5), (32, 120))
    lens = Lens(volume, wide_model, CPU, most_bytes=3 * 10**6)

    answer = lens.answer(plane, 2, exact=True)

    assert lens._cache.bytes < 3 * 10**6
    assert len(lens._cache.kept) > 1
    assert not lens.answer(plane, 2, exact=True).encoded
    expected = Lens(volume, wide_model, CPU).answer(plane, 2, exact=True)
    np.testing.assert_allclose(answer.plane, expected.plane, atol=EXACT * range_of(volume))


def test_a_cached_oblique_plane_answers_no_plane_that_it_crosses(scan, wide_model):
    lens = Lens(scan, wide_model, CPU)
    plane = replace(oblique(scan.geometry, pixels=20), column_step=(0.5, 0.0, 0.0), row_step=(0.0, 0.5, 0.5))
    crossing = replace(plane, origin=tuple(np.add(plane.origin, (0, 0, 9.5))), row_step=(0.0, 0.5, -0.5))
    lens.answer(plane, 2, exact=True)

    answer = lens.answer(crossing, 2, exact=True)

    assert answer.encoded
    expected = Lens(scan, wide_model, CPU).answer(crossing, 2, exact=True)
    np.testing.assert_allclose(answer.plane, expected.plane, atol=EXACT * range_of(scan))
    assert not lens.answer(plane, 2, exact=True).encoded


def test_a_plane_that_does_not_fit_as_a_whole_is_encoded_in_parts(tiny_model):
    geometry = VolumeGeometry((64, 64, 24), (1.0, 1.0, 1.0))
    volume = phantoms.sample(phantoms.blobs_in(geometry), geometry)
    plane = plane_of(geometry.upsampled(2), 2, 20)
    needed = 64 * 64 * 24 * tiny_model.bytes_per_coarse_voxel

    small = Lens(volume, tiny_model, replace(CPU, memory_limit=0.8 * needed / 1e9)).answer(plane, 2, exact=True)

    expected = Lens(volume, tiny_model, CPU).answer(plane, 2, exact=True)
    assert np.isfinite(small.plane).all()
    assert small.encoded > expected.encoded
    np.testing.assert_allclose(small.plane, expected.plane, atol=EXACT * range_of(volume))


def test_a_feature_map_is_reused_only_at_its_scale(phantom, tiny_model):
    lens = Lens(phantom, tiny_model, CPU)
    plane = plane_of(phantom.geometry, 2, 4)
    lens.answer(plane, 2, exact=True)

    fresh = Lens(phantom, tiny_model, CPU).answer(plane, 3, exact=True)
    other = lens.answer(plane, 3, exact=True)

    assert other.encoded
    np.testing.assert_array_equal(other.plane, fresh.plane)


def test_kept_feature_maps_stay_within_their_memory_limit(tiny_model):
    geometry = VolumeGeometry((24, 24, 60), (1.0, 1.0, 1.0))
    volume = phantoms.sample(phantoms.blobs_in(geometry), geometry)
    lens = Lens(volume, tiny_model, CPU, most_bytes=600_000)
    sizes = []
    for number in range(0, 60, 12):
        lens.answer(plane_of(geometry, 2, number), 2)
        sizes.append(lens._cache.bytes)

    assert max(sizes) <= 600_000
    assert sizes[1] > sizes[0]  # more than one is kept


def test_an_exception_from_the_callback_stops_the_work_and_the_lens_stays_usable(phantom, tiny_model):
    lens = Lens(phantom, tiny_model, CPU)
    plane = plane_of(phantom.geometry, 2, 4)

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lens.answer(plane, 2, check=stop)

    assert lens._cache.bytes == 0
    assert np.isfinite(lens.answer(plane, 2).plane).all()


def test_integers_are_rounded_as_in_the_result(phantom, tiny_model):
    whole_numbers = phantom.with_array(np.rint(phantom.array).astype(np.int16))
    whole = upsample(whole_numbers, tiny_model, 2, CPU)

    answer = Lens(whole_numbers, tiny_model, CPU).answer(plane_of(whole.geometry, 2, 8), 2, exact=True)

    assert np.abs(answer.plane - whole.array[8]).max() <= 1  # halves may be rounded up or down
    np.testing.assert_array_equal(answer.plane, np.rint(answer.plane))


def test_padding_is_restored_as_in_the_result(phantom, tiny_model):
    array = phantom.array.copy()
    array[:, :, :5] = -20000
    padded = phantom.with_array(array)
    whole = upsample(padded, tiny_model, 2, CPU)

    answer = Lens(padded, tiny_model, CPU).answer(plane_of(whole.geometry, 2, 8), 2, exact=True)

    assert (whole.array[8] == -20000).any()
    np.testing.assert_allclose(answer.plane, whole.array[8], atol=EXACT * range_of(phantom))


def test_a_constant_volume_stays_constant(phantom, tiny_model):
    constant = phantom.with_array(np.full_like(phantom.array, 7))

    assert (Lens(constant, tiny_model, CPU).answer(plane_of(phantom.geometry, 1, 3), 2).plane == 7).all()


def test_a_plane_states_that_it_lacks_the_correction_of_the_whole_result(phantom, tiny_model):
    axis = AxisProfile("gaussian", 1.0, "DICOM")
    known = replace(phantom, header=replace(phantom.header, profile=SliceProfile((axis, axis, axis))))
    plane = plane_of(phantom.geometry, 2, 4)

    assert Lens(known, tiny_model, CPU).answer(plane, 2).uncorrected
    assert not Lens(phantom, tiny_model, CPU).answer(plane, 2).uncorrected
    assert not Lens(known, tiny_model, replace(CPU, consistency="off")).answer(plane, 2).uncorrected


def test_the_slice_profile_is_estimated_once_for_all_scales(phantom, tiny_model, monkeypatch):
    found, calls = Prediction(0.5, 0.01), []
    monkeypatch.setattr(decision, "predicted_axes", lambda *given: calls.append(given) or (found,) * 3)
    lens, plane = Lens(phantom, tiny_model, CPU), plane_of(phantom.geometry, 2, 4)

    assert all(lens.answer(plane, scale).uncorrected for scale in (2, 3, (1, 1, 2)))
    assert len(calls) == 1


def test_a_model_that_receives_query_coordinates_has_no_preview(phantom):
    with torch.random.fork_rng(devices=[]):
        published = build_model(ArSSRConfig())

    with pytest.raises(InputError, match="arssr has no preview"):
        Lens(phantom, published, CPU)


def test_a_plane_that_does_not_fit_into_memory_is_refused(phantom, tiny_model):
    lens = Lens(phantom, tiny_model, replace(CPU, memory_limit=1e-6))

    with pytest.raises(MemoryLimitError, match="make the lens smaller"):
        lens.answer(plane_of(phantom.geometry, 2, 4), 2)


@pytest.mark.parametrize("change", [{"size": (0, 4)}, {"size": (10**5, 10**5)}, {"origin": (0.0, np.nan, 0.0)}])
def test_an_impossible_plane_is_refused(phantom, change):
    with pytest.raises(InputError, match="The plane has"):
        replace(plane_of(phantom.geometry, 2, 4), **change)
