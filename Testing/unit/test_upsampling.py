"""upsample: tiles, types, unusual volumes, progress and memory. `integration` tests the positions of voxels."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from messages import one_line

from ArSSRLib import upsampling
from ArSSRLib.errors import InputError, MemoryLimitError
from ArSSRLib.geometry import VolumeGeometry
from ArSSRLib.model.arssr import ArSSRConfig
from ArSSRLib.model.arssr2 import ArSSR2
from ArSSRLib.model.interface import SuperResolutionModel
from ArSSRLib.model.registry import build_model
from ArSSRLib.normalization import IntensityRange
from ArSSRLib.options import UpsamplingOptions
from ArSSRLib.upsampling import assembly, plan_upsampling, upsample
from ArSSRLib.upsampling.assembly import query_grid_of
from ArSSRLib.volume import FileHeader, Volume

CPU = UpsamplingOptions(device="cpu")
# Tolerance between the result in tiles and as a whole, relative to the intensity range.
EXACT = 1e-5


class Ruler(SuperResolutionModel):
    """A network that returns its query coordinates, or the voxel at its sampling coordinates."""

    halo, bytes_per_coarse_voxel = 2, 4

    def __init__(self, what: str) -> None:
        super().__init__(ArSSRConfig())
        self.what = what

    def encode(self, volume, told=None):
        return volume

    def query(self, feature_map, coordinates, told=None):
        raise NotImplementedError

    def compilable_layers(self):
        return []

    def query_grid(self, feature_map, grid, told=None):
        if self.what == "query":
            k, j, i = grid.query
            return (111 + k[:, None, None] + 10 * j[:, None] + 100 * i).float()  # none below the darkest voxel
        k, j, i = (axis.round().long() for axis in grid.sampling)
        return feature_map[0, 0][k][:, j][:, :, i]


class Cancelled(Exception):  # noqa: N818
    """An exception in the user's callback."""


def volume_of(array: np.ndarray, **header) -> Volume:
    return Volume(array, VolumeGeometry(array.shape[::-1], (1.0, 1.0, 2.0)), FileHeader(**header))


def scan(*shape: int, seed: int = 0) -> np.ndarray:
    """Return intensities between 0 and 1000 that vary within a few voxels, float32."""
    return (1000 * np.random.default_rng(seed).random(shape)).astype(np.float32)


def run(array: np.ndarray, model, scale=2, *, progress=None, **options) -> np.ndarray:
    """Upsample on the CPU in single precision."""
    chosen = UpsamplingOptions(**({"device": "cpu", "precision": "fp32"} | options))
    return upsample(volume_of(array), model, scale, chosen, progress=progress).array


@pytest.fixture
def limit_crops_to(monkeypatch):
    """Return a function that returns the memory limit in GB for a maximum number of voxels per crop."""
    monkeypatch.setattr(upsampling, "used_memory", lambda _: 0)
    monkeypatch.setattr(upsampling, "free_memory", lambda _: 10**12)

    def gigabytes(voxels: int, array: np.ndarray, model, scale) -> float:
        whole = plan_upsampling(volume_of(array), model, scale, CPU)
        base = whole.memory - array.size * model.bytes_per_coarse_voxel
        return (base + voxels * model.bytes_per_coarse_voxel + 1) / 1e9

    return gigabytes


@pytest.fixture
def encodings(monkeypatch) -> list[tuple[int, ...]]:
    """Return the list of the shapes of all crops that arssr2 encodes from now on."""
    shapes = []
    encode = ArSSR2.encode_lean

    def recorded(self, volume, *told):
        shapes.append(tuple(volume.shape[2:]))
        return encode(self, volume, *told)

    monkeypatch.setattr(ArSSR2, "encode_lean", recorded)
    return shapes


# --- tiles


@pytest.mark.parametrize("scale", [2, 1.37, (1, 2.7, 3.3)])
def test_tiled_equals_untiled(tiny_model, limit_crops_to, encodings, scale):
    array = scan(45, 39, 7)
    whole = run(array, tiny_model, scale)
    assert len(encodings) == 1

    tiled = run(array, tiny_model, scale, memory_limit=limit_crops_to(37 * 36 * 7, array, tiny_model, scale))

    assert len(encodings) >= 1 + 4
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=EXACT * 1000)


@pytest.mark.parametrize(("encoder", "scale"), [("ResCNN", 2.5), ("RDN", (1, 2.7, 1.3)), ("SRResNet", (2, 1.2, 1.7))])
def test_tiled_equals_untiled_for_the_published_network_with_query_coordinates(limit_crops_to, encoder, scale):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(ArSSRConfig(encoder=encoder, feature_channels=8, decoder_depth=2, decoder_width=16)).eval()
    torch.nn.init.constant_(model.decoder.stage_two[-2].bias, 0.5)  # otherwise, its last ReLU may return only 0
    array = scan(2 * model.halo + 17, 2, 1)
    whole = run(array, model, scale)
    assert whole.std() > 10

    fractions = []
    limit = limit_crops_to((2 * model.halo + 7) * 2, array, model, scale)
    tiled = run(array, model, scale, memory_limit=limit, progress=fractions.append)

    assert len(fractions) > 3
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=EXACT * 1000)


