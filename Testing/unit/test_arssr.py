"""The published network: the same result from `query` and `query_grid`, exact tiles, and refused arguments."""

from __future__ import annotations

import pytest
import torch

import ArSSRLib.model.arssr as room
from ArSSRLib.coordinates import QueryGrid, cell_centers, coordinate_of, index_of, whole_grid
from ArSSRLib.model.arssr import ArSSR, ArSSRConfig

COARSE, FINE = (6, 5, 7), (13, 11, 17)


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        # With this seed, the last ReLU does not return 0 everywhere.
        return ArSSR(ArSSRConfig(encoder="ResCNN", feature_channels=16, decoder_depth=3, decoder_width=24)).eval()


@pytest.fixture(scope="module")
def feature_map():
    return torch.randn(1, 16, *COARSE, generator=torch.Generator().manual_seed(5))


def points_of(axes):
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).float().view(1, -1, 3)


def test_the_predictions_vary(model, feature_map):
    assert model.query_grid(feature_map, whole_grid(COARSE, FINE)).std() > 1e-3


@pytest.mark.parametrize("voxels", [1, 20, 100, 400, 10**6])
def test_query_grid_agrees_with_query_for_any_chunk_size(model, feature_map, monkeypatch, voxels):
    monkeypatch.setitem(room.CHUNK_VOXELS, "cpu", voxels)
    grid = whole_grid(COARSE, FINE)

    found = model.query_grid(feature_map, grid)

    expected = model.query(feature_map, points_of(grid.query)).detach().view(FINE)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_query_coordinates_enter_the_decoder_and_sampling_coordinates_read_the_features(model, feature_map):
    query = (cell_centers(9)[2:5], cell_centers(9)[:4], cell_centers(9)[4:])
    pairs = zip(COARSE, query, strict=True)
    sampling = tuple(torch.linspace(0.1, n - 1.2, len(axis), dtype=torch.float64) for n, axis in pairs)
    crop = [(2 * axis + 1) / n - 1 for n, axis in zip(COARSE, sampling, strict=True)]

    found = model.query_grid(feature_map, QueryGrid(query=query, sampling=sampling))

    expected = model.query(feature_map, points_of(query), sampling_coordinates=points_of(crop)).detach()
    torch.testing.assert_close(found.flatten(), expected[0], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(found.flatten(), model.query(feature_map, points_of(crop))[0], atol=1e-3)


def test_a_prediction_depends_on_exactly_the_stated_halo(model):
    middle = model.halo + 2
    count = 2 * middle + 1
    volume = torch.rand(1, 1, 2, count, 2, generator=torch.Generator().manual_seed(9), requires_grad=True)
    rows = coordinate_of(torch.tensor([middle - 0.4, middle + 0.4]), count)
    coordinates = points_of((torch.tensor([-0.3, 0.3]), rows, torch.tensor([-0.3, 0.3])))

    gradient = torch.autograd.grad(model.query(model.encode(volume), coordinates).sum(), volume)[0]

    seen = gradient.movedim(3, 0).flatten(1).abs().amax(1).nonzero().flatten()
    assert (seen.min().item(), seen.max().item()) == (middle - model.halo, middle + model.halo)


def test_a_tile_with_the_stated_halo_equals_the_untiled_result(model):
    shape, fine, halo = (3, 70, 3), (6, 140, 6), model.halo
    volume = torch.rand(1, 1, *shape, generator=torch.Generator().manual_seed(6))
    whole = whole_grid(shape, fine)
    with torch.no_grad():
        expected = model.query_grid(model.encode(volume), whole)[:, 60:80]

        first, last = 30 - halo, 40 + halo
        rows = whole.query[1][60:80]
        grid = QueryGrid(
            query=(whole.query[0], rows, whole.query[2]),
            sampling=(whole.sampling[0], index_of(rows, shape[1]) - first, whole.sampling[2]),
        )
        found = model.query_grid(model.encode(volume[..., first:last, :]), grid)

    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_bytes_per_coarse_voxel_cover_a_wide_feature_map():
    model = ArSSR(ArSSRConfig(encoder="ResCNN", feature_channels=512, decoder_depth=2, decoder_width=1))

    # The last convolution needs memory for its input and its output.
    assert model.bytes_per_coarse_voxel >= 4 * (64 + 512)


def test_query_grid_returns_single_precision_under_autocast(model):
    grid = whole_grid((4, 4, 4), (6, 7, 8))
    volume = torch.rand(1, 1, 4, 4, 4, generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        expected = model.query_grid(model.encode_lean(volume), grid)
        with torch.autocast("cpu", torch.bfloat16):
            feature_map = model.encode_lean(volume)
            inside = model.query_grid(feature_map, grid)
    outside = model.query_grid(feature_map, grid)

    assert feature_map.dtype == torch.bfloat16
    for found in (inside, outside):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected, atol=0.02, rtol=0)


def test_a_half_precision_feature_map_can_be_queried_at_points(model, feature_map):
    grid = whole_grid(COARSE, FINE)

    found = model.query(feature_map.bfloat16(), points_of(grid.query)).detach()

    assert found.dtype == torch.float32
    torch.testing.assert_close(found[0], model.query_grid(feature_map, grid).flatten(), atol=0.02, rtol=0)


def test_gradients_reach_encoder_and_decoder(model):
    coordinates = 2 * torch.rand(2, 50, 3) - 1

    model.query(model.encode(torch.rand(2, 1, 4, 4, 4)), coordinates).sum().backward()

    assert all(p.grad is not None for p in model.parameters())
    model.zero_grad(set_to_none=True)


def test_query_grid_records_no_gradients(model, feature_map):
    assert not model.query_grid(feature_map, whole_grid(COARSE, FINE)).requires_grad


@pytest.mark.parametrize("shape", [(4, 4, 4), (1, 4, 4, 4), (1, 2, 4, 4, 4), (1, 1, 0, 4, 4)])
def test_a_volume_of_another_shape_is_refused(model, shape):
    with pytest.raises(ValueError, match=r"\(N, 1, D, H, W\)"):
        model.encode(torch.zeros(shape))


@pytest.mark.parametrize("shape", [(16, 4, 4, 4), (1, 15, 4, 4, 4)])
def test_a_feature_map_of_another_network_is_refused(model, shape):
    with pytest.raises(ValueError, match="16"):
        model.query(torch.zeros(shape), torch.zeros(1, 2, 3))


def test_a_different_number_of_sampling_coordinates_is_refused(model, feature_map):
    with pytest.raises(ValueError, match="sampling_coordinates"):
        model.query(feature_map, torch.zeros(1, 2, 3), sampling_coordinates=torch.zeros(1, 3, 3))


def test_query_grid_refuses_a_batch(model, feature_map):
    with pytest.raises(ValueError, match="one volume"):
        model.query_grid(feature_map.expand(2, -1, -1, -1, -1), whole_grid(COARSE, FINE))


@pytest.mark.parametrize("shift", [-1, 1])
def test_a_grid_beyond_the_crop_is_refused_and_its_axis_named(model, feature_map, shift):
    grid = whole_grid(COARSE, FINE)
    moved = QueryGrid(query=grid.query, sampling=(grid.sampling[0], grid.sampling[1] + shift, grid.sampling[2]))

    with pytest.raises(ValueError, match="Axis j"):
        model.query_grid(feature_map, moved)


def test_a_grid_with_two_lengths_is_refused(model, feature_map):
    grid = whole_grid(COARSE, FINE)
    torn = QueryGrid(query=(grid.query[0][1:], *grid.query[1:]), sampling=grid.sampling)

    with pytest.raises(ValueError, match="Axis k"):
        model.query_grid(feature_map, torn)
