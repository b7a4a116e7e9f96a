"""Lens: exact planes equal the whole result, quick planes are close to it, and feature maps are cached."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import phantoms
import pytest
import torch

from ArSSRLib.acquisition import decision
from ArSSRLib.acquisition.estimate import Prediction
from ArSSRLib.acquisition.profile import AxisProfile, SliceProfile
from ArSSRLib.checkpoint import load_model
from ArSSRLib.convolution import slabs
from ArSSRLib.errors import InputError, MemoryLimitError
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.model.arssr import ArSSRConfig
from ArSSRLib.model.registry import build_model
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.upsampling import upsample
from ArSSRLib.upsampling.lens import Lens
from ArSSRLib.upsampling.plane import Plane
from ArSSRLib.volume import Volume

CPU = UpsamplingOptions(device="cpu", precision="fp32")
# Rounding error relative to the intensity range.
EXACT = 1e-5


def plane_of(geometry: VolumeGeometry, axis: int, number: int) -> Plane:
    """Return the centers of the voxels of one slice of a grid; ``axis`` counts i, j, k."""
    affine = geometry.affine
    index = np.zeros(3)
    index[axis] = number
    across, down = (n for n in range(3) if n != axis)
    origin = affine[:3, :3] @ index + affine[:3, 3]
    steps = [tuple(map(float, affine[:3, n])) for n in (across, down)]
    return Plane(tuple(map(float, origin)), steps[0], steps[1], (geometry.size[across], geometry.size[down]))


def oblique(geometry: VolumeGeometry, pixels: int = 12, step: float = 0.7) -> Plane:
    """Return a small plane around the middle of a grid, rotated against all of its axes."""
    turn = np.reshape(phantoms.rotation(33, 21, -40), (3, 3)) @ np.reshape(geometry.direction, (3, 3))
    column, row = step * turn[:, 0], step * turn[:, 1]
    middle = np.array(phantoms.point_at(geometry, (0.5, 0.5, 0.5)))
    origin = middle - (pixels - 1) / 2 * (column + row)
    return Plane(*(tuple(map(float, x)) for x in (origin, column, row)), (pixels, pixels))


def range_of(volume: Volume) -> float:
    return float(volume.array.max() - volume.array.min())


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


def blocks(edge: int, levels: int, shape=(40, 40, 36)) -> np.ndarray:
    """Return cubes of random intensities: sharp edges everywhere."""
    count = [-(-n // edge) for n in shape]
    values = np.random.default_rng(5).integers(0, levels, count) * (1000.0 / (levels - 1))
    return np.kron(values, np.ones((edge, edge, edge)))[: shape[0], : shape[1], : shape[2]]


def head(shape=(40, 40, 36)) -> np.ndarray:
    """Return blobs and noise as in a magnitude image."""
    blobs = phantoms.sample(phantoms.blobs_in(GRID), GRID).array
    return np.abs(blobs[: shape[0]] + np.random.default_rng(6).normal(0, 20, shape))


GRID = VolumeGeometry((36, 40, 40), (1.0, 1.0, 1.0))
CONTRASTS = {
    "cubes": lambda: blocks(4, 1000),
    "black and white": lambda: blocks(3, 2),
    "noise": lambda: np.random.default_rng(7).uniform(0, 1000, (40, 40, 36)),
    "head": head,
    "inverted head": lambda: 5000 - head(),
}


@pytest.mark.parametrize(
    ("name", "contrast", "scale"),
    [
        *(("arssr3", contrast, 2.0) for contrast in CONTRASTS),
        ("arssr3", "black and white", (1.0, 1.0, 5.0)),
        ("arssr3", "black and white", (1.0, 1.0, 3.0)),
        *(("arssr2", contrast, 2.0) for contrast in CONTRASTS),
        ("arssr2", "black and white", (1.0, 1.0, 5.0)),
        ("arssr2", "cubes", 3.3),
        ("arssr2-deep", "black and white", 2.0),
        ("arssr2-deep", "head", (1.0, 1.0, 4.0)),
        ("arssr3-draft", "black and white", 2.0),
        ("arssr3-draft", "inverted head", 4.0),
    ],
)
def test_a_quick_plane_is_within_1_percent_of_the_range_at_any_position(name, contrast, scale):
    model, volume = load_model(name), Volume(CONTRASTS[contrast]().astype(np.float32), GRID)
    fine, lens = GRID.upsampled(scale), Lens(volume, model, CPU)

    def middle_of(position: float) -> Plane:
        """Return a lens of 12 x 12 pixels that is centered on a position along k, in coarse voxels."""
        affine = fine.affine
        corner = [n // 2 - 6 for n in fine.size[:2]] + [(position + 0.5) * fine.size[2] / 40 - 0.5]
        origin = affine[:3, :3] @ corner + affine[:3, 3]
        return replace(plane_of(fine, 2, 0), origin=tuple(map(float, origin)), size=(12, 12))

    lens.answer(middle_of(15.25), scale)
    lens.answer(middle_of(17.25), scale)  # scrolled: encoded with the planes beside it
    quick = lens.answer(middle_of(19.75), scale)  # two coarse slices away, at the edge of the encoded part
    exact = Lens(volume, model, CPU).answer(middle_of(19.75), scale, exact=True)

    assert (quick.exact, quick.encoded, exact.exact) == (False, 0, True)
    difference = np.abs(quick.plane - exact.plane).max()
    assert difference < 0.01 * range_of(volume)
    assert difference > 0 or name == "arssr3-draft"  # whose layers see less than the halo


@pytest.mark.parametrize(("exact", "most"), [(False, 70e9), (True, 80e9)])
def test_a_lens_of_128_pixels_needs_a_limited_number_of_multiplications(exact, most, monkeypatch):
    products = []

    def counted(convolution, features, box):
        shape = [s.stop - s.start for s in box]
        products.append(convolution.weight.numel() * np.prod(shape))
        yield slice(0, shape[0]), slice(0, shape[1]), features.new_zeros(*shape, len(convolution.weight))

    geometry = VolumeGeometry((110, 110, 50), (1.0, 1.0, 1.0))
    volume = Volume(np.random.default_rng(7).uniform(0, 1, (50, 110, 110)).astype(np.float32), geometry)
    fine = geometry.upsampled(2)
    origin = tuple(map(float, fine.affine[:3, :3] @ [46, 46, 50] + fine.affine[:3, 3]))
    plane = replace(plane_of(fine, 2, 0), origin=origin, size=(128, 128))
    monkeypatch.setattr(slabs, "_winograd_slabs", counted)
    monkeypatch.setattr(slabs, "_stacked", counted)

    Lens(volume, load_model("arssr2"), CPU).answer(plane, 2, exact=exact)

    # Winograd's algorithm needs half of them: two cores with 55 GFLOP/s each take 0.6 s for a quick answer.
    assert 0.9 * most < sum(products) < most


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


def test_a_preparation_that_is_stopped_loses_nothing(scan, tiny_model):
    lens = Lens(scan, tiny_model, CPU)
    encoded_planes(lens, scan, (0,), exact=True)

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lens.prepare(replace(oblique(scan.geometry), row_step=(0.0, 0.5, 0.0)), 2, check=stop)

    assert encoded_planes(lens, scan, (0,), exact=True) == [False]


def test_an_oblique_plane_is_encoded_in_parts_if_its_bounding_box_is_larger(tiny_model):
    geometry = VolumeGeometry((16, 100, 100), (1.0, 1.0, 1.0))
    volume = phantoms.sample(phantoms.blobs_in(geometry), geometry)
    whole, lens = upsample(volume, tiny_model, 2, CPU), Lens(volume, tiny_model, CPU)
    # From one edge of the box to the opposite edge; every pixel is the center of a voxel of the result.
    plane = Plane(whole.geometry.origin, (0.5, 0.0, 0.0), (0.0, 0.5, 0.5), (32, 200))

    answer = lens.answer(plane, 2, exact=True)

    diagonal = np.arange(200)
    np.testing.assert_allclose(answer.plane, whole.array[diagonal, diagonal], atol=EXACT * range_of(volume))
    voxels = [kept.features[0, 0].numel() for kept in lens._cache.kept]
    assert len(voxels) > 1
    assert sum(voxels) < 0.6 * 16 * 100 * 100


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
        sizes.append(lens.kept_bytes)

    assert max(sizes) <= 600_000
    assert sizes[1] > sizes[0]  # more than one is kept


def test_an_exception_from_the_callback_stops_the_work_and_the_lens_stays_usable(phantom, tiny_model):
    lens = Lens(phantom, tiny_model, CPU)
    plane = plane_of(phantom.geometry, 2, 4)

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lens.answer(plane, 2, check=stop)

    assert lens.kept_bytes == 0
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