def test_query_coordinates_refer_to_the_whole_volume(limit_crops_to):
    array, model, scale = scan(13, 12, 11) - 500, Ruler("query"), (1.3, 2.0, 2.7)
    intensities = IntensityRange.of(array)
    limit = limit_crops_to(7 * 7 * 7, array, model, scale)

    result = run(array, model, scale, memory_limit=limit)

    k, j, i = ((2 * np.arange(n) + 1) / n - 1 for n in result.shape)
    expected = 111 + k[:, None, None] + 10 * j[:, None] + 100 * i
    np.testing.assert_allclose(result, expected * intensities.width + intensities.floor, rtol=1e-5, atol=0.05)


def test_sampling_coordinates_refer_to_the_crop(limit_crops_to):
    array, model, scale = scan(13, 12, 11), Ruler("sampling"), (1.3, 2.0, 2.7)
    limit = limit_crops_to(7 * 7 * 7, array, model, scale)

    result = run(array, model, scale, memory_limit=limit)

    # Every fine voxel has the value of the coarse voxel that contains its center.
    inside = [
        np.floor((np.arange(m) + 0.5) * n / m).astype(int) for m, n in zip(result.shape, array.shape, strict=True)
    ]
    np.testing.assert_allclose(result, array[np.ix_(*inside)], rtol=1e-5)


def test_query_and_sampling_coordinates_are_the_same_points():
    grid = query_grid_of(
        (slice(4, 7), slice(0, 2), slice(9, 10)), (slice(1, 6), slice(0, 4), slice(2, 5)), (6, 4, 5), (12, 10, 15)
    )

    assert grid.shape == (3, 2, 1)
    np.testing.assert_allclose(grid.query[0], [9 / 12 - 1, 11 / 12 - 1, 13 / 12 - 1])
    np.testing.assert_allclose(grid.sampling[0], [4.5 / 2 - 0.5 - 1, 5.5 / 2 - 0.5 - 1, 6.5 / 2 - 0.5 - 1])
    np.testing.assert_allclose(grid.sampling[2], [9.5 / 3 - 0.5 - 2])


def test_a_large_block_is_queried_in_slabs_without_a_seam(tiny_model, monkeypatch, encodings):
    array = scan(9, 8, 7)
    whole = run(array, tiny_model, 1.7)

    monkeypatch.setattr(assembly, "SLAB_VOXELS", 700)
    in_slabs = run(array, tiny_model, 1.7)

    assert len(encodings) == 2
    np.testing.assert_allclose(in_slabs, whole, rtol=0, atol=1e-3)


def test_no_slab_exceeds_its_number_of_voxels(tiny_model, monkeypatch):
    shapes = []
    query_grid = ArSSR2.query_grid

    def recorded(self, feature_map, grid, scale=None):
        shapes.append(grid.shape)
        return query_grid(self, feature_map, grid, scale)

    monkeypatch.setattr(ArSSR2, "query_grid", recorded)
    monkeypatch.setattr(assembly, "SLAB_VOXELS", 1000)

    run(scan(10, 7, 7), tiny_model)

    assert sum(shape[0] for shape in shapes) == 20
    assert max(math.prod(shape) for shape in shapes) <= 1000


# --- memory


@pytest.mark.parametrize("gigabytes", [1e-9, 1e-3, 0.01])
def test_a_limit_below_the_smallest_tile_is_refused(tiny_model, gigabytes):
    with pytest.raises(MemoryLimitError, match=r"memory limit of .* GB is too small.*raise the limit") as error:
        run(scan(8, 8, 8), tiny_model, memory_limit=gigabytes)

    assert one_line(error)


@pytest.mark.parametrize("gigabytes", [0, -1, math.nan])
def test_a_limit_that_is_not_an_amount_is_refused(tiny_model, gigabytes):
    with pytest.raises(InputError, match="positive number of GB") as error:
        run(scan(4, 4, 4), tiny_model, memory_limit=gigabytes)

    assert one_line(error)


def test_a_huge_limit_does_not_change_the_result(tiny_model):
    array = scan(4, 4, 4)

    np.testing.assert_array_equal(run(array, tiny_model, memory_limit=1e300), run(array, tiny_model))


def test_a_result_that_does_not_fit_is_refused_before_computing(tiny_model, monkeypatch, encodings):
    monkeypatch.setattr(upsampling, "free_memory", lambda _: 4_000)

    with pytest.raises(MemoryLimitError, match=r"10 x 10 x 10 voxels.*choose a smaller scale") as error:
        run(scan(5, 5, 5), tiny_model, 2, progress=encodings.append)

    assert one_line(error)
    assert not encodings


def test_a_plan_stays_within_its_limit(tiny_model, limit_crops_to):
    array = scan(45, 39, 30)
    limit = limit_crops_to(35**3, array, tiny_model, 2)

    plan = plan_upsampling(volume_of(array), tiny_model, 2, replace(CPU, memory_limit=limit))

    assert len(plan.tiles) > 1
    assert plan.memory <= limit * 1e9
    assert max(tile.crop_voxels for tile in plan.tiles) <= 35**3


def test_without_a_limit_the_plan_stays_within_the_free_memory(tiny_model, monkeypatch):
    array = scan(45, 39, 30)
    free = 200_000_000 + array.size * tiny_model.bytes_per_coarse_voxel
    monkeypatch.setattr(upsampling, "used_memory", lambda _: 0)
    monkeypatch.setattr(upsampling, "free_memory", lambda _: free)

    plan = plan_upsampling(volume_of(array), tiny_model, 1, CPU)

    assert plan.memory <= free


def test_a_device_that_runs_out_of_memory_is_reported_in_one_line(tiny_model, monkeypatch):
    def encode(*_):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(ArSSR2, "encode_lean", encode)

    with pytest.raises(MemoryLimitError, match=r"tile of 512 voxels.*smaller memory limit, a smaller region") as error:
        run(scan(8, 8, 8), tiny_model)

    assert one_line(error)


def test_another_error_of_the_network_is_not_mistaken_for_a_lack_of_memory(tiny_model, monkeypatch):
    def encode(*_):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(ArSSR2, "encode_lean", encode)

    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        run(scan(8, 8, 8), tiny_model)


# --- progress


def test_progress_rises_from_0_to_1(tiny_model, limit_crops_to, encodings):
    array, fractions = scan(45, 39, 7), []

    run(array, tiny_model, memory_limit=limit_crops_to(37 * 36 * 7, array, tiny_model, 2), progress=fractions.append)

    assert fractions[0] == 0
    assert fractions[-1] == 1
    assert all(before <= after for before, after in itertools.pairwise(fractions))
    assert len(fractions) > len(encodings) > 1


# A tile of the tiny model: one call after each of four convolutions, one after the encoding, one after the slab.
@pytest.mark.parametrize(("calls", "tiles_begun"), [(1, 0), (2, 1), (7, 1), (8, 2)])
def test_an_exception_from_the_callback_stops_at_once(tiny_model, limit_crops_to, encodings, calls, tiles_begun):
    array, fractions = scan(45, 39, 7), []
    limit = limit_crops_to(37 * 36 * 7, array, tiny_model, 2)

    def cancel(fraction: float) -> None:
        fractions.append(fraction)
        if len(fractions) == calls:
            raise Cancelled

    with pytest.raises(Cancelled):
        run(array, tiny_model, memory_limit=limit, progress=cancel)

    assert len(encodings) == tiles_begun
    assert len(fractions) == calls


def test_a_canceled_upsampling_leaves_no_hooks_in_the_model(tiny_model):
    def cancel(fraction: float) -> None:
        if fraction > 0:
            raise Cancelled

    with pytest.raises(Cancelled):
        run(scan(5, 5, 5), tiny_model, progress=cancel)

    assert not any(module._forward_hooks for module in tiny_model.modules())


def test_the_encoding_of_a_large_tile_reports_its_progress(tiny_model, encodings):
    fractions = []

    run(scan(20, 20, 20), tiny_model, progress=fractions.append)

    assert len(encodings) == 1
    share = tiny_model.encoding_cost / (tiny_model.encoding_cost + 8)  # in fine voxels, of which a coarse one has 8
    assert sum(0 < fraction < share - 1e-9 for fraction in fractions) == 3
    assert any(fraction == pytest.approx(share) for fraction in fractions)


def test_progress_of_a_constant_volume_ends_at_1(tiny_model):
    fractions = []

    run(np.ones((3, 3, 3), np.float32), tiny_model, progress=fractions.append)

    assert fractions == [0, 1]


@pytest.mark.parametrize(("volume", "model", "found"), [("array", "tiny", "ndarray"), ("phantom", "name", "str")])
def test_an_array_or_the_name_of_a_model_is_refused(volume, model, found, phantom, tiny_model):
    given = phantom if volume == "phantom" else phantom.array
    with pytest.raises(InputError, match=rf"needs a .*, got {found}; see the page"):
        upsample(given, tiny_model if model == "tiny" else "arssr3", 2.0)


@pytest.mark.parametrize("options", [None, {"quality": "best"}, "best"])
def test_options_in_another_form_are_refused(options, phantom, tiny_model):
    with pytest.raises(InputError, match=f"needs a UpsamplingOptions, got {type(options).__name__}; see the page"):
        upsample(phantom, tiny_model, 2.0, options)
